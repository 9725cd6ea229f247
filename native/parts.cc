#include "parts.h"

#include "handle.h"

namespace ofi {

int32_t Parts::add(Environment& environment, const EndpointObject& endpoint, uint32_t first, uint32_t count,
                   uint64_t unit) {
  if (first > kMax || count > kMax - first || count > kMax - count_) return -FI_EINVAL;
  for (uint32_t i = 0; i < count; ++i) {
    const Registers::Part& part = environment.registers().parts[first + i];
    auto* memory = environment.open<MemoryObject>(whole_u32(part.memory));
    if (memory == nullptr) return kClosed;
    MemoryBlock* block = memory->block.get();
    const uint64_t offset = whole(part.offset);
    const uint64_t units = whole(part.length);
    const uint64_t length = units <= UINT32_MAX || unit == 1 ? units * unit : UINT64_MAX;
    if (!block->contains(offset, length)) return kOutOfRange;
    vectors_[count_] = {block->data() + offset, length};
    descriptors_[count_] = nullptr;
    if (!find_descriptor(endpoint, *block, &descriptors_[count_])) return kDeviceMemory;
    if (endpoint.is_raw_efa && descriptors_[count_] == nullptr) return kNotRegistered;
    blocks_[count_] = block;
    length_ += length;
    ++count_;
  }
  return kOk;
}

bool Parts::are_aligned(uint64_t bytes) const {
  for (uint32_t i = 0; i < count_; ++i)
    if (reinterpret_cast<uintptr_t>(vectors_[i].iov_base) % bytes != 0) return false;
  return true;
}

}  // namespace ofi
