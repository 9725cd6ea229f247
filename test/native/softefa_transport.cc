// The transport of the software EFA device, between two NICs whose cable and clock are the test's.
#include "softefa/transport.h"

#include <algorithm>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "harness.h"

using namespace softefa;

namespace {

struct Packet {
  Gid target;
  PacketHeader header;
  std::vector<std::byte> payload;
};

struct Settled {
  uint64_t token;
  Status status;
  size_t answer_bytes;
};

// One NIC's end. What it transmits lies on the cable until the test carries it over.
class End : public TransportHooks {
 public:
  End(uint16_t port, uint64_t incarnation, const TransportLimits& limits = {})
      : gid(gid_of({0x7f000001, port})), transport(gid, incarnation, limits, *this) {}

  void transmit(const Gid& target, const PacketHeader& header, std::span<const std::byte> payload) override {
    cable.push_back({target, header, {payload.begin(), payload.end()}});
  }
  Status deliver(const PacketHeader& header, std::span<const std::byte> /*payload*/,
                 std::vector<std::byte>& read) override {
    if (header.operation == Operation::kRead) read.assign(3, std::byte{7});
    if (answer == Status::kSuccess) delivered.push_back(header.immediate);
    return answer;
  }
  void settled(uint64_t token, Status status, std::span<const std::byte> read) override {
    outcomes.push_back({token, status, read.size()});
  }

  void send(const End& to, uint32_t number, uint8_t retries = kRetryForEver, uint64_t now_us = 0,
            Operation operation = Operation::kSend) {
    Transport::Message message;
    message.target = to.gid;
    message.header.immediate = number;
    message.header.operation = operation;
    message.payload.resize(8);
    message.token = number;
    message.receiver_not_ready_retries = retries;
    transport.send(std::move(message), now_us);
  }

  const Gid gid;
  std::vector<Packet> cable;
  std::vector<uint32_t> delivered;
  std::vector<Settled> outcomes;
  Status answer = Status::kSuccess;
  Transport transport;
};

// Carries over all that lies on the cable now.
void carry(End& from, End& to, uint64_t now_us = 0) {
  std::vector<Packet> packets;
  packets.swap(from.cable);
  for (const Packet& packet : packets) to.transport.receive(packet.header, packet.payload, now_us);
}

// A send's way there and its answer's way back.
void exchange(End& sender, End& receiver, uint64_t now_us = 0) {
  carry(sender, receiver, now_us);
  carry(receiver, sender, now_us);
}

}  // namespace

