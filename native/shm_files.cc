#include "shm_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

namespace ofi {

namespace {

constexpr const char* kPrefix = "libfabric-";
constexpr const char* kSuffix = ".lock";

bool is_lock_name(const std::string& name) {
  const std::string prefix = kPrefix;
  const std::string suffix = kSuffix;
  return name.size() > prefix.size() + suffix.size() && name.compare(0, prefix.size(), prefix) == 0 &&
         name.compare(name.size() - suffix.size(), suffix.size(), suffix) == 0;
}

// Whether the path still names the open file: its last owner may have removed it meanwhile.
bool still_names(const std::string& path, int fd) {
  struct stat opened{};
  struct stat named{};
  return fstat(fd, &opened) == 0 && stat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino;
}

// The provider adds to the name that it is given: `<name>:<uid>:<number>`.
std::vector<std::string> files_of(const std::string& directory, const std::string& name) {
  std::vector<std::string> files;
  DIR* listing = opendir(directory.c_str());
  if (listing == nullptr) return files;
  const std::string prefix = name + ":";
  const std::string folder = directory + "/";
  while (const dirent* entry = readdir(listing)) {
    const std::string file = entry->d_name;
    if (file != name && file.compare(0, prefix.size(), prefix) != 0) continue;
    files.push_back(folder);
    files.back() += file;
  }
  closedir(listing);
  return files;
}

}  // namespace

int shm_remove_stale(const std::string& directory) {
  DIR* listing = opendir(directory.c_str());
  if (listing == nullptr) return 0;
  std::vector<std::string> locks;
  while (const dirent* entry = readdir(listing))
    if (is_lock_name(entry->d_name)) locks.emplace_back(entry->d_name);
  closedir(listing);
  int removed = 0;
  for (const std::string& lock : locks) {
    std::string path = directory;
    path.append("/").append(lock);
    const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) continue;  // another user's, or gone
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && still_names(path, fd)) {
      const std::string name = lock.substr(0, lock.size() - std::string(kSuffix).size());
      for (const std::string& file : files_of(directory, name))
        if (unlink(file.c_str()) == 0) ++removed;
      unlink(path.c_str());
    }
    close(fd);
  }
  return removed;
}

int shm_lock(const std::string& directory, const std::string& name) {
  const std::string path = directory + "/" + name + kSuffix;
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return -errno;
  if (flock(fd, LOCK_EX | LOCK_NB) == 0 && still_names(path, fd)) return fd;
  // Somebody cleaned up between the two steps, and took it for a dead one's.
  close(fd);
  return -EAGAIN;
}

bool shm_has_room(const std::string& directory, uint64_t bytes) {
  struct statvfs info{};
  // A file system that does not say how large it is has no bound.
  if (statvfs(directory.c_str(), &info) != 0 || info.f_blocks == 0) return true;
  return static_cast<uint64_t>(info.f_bavail) * info.f_bsize >= bytes;
}

ShmTurn::ShmTurn(const std::string& directory, uint32_t bound_ms)
    : fd_(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  constexpr uint32_t kPauseMs = 1;
  for (uint32_t waited = 0; fd_ >= 0 && waited < bound_ms; waited += kPauseMs) {
    if (flock(fd_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
    usleep(kPauseMs * 1'000);
  }
}

ShmTurn::~ShmTurn() {
  if (fd_ >= 0) close(fd_);
}

int shm_reserve(const std::string& directory, const std::string& name) {
  for (const std::string& path : files_of(directory, name)) {
    const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) continue;
    struct stat info{};
    int status = fstat(fd, &info) == 0 ? 0 : errno;
    if (status == 0 && info.st_size > 0) status = posix_fallocate(fd, 0, info.st_size);
    close(fd);
    if (status != 0) return -status;
  }
  return 0;
}

void shm_release(const std::string& directory, const std::string& name, int* lock) {
  if (*lock < 0) return;
  unlink((directory + "/" + name + kSuffix).c_str());
  close(*lock);
  *lock = -1;
}

}  // namespace ofi
