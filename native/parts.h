// Operations on several pieces of memory: what registers().parts and remote_parts name, in libfabric's own form and at
// addresses that last as long as the call.
#pragma once

#include <algorithm>
#include <array>

#include "message.h"

namespace ofi {

class Parts {
 public:
  static constexpr uint32_t kMax = Registers::kParts;

  // Reads `count` parts from the `first` on, whose lengths are counted in units of so many bytes, and adds them to those
  // that are there. A status.
  int32_t add(Environment& environment, const EndpointObject& endpoint, uint32_t first, uint32_t count,
              uint64_t unit = 1);

  uint32_t count() const { return count_; }
  // Bytes of all.
  uint64_t length() const { return length_; }
  bool are_aligned(uint64_t bytes) const;

  const iovec* vectors(uint32_t first = 0) const { return vectors_.data() + first; }
  // For an operation with FI_INJECT, whose memory is copied at once: efa 1.17 reads registered memory later. False
  // for a device's, which cannot be read without.
  bool forget_descriptors() {
    std::fill_n(descriptors_.begin(), count_, nullptr);
    return std::none_of(blocks_.begin(), blocks_.begin() + count_,
                        [](const MemoryBlock* block) { return block->is_device(); });
  }
  void** descriptors(uint32_t first = 0) { return descriptors_.data() + first; }
  MemoryBlock* const* blocks() const { return blocks_.data(); }

 private:
  uint32_t count_ = 0;
  uint64_t length_ = 0;
  // Only what count() says is ever looked at.
  std::array<iovec, kMax> vectors_;        // NOLINT(*-member-init)
  std::array<void*, kMax> descriptors_;    // NOLINT(*-member-init)
  std::array<MemoryBlock*, kMax> blocks_;  // NOLINT(*-member-init)
};

// How many of a call's remote parts there are to read: never more than there is room for.
inline uint32_t remote_count(uint32_t asked) { return std::min(asked, Registers::kRemoteParts); }

}  // namespace ofi
