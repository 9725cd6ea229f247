// The NIC of the software EFA device, whose program is the test itself: it reads and writes this process's memory.
#include "softefa/nic.h"

#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "harness.h"

using namespace softefa;

namespace {

constexpr uint32_t kCapacity = 8;
constexpr uint32_t kQueueKey = 0x1234;

// Carries packets to whichever NIC has the address; one that nobody has is lost.
class Cable : public Nic::Wire {
 public:
  void send(const Gid& target, const PacketHeader& header, std::span<const std::byte> payload) override {
    packets.push_back({target, header, {payload.begin(), payload.end()}});
  }
  struct Packet {
    Gid target;
    PacketHeader header;
    std::vector<std::byte> payload;
  };
  std::vector<Packet> packets;
};

// A queue's memory as a program makes it.
class Shared {
 public:
  explicit Shared(size_t bytes) : fd(memfd_create("test", MFD_CLOEXEC)), bytes_(bytes) {
    REQUIRE(fd >= 0 && ftruncate(fd, static_cast<off_t>(bytes)) == 0);
    memory = static_cast<std::byte*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  ~Shared() {
    munmap(memory, bytes_);
    close(fd);
  }
  int fd;
  std::byte* memory;

 private:
  size_t bytes_;
};

// A NIC and one program with one queue pair.
class Host {
 public:
  explicit Host(uint16_t port, bool is_datagram = false, bool has_rdma = true)
      : nic(gid_of({0x7f000001, port}), port, {}, cable, has_rdma),
        completion_memory(completion_queue_bytes(kCapacity)),
        pair_memory(Ring<SendEntry>::bytes(kCapacity) + Ring<ReceiveEntry>::bytes(kCapacity)),
        completions(completion_memory.memory + sizeof(Notice), kCapacity),
        sends(pair_memory.memory, kCapacity),
        receives(pair_memory.memory + Ring<SendEntry>::bytes(kCapacity), kCapacity) {
    Request request;
    request.kind = RequestKind::kCreateCompletionQueue;
    request.receive_capacity = kCapacity;
    const uint32_t queue = ask(request, completion_memory.fd).object;
    request.kind = RequestKind::kCreateQueuePair;
    request.send_capacity = kCapacity;
    request.send_completions = request.receive_completions = queue;
    request.is_datagram = is_datagram ? 1 : 0;
    qpn = ask(request, pair_memory.fd).object;
    request.kind = RequestKind::kModifyQueuePair;
    request.object = qpn;
    request.queue_key = kQueueKey;
    request.is_ready = 1;
    request.receiver_not_ready_retries = 0;
    ask(request, -1);
  }

  Reply ask(const Request& request, int fd) {
    const Reply reply = nic.handle(program, request, fd);
    CHECK_EQ(reply.error, 0);
    return reply;
  }
  template <typename Container>
  Element registered(Container& memory) {
    Request request;
    request.kind = RequestKind::kRegister;
    request.address = reinterpret_cast<uint64_t>(memory.data());
    request.length = memory.size();
    const uint32_t key = ask(request, -1).object;
    return {request.address, static_cast<uint32_t>(request.length), key};
  }
  void send(const Host& to, const Element& element, Operation operation = Operation::kSend) {
    SendEntry entry;
    entry.id = 1;
    entry.operation = operation;
    entry.target = to.nic.gid();
    entry.target_qpn = to.qpn;
    entry.queue_key = kQueueKey;
    entry.element_count = 1;
    entry.elements[0] = element;
    CHECK(sends.push(entry));
    nic.poll(0);
  }
  void receive(const Element& element) {
    ReceiveEntry entry;
    entry.id = 2;
    entry.element_count = 1;
    entry.elements[0] = element;
    CHECK(receives.push(entry));
  }
  uint32_t status_of_next() {
    CompletionEntry entry;
    if (!completions.pop(entry)) return UINT32_MAX;
    last = entry;
    return entry.status;
  }

