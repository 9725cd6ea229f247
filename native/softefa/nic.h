// The NIC's objects: programs, their queues and their memory. No sockets: nic_main.cc has those.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "counters.h"
#include "descriptor.h"
#include "fault_rules.h"
#include "shared.h"
#include "transport.h"

namespace softefa {

// Memory of a file descriptor that a program sent; null where it is not as large as the queue has to be.
class Mapping {
 public:
  Mapping(int fd, size_t bytes);
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();
  std::byte* memory() const { return memory_; }

 private:
  std::byte* memory_ = nullptr;
  size_t bytes_ = 0;
};

// A program that has the device open, known by its process: what the NIC reads and writes is in there.
struct Program {
  uint64_t id = 0;
  pid_t process = 0;
};

// Names an operation or a part of it to the transport.
inline uint64_t token_of(uint32_t qpn, uint32_t number) { return static_cast<uint64_t>(qpn) << 32 | number; }

class Nic final : public TransportHooks {
 public:
  class Wire {
   public:
    virtual ~Wire() = default;
    virtual void send(const Gid& target, const PacketHeader& header, std::span<const std::byte> payload) = 0;
  };

  Nic(const Gid& gid, uint64_t incarnation, const TransportLimits& limits, Wire& wire, bool has_rdma);

  const Gid& gid() const { return gid_; }
  // Operations that programs post and that are to fail.
  FaultRules& fault_rules() { return fault_rules_; }
  Counters counters() const;
  // Does what a program asks for; `fd`, and `event_fd` of a completion queue, are what came along, or -1, and stay the
  // caller's.
  Reply handle(const Program& program, const Request& request, int fd, int event_fd = -1);
  // The program is gone, and with it all that it had.
  void remove(uint64_t program);
  void receive(const PacketHeader& header, std::span<const std::byte> payload, uint64_t now_us);
  // Takes posted sends. Answers whether there were any.
  bool poll(uint64_t now_us);
  // Does what is due; answers when the next thing is.
  uint64_t advance(uint64_t now_us);
  // Whether a program has posted something since the last poll().
  bool has_posted() const;

  void transmit(const Gid& target, const PacketHeader& header, std::span<const std::byte> payload) override;
  Status deliver(const PacketHeader& header, std::span<const std::byte> payload,
                 std::vector<std::byte>& answer) override;
  void settled(uint64_t token, Status status, std::span<const std::byte> answer) override;

 private:
  struct CompletionQueue {
    CompletionQueue(int fd, int event_fd, uint32_t capacity, uint64_t owner);
    // Adds a completion; false: the queue is full. Tells the program where it wants to be told.
    bool push(const CompletionEntry& entry);
    Mapping mapping;
    Notice* notice;
    Ring<CompletionEntry> ring;
    Descriptor event;                     // an eventfd, where it is open
    std::deque<CompletionEntry> waiting;  // for room
    uint64_t program;
  };
  struct SentEntry {
    uint64_t id = 0;
    uint32_t length = 0;
    Operation operation = Operation::kSend;
  };
  // An RDMA read or write under way, in segments of one packet each.
  struct Transfer {
    SendEntry entry;
    uint64_t length = 0;
    uint64_t issued = 0;
    uint32_t segments_issued = 0;
    uint32_t under_way = 0;
    Status status = Status::kSuccess;
  };
  struct Segment {
    uint32_t transfer = 0;
    uint64_t offset = 0;
    uint32_t length = 0;
  };
  struct QueuePair {
    QueuePair(int fd, const Request& request, const Program& owner);
    Mapping mapping;
    Ring<SendEntry> sends;
    Ring<ReceiveEntry> receives;
    std::shared_ptr<CompletionQueue> send_completions, receive_completions;
    Program program;
    uint32_t qpn = 0;
    uint32_t queue_key = 0;
    uint8_t receiver_not_ready_retries = kRetryForEver;
    bool is_datagram;
    bool takes_unsolicited_writes;
    bool is_ready = false;
    std::unordered_map<uint32_t, SentEntry> sent;  // on their way
    std::unordered_map<uint32_t, Transfer> transfers;
    std::unordered_map<uint32_t, Segment> segments;  // of transfers, by the same numbers as `sent`
    uint32_t next_sent = 0;
    size_t under_way() const { return sent.size() + transfers.size(); }
  };
  struct MemoryRegion {
    uint64_t program = 0;
    uint64_t address = 0;
    uint64_t length = 0;
    uint32_t access = 0;
  };

  Reply create_completion_queue(const Program& program, const Request& request, int fd, int event_fd);
  Reply create_queue_pair(const Program& program, const Request& request, int fd);
  Reply modify_queue_pair(const Program& program, const Request& request);
  Reply destroy_queue_pair(const Program& program, const Request& request);
  Reply register_memory(const Program& program, const Request& request);
  Reply deregister_memory(const Program& program, const Request& request);

  std::shared_ptr<CompletionQueue> completions_of(const Program& program, uint32_t number);
  QueuePair* queue_pair_of(const Program& program, uint32_t qpn);
  void erase_queue_pair(uint32_t qpn);
  bool take_sends(QueuePair& pair, uint64_t now_us);
  void start_send(QueuePair& pair, const SendEntry& entry, uint64_t now_us);
  Status read_payload(const QueuePair& pair, const SendEntry& entry, std::vector<std::byte>& payload);
  bool is_registered(const QueuePair& pair, const Element& element) const;
  Status local_length(const QueuePair& pair, const SendEntry& entry, uint64_t& length) const;
  PacketHeader header_for(const QueuePair& pair, const SendEntry& entry) const;
  // nic_rdma.cc: reads and writes, at their initiator and at their target.
  void start_transfer(QueuePair& pair, const SendEntry& entry);
  void issue(QueuePair& pair, uint32_t number);
  bool issue_segment(QueuePair& pair, uint32_t number, Transfer& transfer);
  void settle_segment(QueuePair& pair, const Segment& segment, Status status,
                      std::span<const std::byte> answer);
  Status serve_rdma(QueuePair& pair, const PacketHeader& header, std::span<const std::byte> payload,
                    std::vector<std::byte>& answer);
  bool may_access(const QueuePair& pair, const PacketHeader& header, uint64_t length) const;
  Status copy_local(const QueuePair& pair, const SendEntry& entry, const Segment& segment,
                    std::span<std::byte> bytes, bool is_write) const;

  Status scatter(QueuePair& pair, const ReceiveEntry& entry, std::span<const std::byte> payload);
  void finish_send(QueuePair& pair, const SentEntry& sent, Status status);
  static void complete(CompletionQueue& queue, const CompletionEntry& entry);
  bool give_waiting();

  const Gid gid_;
  const uint64_t incarnation_;
  Wire& wire_;
  Transport transport_;
  std::map<uint32_t, std::shared_ptr<CompletionQueue>> completion_queues_;
  std::map<uint32_t, std::unique_ptr<QueuePair>> queue_pairs_;
  std::unordered_map<uint32_t, MemoryRegion> regions_;
  uint32_t next_completion_queue_ = 1;
  uint32_t next_qpn_;
  uint32_t next_key_ = 0x100;
  const bool has_rdma_;
  FaultRules fault_rules_;
  Counters counters_;
  uint64_t now_us_ = 0;  // of the call that is under way
};

}  // namespace softefa
