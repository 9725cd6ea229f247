#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>

#include "completion_reader.h"
#include "completion_ring.h"
#include "domain.h"
#include "environment.h"
#include "operation.h"
#include "progress.h"
#include "wait_set.h"

namespace ofi {

// A completion queue with its operation slots, its ring and, where one is attached, its progress engine.
class CompletionQueueObject : public FidObject<fid_cq> {
 public:
  static constexpr Kind kKind = Kind::CompletionQueue;
  explicit CompletionQueueObject(uint32_t capacity)
      : FidObject(kKind, "CompletionQueue"),
        operations(capacity),
        ring_block(MemoryBlock::allocate(sizeof(CompletionRecord) * capacity)) {}
  ~CompletionQueueObject() override;

  void before_close() override;
  int close_blocking() override;
  void close_wait_set();
  void stop_engine();
  // On a thread of its own: until there is a record, signal() was called, the time is over or the queue closes. A status.
  int wait(uint64_t timeout_ms);
  // One look of a wait, which does not sleep: kOk where there is a record that the program was not shown yet, -FI_EAGAIN
  // where there is none, kClosed.
  int look_for_waiter();
  // Gives back `consumed` records and reads the queue; how many records wait in the ring, of which the program is shown
  // up to `max`.
  uint32_t poll(uint32_t consumed, uint32_t max, uint32_t spin_ns, TurnBudget* budget,
                Until until = Until::Anything);
  // After fi_close(endpoint): the contexts of the operations that the provider dropped. `reads`: first what it has left.
  std::vector<uint32_t> drop_all_of(const void* endpoint, bool reads);
  // Under the reader's lock: as much as there is, and room for.
  void read_all();
  // Ends a silent operation of an endpoint (OperationTable::retire). A status; -FI_EAGAIN while somebody reads.
  int32_t retire(uint32_t context, const void* endpoint);
  // `needs_it`: nobody may read the queue when its last endpoint is closed.
  void add_endpoint(bool needs_it);
  // Nobody reads the queue from here on, until it was released as often. False: somebody reads on, all the same.
  bool hold_reads();
  void release_reads();
  // An endpoint of the queue is about to be closed. Until it is nobody may read the queue, and from now on nobody may
  // wait on it: tcp;ofi_rxm would look at the endpoint that was freed.
  void begin_closing_endpoint();
  // Under the reader's lock.
  void end_closing_endpoint(bool closed);
  bool is_held() const { return endpoints_closing.load(std::memory_order_acquire) != 0; }
  bool may_be_read() const { return !is_held() && reader->reads_allowed(); }

  fid_domain* domain = nullptr;
  fid_fabric* fabric = nullptr;
  std::shared_ptr<const std::atomic<uint32_t>> lent_regions;  // the domain's
  int wait_fd = -1;
  // Where the queue's own wait object never becomes quiet again (net 1.17), one of the fabric's is used.
  fid_wait* wait_set = nullptr;
  // A wait set of the program's, which other objects may share: then that is the one above.
  std::shared_ptr<WaitSetObject> shared_wait_set;
  fi_wait_obj wait_object = FI_WAIT_NONE;
  OperationTable operations;
  BlockReference ring_block;
  std::unique_ptr<CompletionRing> ring;
  std::unique_ptr<CompletionReader> reader;
  std::unique_ptr<Engine> engine;
  std::atomic<int32_t> endpoints_closing{0};
  bool wait_is_lost = false;
  std::atomic<bool> closing{false};
  std::atomic<uint32_t> signals{0};
  // Shared by those who wait; held alone by the close.
  std::shared_mutex use;
  LoopWatch* watch = nullptr;  // where the engine is watched

 private:
  // With the mutex below.
  void count_endpoints(int32_t more);
  // Waits, a bounded time, until nobody reads.
  bool lock_reader();
  // One is bound while another closes on a thread of its own.
  std::mutex endpoints_mutex_;
  int32_t endpoints_ = 0;
  int32_t holds_ = 0;
  bool needs_endpoint_ = false;
  void read_for_program(uint32_t spin_ns, TurnBudget* budget, Until until);
  // On any thread: reads the queue, up to so many times until there is a record, unless somebody reads it just now or an
  // endpoint of it closes.
  void look(uint32_t times = 1);
};

void register_completion_queue(Napi::Object exports, Environment* environment);

}  // namespace ofi
