// Operation slots: one per operation in flight, with a stable address that is the operation's context in libfabric.
// A slot pins the memory that the operation uses until its completion was read or its endpoint's fi_close returned.
// Slots are named by small integers that the JavaScript side chooses among the free ones. Napi-free.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "fabric_abi.h"
#include "memory_block.h"

namespace ofi {

enum class SlotState : uint8_t {
  Free,
  Busy,  // given to the provider
  Claimed,  // a message was claimed with it (FI_PEEK and FI_CLAIM): the provider keeps the context for its receive
  Dropped,  // its endpoint was closed: the provider will not report it, and a late report is thrown away
};

// What makes an operation end in another way than with its first completion.
enum OperationTrait : uint8_t {
  kManyMessages = 1,  // a buffer for several messages: ends with the completion that has FI_MULTI_RECV
  kSilent = 2,        // completes only where it fails: ends when the program says so
  kClaims = 4,        // claims a message, whose receive will take the same slot
  kWasClaimed = 8,    // receives or discards the message that was claimed
};

// What the close of an endpoint that shares its queues asks about an operation in flight.
enum OperationMark : uint8_t {
  kInSharedTransmit = 1,  // in a queue that outlives its endpoint, at which the provider looks
  kTakesAnyMessage = 2,   // a receive of whatever comes, from anybody
  kTakesAnyTagged = 4,    // the same of tagged messages
};

struct alignas(64) Operation {
  // First, so that the provider's pointer to it is the slot's address. Providers write here (FI_CONTEXT2).
  ProviderContext context;
  MemoryBlock* block = nullptr;
  const void* endpoint = nullptr;
  // The other blocks of an operation on several.
  MemoryBlock** others = nullptr;
  uint32_t other_count = 0;
  uint32_t generation = 0;
  uint8_t traits = 0;
  uint8_t marks = 0;
  std::atomic<SlotState> state{SlotState::Free};
};

// What a completion says of its operation, besides which it is.
struct Report {
  uint64_t flags = 0;
  const void* data = nullptr;
  int error = 0;
};

// What a completion means for a buffer for several messages.
struct Portion {
  uint64_t place = 0;     // of the message: bytes from the memory's start
  bool released = false;  // nothing more will come into it
};

class OperationTable {
 public:
  explicit OperationTable(uint32_t capacity) : capacity_(capacity), slots_(new Operation[capacity]) {}
  OperationTable(const OperationTable&) = delete;
  OperationTable& operator=(const OperationTable&) = delete;
  ~OperationTable();

  uint32_t capacity() const { return capacity_; }

  // Takes a slot for an operation on `block` (may be null). Null where the index is out of range or not free.
  // With the trait kWasClaimed: a slot that claimed a message for the endpoint.
  Operation* acquire(uint32_t index, const void* endpoint, MemoryBlock* block, uint8_t traits = 0) {
    return acquire(index, endpoint, block == nullptr ? nullptr : &block, block == nullptr ? 0 : 1, traits);
  }
  // As above, for an operation on several blocks. One that appears twice is held twice.
  Operation* acquire(uint32_t index, const void* endpoint, MemoryBlock* const* blocks, uint32_t count,
                     uint8_t traits);
  // Gives back a slot whose operation the provider refused.
  void abandon(Operation* operation);
  // The slot of a completion's context; -1 for a context that is not a slot of this table or not in flight
  // (NULL after an injected operation failed, or a late report of a closed endpoint). Frees the slot where the
  // operation has ended. `portion` is left alone where the buffer is not for several messages.
  int32_t complete(void* context, const Report& report = {}, Portion* portion = nullptr);
  // Ends a silent operation of the endpoint, of which the program knows that it is done. False where there is none.
  bool retire(uint32_t index, const void* endpoint);
  // The context of the operation in flight in a slot; null where there is none.
  void* in_flight(uint32_t index) const;
  // After fi_close(endpoint) returned: what the provider dropped without a word. Calls `report(index)` for each whose
  // completion somebody waits for.
  template <typename Report>
  void drop_all_of(const void* endpoint, Report report);
  // Whether an operation of the endpoint with a mark of enum OperationMark is in flight.
  bool has_marked(const void* endpoint, uint8_t mark) const;
  // How many are in flight. Counts them, so that the hot path need not.
  uint32_t busy() const;

 private:
  void set_free(Operation* operation) { end(operation, SlotState::Free); }
  void end(Operation* operation, SlotState state);
  static void unpin(Operation* operation);
  static bool keeps_slot(const Operation& slot, const Report& report);

  uint32_t capacity_;
  std::unique_ptr<Operation[]> slots_;
};

template <typename Report>
void OperationTable::drop_all_of(const void* endpoint, Report report) {
  for (uint32_t index = 0; index < capacity_; ++index) {
    Operation& slot = slots_[index];
    const SlotState state = slot.state.load(std::memory_order_acquire);
    if (slot.endpoint != endpoint) continue;
    if (state == SlotState::Claimed) set_free(&slot);
    if (state != SlotState::Busy) continue;
    end(&slot, SlotState::Dropped);
    if ((slot.traits & kSilent) == 0) report(index);
  }
}

}  // namespace ofi
