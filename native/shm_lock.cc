#include "shm_lock.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "sleeper.h"

namespace ofi {

namespace {

constexpr const char* kScheme = "fi_shm://";
// Of struct smr_region: the version of its layout is the first byte.
constexpr uint8_t kFirstVersion = 4;
constexpr uint8_t kLastVersion = 5;
constexpr size_t kLockOffset = 24;
constexpr size_t kPage = 4096;
// Longer than a living process copies as a rule; where it takes longer, there is no room for the moment.
constexpr uint64_t kPatienceNs = 1'000'000;
constexpr int kPausesOfMany = 64;

// 1 on x86, 0 elsewhere.
int free_value() {
  pthread_spinlock_t sample{};
  pthread_spin_init(&sample, PTHREAD_PROCESS_PRIVATE);
  return sample;
}

}  // namespace

std::shared_ptr<const ShmLock> ShmLock::of(const std::string& directory, const std::string& address) {
  if (!is_name(address)) return nullptr;
  const std::string name = address.substr(std::string(kScheme).size());
  if (name.find('/') != std::string::npos) return nullptr;
  const std::string path = directory + "/" + name;
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return nullptr;
  struct stat info{};
  // A shorter one has just been created.
  const bool is_whole = fstat(fd, &info) == 0 && info.st_size >= static_cast<off_t>(kPage);
  void* page = is_whole ? mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
  close(fd);
  if (page == MAP_FAILED) return nullptr;
  auto lock = std::make_shared<const ShmLock>(page);
  // Without a version it is being created.
  return *static_cast<const uint8_t*>(page) == 0 ? nullptr : lock;
}

bool ShmLock::is_name(const std::string& address) { return address.rfind(kScheme, 0) == 0; }

ShmLock::ShmLock(void* page) : page_(page), word_(&free_value_), free_value_(free_value()) {
  const auto* bytes = static_cast<const uint8_t*>(page);
  if (*bytes >= kFirstVersion && *bytes <= kLastVersion)
    word_ = reinterpret_cast<const int*>(bytes + kLockOffset);
}

ShmLock::~ShmLock() { munmap(page_, kPage); }

bool ShmLock::wait(LookAgain again) const {
  if (was_kept_.load(std::memory_order_relaxed)) return false;
  const uint64_t deadline = monotonic_ns() + kPatienceNs;
  while (monotonic_ns() < deadline) {
    const int pauses = again == LookAgain::Late ? kPausesOfMany : 1;
    for (int i = 0; i < pauses; ++i) pause_between_looks();
    if (is_free()) return true;
  }
  was_kept_.store(true, std::memory_order_relaxed);
  return false;
}

void ShmLocks::remove(const std::shared_ptr<const ShmLock>& lock) {
  all_.erase(std::remove(all_.begin(), all_.end(), lock), all_.end());
}

}  // namespace ofi
