// What a program's library and the NIC share: queues in shared memory, and the requests that set them up.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "packet.h"

namespace softefa {

constexpr uint32_t kInlineBytes = 32;
constexpr uint32_t kMaxElements = 2;
constexpr uint32_t kMaxSendQueue = 4096;
constexpr uint32_t kMaxReceiveQueue = 8192;
constexpr uint32_t kMaxCompletions = 65536;
// The longest RDMA read or write.
constexpr uint32_t kMaxRdmaBytes = 1U << 30;
// What a UD receive has before the payload, where InfiniBand has its global route header.
constexpr uint32_t kDatagramPrefixBytes = 40;

struct Element {
  uint64_t address = 0;
  uint32_t length = 0;
  uint32_t key = 0;
};

struct SendEntry {
  uint64_t id = 0;
  Operation operation = Operation::kSend;
  uint32_t has_immediate = 0;
  uint32_t immediate = 0;
  uint32_t target_qpn = 0;
  uint32_t queue_key = 0;
  uint32_t element_count = 0;
  uint32_t inline_bytes = 0;
  uint32_t remote_key = 0;  // of RDMA, with the address
  uint64_t remote_address = 0;
  Gid target;
  Element elements[kMaxElements];
  std::byte inline_data[kInlineBytes]{};
};

struct ReceiveEntry {
  uint64_t id = 0;
  uint32_t element_count = 0;
  uint32_t reserved = 0;
  Element elements[kMaxElements];
};

struct CompletionEntry {
  uint64_t id = 0;
  Operation operation = Operation::kSend;
  uint32_t status = 0;
  uint32_t length = 0;
  uint32_t qpn = 0;
  uint32_t source_qpn = 0;
  uint32_t has_immediate = 0;
  uint32_t immediate = 0;
  uint32_t is_unsolicited = 0;  // no receive was taken for it
  Gid source;
};

// The start of a ring: who writes moves `tail`, who reads moves `head`. Both count up for ever.
struct RingHead {
  alignas(64) std::atomic<uint32_t> head{0};
  alignas(64) std::atomic<uint32_t> tail{0};
};

// One side's view of a ring of one writer and one reader. The capacity is a power of two and each side's own, so that
// a program that overwrites its queue does not lead the NIC out of it.
template <typename Entry>
class Ring {
 public:
  Ring() = default;
  Ring(void* memory, uint32_t capacity)
      : head_(static_cast<RingHead*>(memory)),
        entries_(reinterpret_cast<Entry*>(static_cast<std::byte*>(memory) + sizeof(RingHead))),
        mask_(capacity - 1) {}

  static size_t bytes(uint32_t capacity) { return sizeof(RingHead) + (sizeof(Entry) * capacity); }

  bool push(const Entry& entry) {
    const uint32_t tail = head_->tail.load(std::memory_order_relaxed);
    if (tail - head_->head.load(std::memory_order_acquire) > mask_) return false;
    entries_[tail & mask_] = entry;
    head_->tail.store(tail + 1, std::memory_order_release);
    return true;
  }

  bool pop(Entry& entry) {
    const uint32_t head = head_->head.load(std::memory_order_relaxed);
    if (head == head_->tail.load(std::memory_order_acquire)) return false;
    entry = entries_[head & mask_];
    head_->head.store(head + 1, std::memory_order_release);
    return true;
  }

  bool is_empty() const {
    return head_->head.load(std::memory_order_relaxed) == head_->tail.load(std::memory_order_acquire);
  }

 private:
  RingHead* head_ = nullptr;
  Entry* entries_ = nullptr;
  uint32_t mask_ = 0;
};

// What is in front of a completion queue's ring. The program says that it wants to be told of the next completion, once;
// the NIC counts that it has told it, and then adds one to the queue's eventfd.
struct Notice {
  alignas(64) std::atomic<uint32_t> is_wanted{0};
  std::atomic<uint32_t> events{0};  // not taken yet
};

inline size_t completion_queue_bytes(uint32_t capacity) {
  return sizeof(Notice) + Ring<CompletionEntry>::bytes(capacity);
}

constexpr uint32_t power_of_two(uint32_t at_least) {
  uint32_t power = 1;
  while (power < at_least) power *= 2;
  return power;
}

// A page that the NIC shows to all its programs: who posts while it is asleep has to wake it.
struct NicPage {
  std::atomic<uint32_t> is_asleep{0};
};

enum class RequestKind : uint32_t {
  kHello,  // the answer brings the NicPage
  kCreateCompletionQueue,
  kDestroyCompletionQueue,
  kCreateQueuePair,
  kModifyQueuePair,
  kDestroyQueuePair,
  kRegister,
  kDeregister,
};

constexpr uint32_t kProtocolVersion = 3;

// What others may do with a region; the numbers are libibverbs'.
constexpr uint32_t kAccessRemoteWrite = 1 << 1;
constexpr uint32_t kAccessRemoteRead = 1 << 2;

// One datagram of a Unix socket; the memory of a queue comes along as a file descriptor, and after that of a completion
// queue its eventfd, where it has one.
struct Request {
  RequestKind kind = RequestKind::kHello;
  uint32_t version = kProtocolVersion;
  uint32_t object = 0;  // what to modify or destroy
  uint32_t send_capacity = 0;
  uint32_t receive_capacity = 0;  // of a completion queue: its capacity
  uint32_t send_completions = 0;
  uint32_t receive_completions = 0;
  uint32_t is_datagram = 0;
  uint32_t queue_key = 0;
  uint32_t receiver_not_ready_retries = kNoChange;
  uint32_t access = 0;
  uint32_t takes_unsolicited_writes = 0;  // of a queue pair: writes with immediate data take no receive
  uint32_t is_ready = 0;                  // kModifyQueuePair: it may send and receive from now on
  uint64_t address = 0;
  uint64_t length = 0;

  static constexpr uint32_t kNoChange = UINT32_MAX;
};

struct Reply {
  int32_t error = 0;  // an errno
  uint32_t object = 0;
  Gid gid;
  uint32_t has_rdma = 0;  // to kHello
  uint32_t reserved = 0;
};

}  // namespace softefa
