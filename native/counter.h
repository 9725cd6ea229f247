#pragma once

#include <atomic>
#include <shared_mutex>

#include "domain.h"
#include "environment.h"
#include "shm_lock.h"

namespace ofi {

// A counter of completed operations. Several threads may use it at once, but nobody while an endpoint that is bound to
// it closes: reading it makes progress, for which providers look at its endpoints.
class CounterObject : public FidObject<fid_cntr> {
 public:
  static constexpr Kind kKind = Kind::Counter;
  CounterObject() : FidObject(kKind, "Counter") {}

  // Ends the waits.
  void before_close() override { closing.store(true); }
  int close_blocking() override;

  // The values, or those of the last read where the counter may not be touched now.
  void read(uint64_t* value, uint64_t* errors);
  // On a thread of its own: until the value reaches the threshold, an error is counted, the time is over or the counter
  // closes. A status.
  int wait(uint64_t threshold, uint64_t timeout_ms);

  // Whether value and errors together are as many, and what waited for that in the provider has been started.
  bool has_reached(uint64_t threshold);

  fid_domain* domain = nullptr;
  bool waits = false;  // it has a wait object that fi_cntr_wait works with
  std::atomic<bool> closing{false};
  // Shared by those who use the counter; held alone by an endpoint's close.
  std::shared_mutex use;
  // The provider would wait for these without end. Changed while nobody reads.
  ShmLocks locks;
  // Nobody reads the counter from here on, until it was released as often: its values are those of the last read. False: somebody
  // reads on, all the same.
  bool hold_reads();
  void release_reads() { holds_.fetch_sub(1); }

 private:
  int look(uint64_t threshold, uint64_t errors_before, uint64_t left_ms);
  int wait_slice(uint64_t threshold, uint64_t errors_before, uint64_t left_ms, uint32_t* pause_us);
  std::atomic<int32_t> holds_{0};
  std::atomic<uint64_t> last_value_{0};
  std::atomic<uint64_t> last_errors_{0};
};

void register_counter(Napi::Object exports, Environment* environment);

}  // namespace ofi
