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
  Busy,     // given to the provider
  Dropped,  // its endpoint was closed: the provider will not report it, and a late report is thrown away
};

struct alignas(64) Operation {
  // First, so that the provider's pointer to it is the slot's address. Providers write here (FI_CONTEXT2).
  ProviderContext context;
  MemoryBlock* block = nullptr;
  const void* endpoint = nullptr;
  uint32_t generation = 0;
  std::atomic<SlotState> state{SlotState::Free};
};

class OperationTable {
 public:
  explicit OperationTable(uint32_t capacity) : capacity_(capacity), slots_(new Operation[capacity]) {}
  OperationTable(const OperationTable&) = delete;
  OperationTable& operator=(const OperationTable&) = delete;
  ~OperationTable();

  uint32_t capacity() const { return capacity_; }

  // Takes a slot for an operation on `block` (may be null). Null where the index is out of range or not free.
  Operation* acquire(uint32_t index, const void* endpoint, MemoryBlock* block);
  // Gives back a slot whose operation the provider refused.
  void abandon(Operation* operation) { set_free(operation); }
  // The slot of a completion's context; -1 for a context that is not a slot of this table or not in flight
  // (NULL after an injected operation failed, or a late report of a closed endpoint). Frees the slot.
  int32_t complete(void* context);
  // The context of the operation in flight in a slot; null where there is none.
  void* in_flight(uint32_t index) const;
  // After fi_close(endpoint) returned: what the provider dropped without a word. Calls `report(index)` for each.
  template <typename Report>
  void drop_all_of(const void* endpoint, Report report);
  // How many are in flight. Counts them, so that the hot path need not.
  uint32_t busy() const;

 private:
  void set_free(Operation* operation);
  void unpin(Operation* operation);

  uint32_t capacity_;
  std::unique_ptr<Operation[]> slots_;
};

template <typename Report>
void OperationTable::drop_all_of(const void* endpoint, Report report) {
  for (uint32_t index = 0; index < capacity_; ++index) {
    Operation& slot = slots_[index];
    if (slot.state.load(std::memory_order_acquire) != SlotState::Busy || slot.endpoint != endpoint) continue;
    unpin(&slot);
    slot.state.store(SlotState::Dropped, std::memory_order_release);
    report(index);
  }
}

}  // namespace ofi
