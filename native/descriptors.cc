#include "descriptors.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <map>

namespace ofi {

namespace {

// Descriptors and what they named. Never destroyed: a thread may look while the process ends.
std::map<int, ino_t>& noted() {
  static auto* descriptors = new std::map<int, ino_t>();
  return *descriptors;
}

// Calls with each descriptor that a program started now would inherit.
template <typename Look>
void for_each_inherited(Look look) {
  DIR* listing = opendir("/proc/self/fd");
  if (listing == nullptr) return;
  while (const dirent* entry = readdir(listing)) {
    char* end = nullptr;
    const int fd = static_cast<int>(std::strtol(entry->d_name, &end, 10));
    if (end == entry->d_name || fd <= STDERR_FILENO) continue;
    const int flags = fcntl(fd, F_GETFD);
    struct stat info{};
    if (flags >= 0 && (flags & FD_CLOEXEC) == 0 && fstat(fd, &info) == 0) look(fd, flags, info);
  }
  closedir(listing);
}

// Epoll and event descriptors have no type of file.
bool is_of_libfabrics_kind(const struct stat& info) {
  return S_ISSOCK(info.st_mode) || (info.st_mode & S_IFMT) == 0;
}

}  // namespace

void note_descriptors() {
  for_each_inherited([](int fd, int, const struct stat& info) { noted()[fd] = info.st_ino; });
}

int close_descriptors_on_exec() {
  int marked = 0;
  for_each_inherited([&marked](int fd, int flags, const struct stat& info) {
    const auto before = noted().find(fd);
    const bool was_there = before != noted().end() && before->second == info.st_ino;
    if (was_there || !is_of_libfabrics_kind(info)) return;
    if (fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == 0) ++marked;
  });
  return marked;
}

}  // namespace ofi
