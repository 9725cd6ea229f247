// A pause that another thread can end early. Napi-free.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <ctime>

namespace ofi {

inline uint64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<uint64_t>(now.tv_nsec);
}

// Between two looks at a queue that had nothing. One in shared memory is locked by whoever looks and by the peer that
// writes: looking without pause keeps the peer waiting, and the message with it.
inline void pause_between_looks() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}

class Sleeper {
 public:
  Sleeper() {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&condition_, &attributes);
    pthread_condattr_destroy(&attributes);
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  ~Sleeper() {
    pthread_cond_destroy(&condition_);
    pthread_mutex_destroy(&mutex_);
  }

  // Returns after `ns`, or at once where nudge() was called since the last sleep.
  void sleep(uint64_t ns) {
    const uint64_t end = monotonic_ns() + ns;
    const timespec until{static_cast<time_t>(end / 1'000'000'000U), static_cast<long>(end % 1'000'000'000U)};
    pthread_mutex_lock(&mutex_);
    pause_ns_.store(ns, std::memory_order_seq_cst);
    while (!nudged_ && pthread_cond_timedwait(&condition_, &mutex_, &until) == 0) {
    }
    nudged_ = false;
    pause_ns_.store(0, std::memory_order_seq_cst);
    pthread_mutex_unlock(&mutex_);
  }

  void nudge() {
    pthread_mutex_lock(&mutex_);
    nudged_ = true;
    pthread_cond_signal(&condition_);
    pthread_mutex_unlock(&mutex_);
  }

  // The length of the pause that the sleeper is in; 0 while it is awake. Whoever stores something for the sleeper (both in
  // sequentially consistent order) and then finds it in a pause can count on its seeing that after the pause.
  uint64_t pause_ns() const { return pause_ns_.load(std::memory_order_seq_cst); }

 private:
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition_;
  bool nudged_ = false;
  std::atomic<uint64_t> pause_ns_{0};
};

}  // namespace ofi
