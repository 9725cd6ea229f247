#include "operation.h"

#include <algorithm>
#include <new>

namespace ofi {

OperationTable::~OperationTable() {
  for (uint32_t index = 0; index < capacity_; ++index) unpin(&slots_[index]);
}

Operation* OperationTable::acquire(uint32_t index, const void* endpoint, MemoryBlock* const* blocks,
                                   uint32_t count, uint8_t traits) {
  if (index >= capacity_) return nullptr;
  Operation& slot = slots_[index];
  const SlotState state = slot.state.load(std::memory_order_acquire);
  if ((traits & kWasClaimed) == 0 ? state != SlotState::Free
                                  : state != SlotState::Claimed || slot.endpoint != endpoint)
    return nullptr;
  if (count > 1) {
    // The one allocation of the data plane: operations on several blocks are rare.
    slot.others = new (std::nothrow) MemoryBlock*[count - 1];
    if (slot.others == nullptr) return nullptr;
    slot.other_count = count - 1;
    std::copy(blocks + 1, blocks + count, slot.others);
  }
  slot.block = count == 0 ? nullptr : blocks[0];
  slot.endpoint = endpoint;
  slot.traits = traits;
  slot.marks = 0;
  ++slot.generation;
  for (uint32_t i = 0; i < count; ++i) blocks[i]->retain();
  // Released before the provider sees the context: another thread may read its completion at once.
  slot.state.store(SlotState::Busy, std::memory_order_release);
  return &slot;
}

void OperationTable::abandon(Operation* operation) {
  // What was claimed still is.
  end(operation, (operation->traits & kWasClaimed) != 0 ? SlotState::Claimed : SlotState::Free);
}

// A cancelled buffer is given back, also by the providers that do not say so with FI_MULTI_RECV.
bool OperationTable::keeps_slot(const Operation& slot, const Report& report) {
  return (slot.traits & kManyMessages) != 0 && (report.flags & FI_MULTI_RECV) == 0 &&
         report.error != FI_ECANCELED;
}

int32_t OperationTable::complete(void* context, const Report& report, Portion* portion) {
  const auto address = reinterpret_cast<uintptr_t>(context);
  const auto base = reinterpret_cast<uintptr_t>(slots_.get());
  if (address < base || address >= base + sizeof(Operation) * capacity_) return -1;
  if ((address - base) % sizeof(Operation) != 0) return -1;
  auto* slot = static_cast<Operation*>(context);
  const SlotState state = slot->state.load(std::memory_order_acquire);
  if (state == SlotState::Dropped) slot->state.store(SlotState::Free, std::memory_order_release);
  if (state != SlotState::Busy) return -1;
  const auto index = static_cast<int32_t>(slot - slots_.get());
  if (slot->traits == 0) {
    set_free(slot);
    return index;
  }
  const bool keeps = keeps_slot(*slot, report);
  if ((slot->traits & kManyMessages) != 0 && portion != nullptr) {
    if (report.data != nullptr)
      portion->place = static_cast<uint64_t>(static_cast<const uint8_t*>(report.data) - slot->block->data());
    portion->released = !keeps;
  }
  if (keeps) return index;
  end(slot, (slot->traits & kClaims) != 0 && report.error == 0 ? SlotState::Claimed : SlotState::Free);
  return index;
}

bool OperationTable::retire(uint32_t index, const void* endpoint) {
  if (index >= capacity_) return false;
  Operation& slot = slots_[index];
  if (slot.state.load(std::memory_order_acquire) != SlotState::Busy || slot.endpoint != endpoint)
    return false;
  if ((slot.traits & kSilent) == 0) return false;
  set_free(&slot);
  return true;
}

void* OperationTable::in_flight(uint32_t index) const {
  if (index >= capacity_) return nullptr;
  Operation& slot = slots_[index];
  return slot.state.load(std::memory_order_acquire) == SlotState::Busy ? &slot.context : nullptr;
}

bool OperationTable::has_marked(const void* endpoint, uint8_t mark) const {
  for (uint32_t index = 0; index < capacity_; ++index) {
    const Operation& slot = slots_[index];
    if (slot.state.load(std::memory_order_acquire) == SlotState::Busy && slot.endpoint == endpoint &&
        (slot.marks & mark) != 0)
      return true;
  }
  return false;
}

uint32_t OperationTable::busy() const {
  uint32_t count = 0;
  for (uint32_t index = 0; index < capacity_; ++index)
    if (slots_[index].state.load(std::memory_order_relaxed) == SlotState::Busy) ++count;
  return count;
}

void OperationTable::end(Operation* operation, SlotState state) {
  unpin(operation);
  operation->state.store(state, std::memory_order_release);
}

void OperationTable::unpin(Operation* operation) {
  if (operation->block != nullptr) operation->block->release();
  operation->block = nullptr;
  if (operation->others == nullptr) return;
  for (uint32_t i = 0; i < operation->other_count; ++i) operation->others[i]->release();
  delete[] operation->others;
  operation->others = nullptr;
  operation->other_count = 0;
}

}  // namespace ofi
