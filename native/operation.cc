#include "operation.h"

namespace ofi {

OperationTable::~OperationTable() {
  for (uint32_t index = 0; index < capacity_; ++index) unpin(&slots_[index]);
}

Operation* OperationTable::acquire(uint32_t index, const void* endpoint, MemoryBlock* block) {
  if (index >= capacity_) return nullptr;
  Operation& slot = slots_[index];
  if (slot.state.load(std::memory_order_acquire) != SlotState::Free) return nullptr;
  slot.block = block;
  slot.endpoint = endpoint;
  ++slot.generation;
  if (block != nullptr) block->retain();
  // Released before the provider sees the context: another thread may read its completion at once.
  slot.state.store(SlotState::Busy, std::memory_order_release);
  return &slot;
}

int32_t OperationTable::complete(void* context) {
  const auto address = reinterpret_cast<uintptr_t>(context);
  const auto base = reinterpret_cast<uintptr_t>(slots_.get());
  if (address < base || address >= base + sizeof(Operation) * capacity_) return -1;
  if ((address - base) % sizeof(Operation) != 0) return -1;
  auto* slot = static_cast<Operation*>(context);
  const SlotState state = slot->state.load(std::memory_order_acquire);
  if (state == SlotState::Dropped) slot->state.store(SlotState::Free, std::memory_order_release);
  if (state != SlotState::Busy) return -1;
  set_free(slot);
  return static_cast<int32_t>(slot - slots_.get());
}

void* OperationTable::in_flight(uint32_t index) const {
  if (index >= capacity_) return nullptr;
  Operation& slot = slots_[index];
  return slot.state.load(std::memory_order_acquire) == SlotState::Busy ? &slot.context : nullptr;
}

uint32_t OperationTable::busy() const {
  uint32_t count = 0;
  for (uint32_t index = 0; index < capacity_; ++index)
    if (slots_[index].state.load(std::memory_order_relaxed) == SlotState::Busy) ++count;
  return count;
}

void OperationTable::set_free(Operation* operation) {
  unpin(operation);
  operation->state.store(SlotState::Free, std::memory_order_release);
}

void OperationTable::unpin(Operation* operation) {
  if (operation->block != nullptr) operation->block->release();
  operation->block = nullptr;
}

}  // namespace ofi