TEST(a_message_is_delivered_and_acknowledged) {
  End a(1, 11), b(2, 22);
  a.send(b, 7);
  CHECK(a.outcomes.empty());
  exchange(a, b);
  REQUIRE(b.delivered.size() == 1);
  CHECK_EQ(b.delivered[0], 7U);
  REQUIRE(a.outcomes.size() == 1);
  CHECK_EQ(a.outcomes[0].token, 7U);
  CHECK(a.outcomes[0].status == Status::kSuccess);
  CHECK_EQ(a.transport.advance(1'000'000'000), Transport::kNever);
}

TEST(a_lost_packet_is_sent_again_when_it_is_due) {
  End a(1, 11), b(2, 22);
  a.send(b, 7);
  a.cable.clear();
  const uint64_t due = a.transport.advance(0);
  CHECK_EQ(due, TransportLimits().first_retransmit_us);
  a.transport.advance(due - 1);
  CHECK(a.cable.empty());
  CHECK(a.transport.advance(due) > due);
  CHECK_EQ(a.cable.size(), 1U);
  exchange(a, b, due);
  CHECK_EQ(b.delivered.size(), 1U);
  CHECK_EQ(a.outcomes.size(), 1U);
}

TEST(a_lost_acknowledgement_delivers_nothing_twice) {
  End a(1, 11), b(2, 22);
  a.send(b, 7);
  carry(a, b);
  b.cable.clear();
  a.transport.advance(TransportLimits().first_retransmit_us);
  exchange(a, b, TransportLimits().first_retransmit_us);
  CHECK_EQ(b.delivered.size(), 1U);
  CHECK_EQ(b.transport.counters().duplicates, 1U);
  CHECK_EQ(a.outcomes.size(), 1U);
}

TEST(a_read_whose_answer_was_lost_is_read_again) {
  End a(1, 11), b(2, 22);
  a.send(b, 7, kRetryForEver, 0, Operation::kRead);
  carry(a, b);
  b.cable.clear();
  a.transport.advance(TransportLimits().first_retransmit_us);
  exchange(a, b, TransportLimits().first_retransmit_us);
  REQUIRE(a.outcomes.size() == 1);
  CHECK_EQ(a.outcomes[0].answer_bytes, 3U);
}

TEST(packets_that_overtake_each_other_are_each_delivered_once) {
  End a(1, 11), b(2, 22);
  for (uint32_t number = 0; number < 8; ++number) a.send(b, number);
  REQUIRE(a.cable.size() == 8);
  std::ranges::reverse(a.cable);
  // And every one of them twice.
  const std::vector<Packet> again = a.cable;
  a.cable.insert(a.cable.end(), again.begin(), again.end());
  exchange(a, b);
  CHECK_EQ(b.delivered.size(), 8U);
  CHECK_EQ(b.delivered[0], 7U);
  CHECK_EQ(b.transport.counters().duplicates, 8U);
  CHECK_EQ(a.outcomes.size(), 8U);
}

TEST(no_more_than_the_window_is_on_its_way_and_the_rest_follows) {
  TransportLimits limits;
  limits.first_window = limits.last_window = 4;
  End a(1, 11, limits), b(2, 22);
  for (uint32_t number = 0; number < 10; ++number) a.send(b, number);
  CHECK_EQ(a.cable.size(), 4U);
  for (int round = 0; round < 3; ++round) exchange(a, b);
  CHECK_EQ(b.delivered.size(), 10U);
  CHECK_EQ(a.outcomes.size(), 10U);
}

TEST(a_thousand_messages_survive_a_cable_that_loses_and_mixes) {
  End a(1, 11), b(2, 22);
  std::mt19937 random(42);
  for (uint32_t number = 0; number < 1'000; ++number) a.send(b, number);
  uint64_t now = 0;
  while (a.outcomes.size() < 1'000 && now < 4'000'000) {
    for (auto [from, to] : {std::pair(&a, &b), std::pair(&b, &a)}) {
      std::erase_if(from->cable, [&](const Packet&) { return random() % 10 == 0; });
      std::ranges::shuffle(from->cable, random);
      carry(*from, *to, now);
    }
    now += 1'000;
    a.transport.advance(now);
    b.transport.advance(now);
  }
  CHECK_EQ(a.outcomes.size(), 1'000U);
  CHECK(std::ranges::all_of(a.outcomes, [](const Settled& each) { return each.status == Status::kSuccess; }));
  CHECK_EQ(b.delivered.size(), 1'000U);
  CHECK_EQ(std::set<uint32_t>(b.delivered.begin(), b.delivered.end()).size(), 1'000U);
  CHECK(a.transport.counters().retransmitted > 0);
}

TEST(a_receiver_without_buffers_gets_it_again_after_a_pause) {
  End a(1, 11), b(2, 22);
  b.answer = Status::kReceiverNotReady;
  a.send(b, 7, 1);
  exchange(a, b);
  CHECK(a.outcomes.empty());
  CHECK(a.cable.empty());
  b.answer = Status::kSuccess;
  const uint64_t due = a.transport.advance(0);
  CHECK_EQ(due, TransportLimits().receiver_not_ready_us);
  a.transport.advance(due);
  exchange(a, b, due);
  CHECK_EQ(b.delivered.size(), 1U);
  REQUIRE(a.outcomes.size() == 1);
  CHECK(a.outcomes[0].status == Status::kSuccess);
}

TEST(retries_of_a_receiver_without_buffers_end) {
  End a(1, 11), b(2, 22);
  b.answer = Status::kReceiverNotReady;
  a.send(b, 7, 3);
  uint64_t now = 0;
  for (int attempt = 0; attempt < 4; ++attempt) {
    CHECK(a.outcomes.empty());
    exchange(a, b, now);
    now = a.transport.advance(now);
    if (now != Transport::kNever) a.transport.advance(now);
  }
  REQUIRE(a.outcomes.size() == 1);
  CHECK(a.outcomes[0].status == Status::kReceiverNotReady);
}

TEST(seven_retries_are_for_ever) {
  End a(1, 11), b(2, 22);
  b.answer = Status::kReceiverNotReady;
  a.send(b, 7, kRetryForEver);
  uint64_t now = 0;
  for (int attempt = 0; attempt < 1'000; ++attempt) {
    exchange(a, b, now);
    now = a.transport.advance(now);
    REQUIRE(now != Transport::kNever);
    a.transport.advance(now);
  }
  CHECK(a.outcomes.empty());
}

TEST(others_pass_what_waits_for_a_buffer) {
  TransportLimits limits;
  limits.first_window = 1;
  End a(1, 11, limits), b(2, 22);
  b.answer = Status::kReceiverNotReady;
  a.send(b, 1);
  a.send(b, 2);
  exchange(a, b);
  b.answer = Status::kSuccess;
  exchange(a, b);
  REQUIRE(b.delivered.size() == 1);
  CHECK_EQ(b.delivered[0], 2U);
}

TEST(a_refusal_ends_a_message_with_its_reason) {
  End a(1, 11), b(2, 22);
  b.answer = Status::kBadTargetQueuePair;
  a.send(b, 7);
  exchange(a, b);
  REQUIRE(a.outcomes.size() == 1);
  CHECK(a.outcomes[0].status == Status::kBadTargetQueuePair);
}

TEST(who_never_answered_is_unreachable) {
  End a(1, 11), b(2, 22);
  a.send(b, 1);
  a.send(b, 2);
  const uint64_t late = TransportLimits().unresponsive_us;
  a.transport.advance(late);
  CHECK(a.outcomes.empty());
  a.transport.advance(late + 1);
  REQUIRE(a.outcomes.size() == 2);
  CHECK_EQ(a.outcomes[0].token, 1U);
  CHECK(a.outcomes[0].status == Status::kUnreachable);
  CHECK(a.outcomes[1].status == Status::kUnreachable);
}

TEST(who_stopped_answering_is_unresponsive) {
  End a(1, 11), b(2, 22);
  a.send(b, 1);
  exchange(a, b);
  a.send(b, 2, kRetryForEver, 1'000);
  a.transport.advance(1'001 + TransportLimits().unresponsive_us);
  REQUIRE(a.outcomes.size() == 2);
  CHECK(a.outcomes[1].status == Status::kUnresponsive);
}

TEST(what_failed_leaves_the_flow_usable) {
  End a(1, 11), b(2, 22);
  a.send(b, 1);
  a.transport.advance(TransportLimits().unresponsive_us + 1);
  a.cable.clear();
  a.send(b, 2, kRetryForEver, 10'000'000);
  exchange(a, b, 10'000'000);
  REQUIRE(b.delivered.size() == 1);
  CHECK_EQ(b.delivered[0], 2U);
}

TEST(a_restarted_sender_is_not_taken_for_the_one_before) {
  End before(1, 11), b(2, 22);
  before.send(b, 1);
  exchange(before, b);
  // Numbers its messages from 1 again.
  End after(1, 12);
  after.send(b, 2);
  exchange(after, b);
  REQUIRE(b.delivered.size() == 2);
  CHECK_EQ(b.delivered[1], 2U);
  CHECK_EQ(after.outcomes.size(), 1U);
}

TEST(an_answer_to_who_had_the_address_before_settles_nothing) {
  End before(1, 11), b(2, 22);
  before.send(b, 1);
  carry(before, b);
  End after(1, 12);
  after.send(b, 2);
  after.cable.clear();
  carry(b, after);
  CHECK(after.outcomes.empty());
}

TEST(messages_of_a_queue_pair_that_is_gone_are_dropped) {
  TransportLimits limits;
  limits.first_window = 1;
  End a(1, 11, limits), b(2, 22);
  for (uint32_t number = 1; number <= 3; ++number) a.send(b, number);
  a.cable.clear();
  a.transport.forget([](uint64_t token) { return token < 3; });
  a.send(b, 4);
  exchange(a, b);
  exchange(a, b);
  CHECK_EQ(b.delivered.size(), 2U);
  CHECK_EQ(a.outcomes.size(), 2U);
  CHECK_EQ(a.transport.advance(1'000'000'000), Transport::kNever);
}