  Cable cable;
  Nic nic;
  Program program{1, getpid()};
  Shared completion_memory, pair_memory;
  Ring<CompletionEntry> completions;
  Ring<SendEntry> sends;
  Ring<ReceiveEntry> receives;
  uint32_t qpn = 0;
  CompletionEntry last;
};

void exchange(Host& a, Host& b) {
  for (auto [from, to] : {std::pair(&a, &b), std::pair(&b, &a)}) {
    std::vector<Cable::Packet> packets;
    packets.swap(from->cable.packets);
    for (const Cable::Packet& packet : packets) to->nic.receive(packet.header, packet.payload, 0);
  }
}

constexpr uint32_t status(Status value) { return static_cast<uint32_t>(value); }

}  // namespace

TEST(a_gid_says_where_its_nic_is) {
  const UdpAddress address{0x0a010203, 4791};
  CHECK(address_of(gid_of(address)) == address);
  CHECK_EQ(address_of(Gid{}).port, 0);
}

TEST(a_message_goes_from_memory_to_memory) {
  Host a(1), b(2);
  std::string sent = "over the wire", received(64, '.');
  b.receive(b.registered(received));
  a.send(b, a.registered(sent));
  exchange(a, b);
  CHECK_EQ(b.status_of_next(), 0U);
  CHECK_EQ(b.last.id, 2U);
  CHECK_EQ(b.last.length, sent.size());
  CHECK_EQ(b.last.source_qpn, a.qpn);
  CHECK(b.last.source == a.nic.gid());
  CHECK(received.substr(0, sent.size()) == sent);
  CHECK(received[sent.size()] == '.');
  CHECK_EQ(a.status_of_next(), 0U);
  CHECK_EQ(a.last.id, 1U);
}

TEST(a_datagram_lies_behind_its_prefix_and_needs_no_answer) {
  Host a(1, true), b(2, true);
  std::string sent = "unreliable", received(64, '.');
  b.receive(b.registered(received));
  a.send(b, a.registered(sent));
  CHECK_EQ(a.status_of_next(), 0U);
  exchange(a, b);
  CHECK_EQ(b.status_of_next(), 0U);
  CHECK_EQ(b.last.length, kDatagramPrefixBytes + sent.size());
  CHECK(received.substr(kDatagramPrefixBytes, sent.size()) == sent);
  a.send(b, a.registered(sent));
  exchange(a, b);
  CHECK_EQ(a.status_of_next(), 0U);
  CHECK(b.completions.is_empty());
}

TEST(memory_that_is_not_registered_cannot_be_sent) {
  Host a(1), b(2);
  std::string memory(64, '.');
  Element element = a.registered(memory);
  element.length += 1;
  a.send(b, element);
  CHECK_EQ(a.status_of_next(), status(Status::kInvalidLocalKey));
  element.length -= 1;
  element.key += 1;
  a.send(b, element);
  CHECK_EQ(a.status_of_next(), status(Status::kInvalidLocalKey));
}

TEST(what_exceeds_the_mtu_or_the_receive_fails) {
  Host a(1), b(2);
  std::string large(kMaxMessageBytes + 1, '.'), small(4, '.');
  a.send(b, a.registered(large));
  CHECK_EQ(a.status_of_next(), status(Status::kLocalBadLength));
  b.receive(b.registered(small));
  large.resize(5);
  a.send(b, a.registered(large));
  exchange(a, b);
  CHECK_EQ(b.status_of_next(), status(Status::kLocalBadLength));
  CHECK_EQ(a.status_of_next(), status(Status::kRemoteBadLength));
}

TEST(a_queue_pair_without_receives_is_not_ready) {
  Host a(1), b(2);
  std::string memory(4, '.');
  a.send(b, a.registered(memory));
  exchange(a, b);
  CHECK_EQ(a.status_of_next(), status(Status::kReceiverNotReady));
}

TEST(a_program_that_is_gone_has_no_queue_pair) {
  Host a(1), b(2);
  std::string memory(4, '.');
  b.receive(b.registered(memory));
  b.nic.remove(b.program.id);
  a.send(b, a.registered(memory));
  exchange(a, b);
  CHECK_EQ(a.status_of_next(), status(Status::kBadTargetQueuePair));
}

TEST(a_full_completion_queue_loses_nothing) {
  Host a(1, true), b(2, true);
  std::string memory(4, '.');
  const Element element = a.registered(memory);
  for (uint32_t number = 0; number < kCapacity + 3; ++number) a.send(b, element);
  for (uint32_t number = 0; number < kCapacity; ++number) CHECK_EQ(a.status_of_next(), 0U);
  CHECK(a.completions.is_empty());
  a.nic.advance(0);
  for (uint32_t number = 0; number < 3; ++number) CHECK_EQ(a.status_of_next(), 0U);
  CHECK(a.completions.is_empty());
}

TEST(a_program_reaches_only_what_is_its_own) {
  Host a(1);
  const Program other{2, getpid()};
  Request request;
  request.kind = RequestKind::kDestroyQueuePair;
  request.object = a.qpn;
  CHECK(a.nic.handle(other, request, -1).error != 0);
  request.kind = RequestKind::kModifyQueuePair;
  CHECK(a.nic.handle(other, request, -1).error != 0);
}

TEST(a_queue_smaller_than_it_says_is_refused) {
  Host a(1);
  const Shared small(completion_queue_bytes(4));
  Request request;
  request.kind = RequestKind::kCreateCompletionQueue;
  request.receive_capacity = 8;
  CHECK(a.nic.handle(a.program, request, small.fd).error != 0);
  request.receive_capacity = 6;
  CHECK(a.nic.handle(a.program, request, small.fd).error != 0);
}

TEST(without_rdma_a_nic_neither_asks_for_it_nor_serves_it) {
  Host without(1, false, false), with(2);
  std::string memory(4, '.');
  for (const Operation operation : {Operation::kRead, Operation::kWrite}) {
    without.send(with, without.registered(memory), operation);
    CHECK_EQ(without.status_of_next(), status(Status::kUnsupported));
    CHECK(without.cable.packets.empty());
    with.send(without, with.registered(memory), operation);
    exchange(with, without);
    CHECK_EQ(with.status_of_next(), status(Status::kUnsupported));
  }
}

TEST(counts_what_it_does) {
  Host a(1), b(2);
  std::string sent = "counted", received(64, '.');
  b.receive(b.registered(received));
  a.send(b, a.registered(sent));
  exchange(a, b);
  CHECK_EQ(a.nic.counters().send_wrs, 1U);
  CHECK_EQ(a.nic.counters().send_bytes, sent.size());
  CHECK_EQ(a.nic.counters().tx_pkts, 1U);
  CHECK_EQ(a.nic.counters().tx_bytes, sizeof(PacketHeader) + sent.size());
  CHECK_EQ(a.nic.counters().rx_pkts, 1U);  // the acknowledgement
  CHECK_EQ(b.nic.counters().recv_wrs, 1U);
  CHECK_EQ(b.nic.counters().recv_bytes, sent.size());
  CHECK_EQ(b.nic.counters().rx_bytes, sizeof(PacketHeader) + sent.size());
  a.send(b, a.registered(sent), Operation::kRead);
  exchange(a, b);
  CHECK_EQ(a.nic.counters().rdma_read_wrs, 1U);
  CHECK_EQ(a.nic.counters().rdma_read_wr_err, 1U);  // of no key
  CHECK_EQ(b.nic.counters().rdma_read_resp_bytes, 0U);
  CHECK_EQ(a.nic.counters().send_wrs, 1U);
  Host c(3, true), d(4, true);
  c.send(d, c.registered(sent));
  exchange(c, d);
  CHECK_EQ(d.nic.counters().rx_drops, 1U);
}
