// Scalable reliable datagrams: every message is acknowledged, sent again until it is, and delivered once, in no order.
//
// Between this NIC and each other one there is a flow of numbered messages, whatever queue pairs they belong to. The
// receiving side remembers which numbers it has delivered; the sending side tells it below which one nothing comes any
// more. A message that found no receive buffer is sent again after a time, as often as its queue pair allows.
//
// Knows neither sockets nor clocks: both are the caller's, so that tests can have every order of events.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "packet.h"

namespace softefa {

struct TransportLimits {
  // Of silence of a peer for which there is something unanswered, until it counts as lost.
  uint64_t unresponsive_us = 5'000'000;
  uint64_t first_retransmit_us = 20'000;
  uint64_t last_retransmit_us = 400'000;
  // The first pause after a peer had no receive buffer; it doubles five times.
  uint64_t receiver_not_ready_us = 500;
  // Packets on their way to one peer.
  uint32_t first_window = 8;
  uint32_t last_window = 64;
};

constexpr uint8_t kRetryForEver = 7;  // of ibv_qp_attr.rnr_retry

// What the transport does to the world.
class TransportHooks {
 public:
  virtual ~TransportHooks() = default;
  virtual void transmit(const Gid& target, const PacketHeader& header,
                        std::span<const std::byte> payload) = 0;
  // Gives a message to its queue pair: kSuccess, kReceiverNotReady or why it can never be. A read puts what it read into
  // `answer`; it is asked for again where the answer was lost.
  virtual Status deliver(const PacketHeader& header, std::span<const std::byte> payload,
                         std::vector<std::byte>& answer) = 0;
  // The end of a message that was sent, with what a read answered.
  virtual void settled(uint64_t token, Status status, std::span<const std::byte> answer) = 0;
};

class Transport {
 public:
  struct Message {
    Gid target;
    PacketHeader header;  // the queue pairs' part of it
    std::vector<std::byte> payload;
    uint64_t token = 0;
    uint8_t receiver_not_ready_retries = kRetryForEver;
  };

  Transport(const Gid& self, uint64_t incarnation, const TransportLimits& limits, TransportHooks& hooks)
      : self_(self), incarnation_(incarnation), limits_(limits), hooks_(hooks) {}

  void send(Message message, uint64_t now_us);
  void receive(const PacketHeader& header, std::span<const std::byte> payload, uint64_t now_us);
  // Does what is due. Answers when the next thing is; kNever where there is none.
  uint64_t advance(uint64_t now_us);
  // Drops the messages of a queue pair that is gone, without settling them.
  void forget(const std::function<bool(uint64_t token)>& is_gone);

  struct Counters {
    uint64_t sent = 0, retransmitted = 0, delivered = 0, duplicates = 0, receiver_not_ready = 0,
             lost_peers = 0;
  };
  const Counters& counters() const { return counters_; }

  static constexpr uint64_t kNever = UINT64_MAX;

 private:
  struct InFlight {
    Message message;
    uint64_t first_sent_us = 0;
    uint64_t due_us = 0;
    uint32_t attempts = 0;
    uint32_t refusals = 0;  // for want of a receive buffer
    bool waits_for_buffer = false;
  };

  struct Peer {
    // Sending.
    std::deque<Message> queued;
    std::map<uint64_t, InFlight> in_flight;  // by sequence
    uint64_t next_sequence = 1;
    uint32_t window = 0;
    uint32_t on_the_way = 0;  // of in_flight: those that do not wait for a buffer
    uint32_t answers_in_window = 0;
    uint64_t shrunk_us = 0;
    // Receiving.
    uint64_t incarnation = 0;
    uint64_t floor = 0;  // below it everything has been seen
    std::set<uint64_t> seen;
    // Both.
    uint64_t heard_us = 0;
    bool has_answered = false;
  };

  Peer& peer(const Gid& gid);
  void fill_window(const Gid& gid, Peer& peer, uint64_t now_us);
  void transmit(const Gid& gid, Peer& peer, uint64_t sequence, InFlight& entry, uint64_t now_us);
  void take_message(Peer& peer, const PacketHeader& header, std::span<const std::byte> payload);
  void take_answer(const Gid& gid, Peer& peer, const PacketHeader& header, std::span<const std::byte> payload,
                   uint64_t now_us);
  void postpone(Peer& peer, InFlight& entry, uint64_t now_us);
  void answer(const PacketHeader& to, Status status);
  static bool is_repeatable(const PacketHeader& header) { return header.operation == Operation::kRead; }
  bool is_lost(const Peer& peer, uint64_t now_us) const;
  void lose(Peer& peer);
  uint64_t retransmit(const Gid& gid, Peer& peer, uint64_t now_us);

  const Gid self_;
  const uint64_t incarnation_;
  const TransportLimits limits_;
  TransportHooks& hooks_;
  std::vector<std::byte> answer_;  // of the message that is being taken
  std::map<Gid, Peer> peers_;
  Counters counters_;
};

}  // namespace softefa
