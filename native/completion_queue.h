#pragma once

#include <atomic>
#include <memory>

#include "completion_reader.h"
#include "completion_ring.h"
#include "domain.h"
#include "environment.h"
#include "operation.h"
#include "progress.h"

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
  // Gives back `consumed` records and reads the queue; how many records wait in the ring.
  uint32_t poll(uint32_t consumed, uint32_t spin_ns, TurnBudget* budget);
  // After fi_close(endpoint): the contexts of the operations that the provider dropped.
  std::vector<uint32_t> drop_all_of(const void* endpoint);
  void add_endpoint();
  // An endpoint of the queue is about to be closed. Until it is nobody may read the queue, and from now on nobody may
  // wait on it: tcp;ofi_rxm would look at the endpoint that was freed.
  void begin_closing_endpoint();
  // Under the reader's lock.
  void end_closing_endpoint(bool closed);
  bool is_held() const { return endpoints_closing.load(std::memory_order_acquire) != 0; }

  fid_domain* domain = nullptr;
  fid_fabric* fabric = nullptr;
  int wait_fd = -1;
  // Where the queue's own wait object never becomes quiet again (net 1.17), one of the fabric's is used.
  fid_wait* wait_set = nullptr;
  fi_wait_obj wait_object = FI_WAIT_NONE;
  OperationTable operations;
  BlockReference ring_block;
  std::unique_ptr<CompletionRing> ring;
  std::unique_ptr<CompletionReader> reader;
  std::unique_ptr<Engine> engine;
  std::atomic<int32_t> endpoints{0};
  std::atomic<int32_t> endpoints_closing{0};
  bool wait_is_lost = false;
  LoopWatch* watch = nullptr;  // where the engine is watched
};

void register_completion_queue(Napi::Object exports, Environment* environment);

}  // namespace ofi
