// The spin lock in the file of an shm endpoint. Whoever sends to the endpoint holds it, and so does the endpoint while it
// takes in what came: in libfabric 1.17 for as long as that is copied. A process that is killed or stopped meanwhile never
// lets go of it, and the provider would wait for it on whatever thread called, for ever. So nobody calls the provider while
// the lock stays taken. What is left is a process that takes it, and dies with it, between our look and the provider's.
// Napi-free.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ofi {

// How soon one who waits for a lock looks at it again. Each look takes its cache line from whoever holds it: who has many messages
// to post gets on faster by leaving it alone for two microseconds, who has one does not.
enum class LookAgain : uint8_t { Soon, Late };

class ShmLock {
 public:
  // Of the endpoint with an address `fi_shm://NAME`; null where it is no such address, or the file is not there (yet).
  // Where the file is not laid out as in libfabric 1.17 to 1.19 the lock counts as free: later versions hold theirs for a few
  // instructions, or have none.
  static std::shared_ptr<const ShmLock> of(const std::string& directory, const std::string& address);
  explicit ShmLock(void* page);
  static bool is_name(const std::string& address);
  ShmLock(const ShmLock&) = delete;
  ShmLock& operator=(const ShmLock&) = delete;
  ~ShmLock();

  bool is_free() const { return __atomic_load_n(word_, __ATOMIC_RELAXED) == free_value_; }
  // Who is about to take it has its cache line come once, to be written, and not to be read first.
  void prefetch() const {
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" : : "m"(*word_));
#endif
  }
  // False where it is taken, and was for a while. From any thread.
  bool becomes_free(LookAgain again = LookAgain::Soon) const {
    if (!is_free()) return wait(again);
    if (was_kept_.load(std::memory_order_relaxed)) was_kept_.store(false, std::memory_order_relaxed);
    return true;
  }

 private:
  bool wait(LookAgain again) const;

  void* page_;
  const int* word_;
  int free_value_;
  // At the last look it had been taken for too long already: it is not waited for again.
  mutable std::atomic<bool> was_kept_{false};
};

// Those of the endpoints whose queue or counter somebody reads. Changed while nobody does.
class ShmLocks {
 public:
  void add(std::shared_ptr<const ShmLock> lock) { all_.push_back(std::move(lock)); }
  void remove(const std::shared_ptr<const ShmLock>& lock);
  // Now: whoever reads will look again.
  bool are_free() const {
    for (const auto& lock : all_)
      if (!lock->is_free()) return false;
    return true;
  }

 private:
  std::vector<std::shared_ptr<const ShmLock>> all_;
};

}  // namespace ofi
