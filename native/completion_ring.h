// The completion ring: fixed-size records in memory that the addon writes and JavaScript reads (src/fi/completion.ts is
// the only reader of this layout there). One writer at a time (the holder of the queue's reader lock), one consumer
// (the environment's thread). Napi-free.
#pragma once

#include <atomic>
#include <cstdint>

#include "memory_block.h"

namespace ofi {

// One completion, 64 bytes, little endian as the machine is.
struct CompletionRecord {
  int32_t context;  // the operation's slot; -1 where the completion belongs to no operation
  uint32_t flags;   // FI_SEND, FI_RECV, FI_MSG, FI_TAGGED, FI_REMOTE_CQ_DATA, … (fi_cq(3)); all fit 32 bits
  int32_t error;    // 0, or a positive fi_errno
  int32_t provider_error;  // fi_cq_err_entry.prov_errno
  uint32_t length_low;
  uint32_t length_high;
  int32_t source;     // what JavaScript calls the sender (wide_addresses.h); -1 where it is unknown
  int32_t text;       // number of the provider's text for an error (CompletionQueue::take_text); -1: none
  uint64_t data;      // remote CQ data
  uint64_t tag;       // tag of a tagged message
  uint64_t overflow;  // bytes that did not fit (fi_cq_err_entry.olen)
  uint64_t place;     // of a message in a buffer for several: bytes from the memory's start
};
static_assert(sizeof(CompletionRecord) == 64);

class CompletionRing {
 public:
  // `capacity` must be a power of two. `block` must hold capacity records; the ring keeps a reference to it.
  CompletionRing(MemoryBlock* block, uint32_t capacity)
      : block_(block), records_(reinterpret_cast<CompletionRecord*>(block->data())), mask_(capacity - 1) {
    block->retain();
  }
  CompletionRing(const CompletionRing&) = delete;
  CompletionRing& operator=(const CompletionRing&) = delete;
  ~CompletionRing() { block_->release(); }

  uint32_t capacity() const { return mask_ + 1; }

  // Writer.
  uint32_t room() const {
    return capacity() - (head_.load(std::memory_order_relaxed) - tail_.load(std::memory_order_acquire));
  }
  // The next record to fill. Only where room() is not 0.
  CompletionRecord& next() { return records_[head_.load(std::memory_order_relaxed) & mask_]; }
  void publish() { head_.store(head_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

  // Consumer.
  uint32_t available() const {
    return head_.load(std::memory_order_acquire) - tail_.load(std::memory_order_relaxed);
  }
  // Index of the oldest record not yet consumed.
  uint32_t first() const { return tail_.load(std::memory_order_relaxed) & mask_; }
  const CompletionRecord& peek(uint32_t offset) const {
    return records_[(tail_.load(std::memory_order_relaxed) + offset) & mask_];
  }
  void consume(uint32_t count) {
    tail_.store(tail_.load(std::memory_order_relaxed) + count, std::memory_order_release);
  }
  // The program gets to see up to `max` of the oldest records, which it gives back later. How many there are.
  uint32_t show(uint32_t max) {
    const uint32_t count = available();
    shown_.store(tail_.load(std::memory_order_relaxed) + (count < max ? count : max),
                 std::memory_order_release);
    return count;
  }
  // On any thread: whether there are records that the program was not shown.
  bool has_unseen() const {
    return head_.load(std::memory_order_acquire) != shown_.load(std::memory_order_acquire);
  }

 private:
  MemoryBlock* block_;
  CompletionRecord* records_;
  uint32_t mask_;
  // On cache lines of their own: each is written by one side and read by the other.
  alignas(64) std::atomic<uint32_t> head_{0};
  alignas(64) std::atomic<uint32_t> tail_{0};
  std::atomic<uint32_t> shown_{0};
};

}  // namespace ofi
