// Completion channels: what libfabric's wait objects on EFA are made of, used as its provider uses them since 2.3.
#include <fcntl.h>
#include <poll.h>

#include <atomic>

#include "softefa_device.h"

namespace {

constexpr int kBoundMs = 20'000;

// A channel, whose events are asked for without waiting unless it blocks.
class Channel {
 public:
  explicit Channel(const Opened& device, bool blocks = false)
      : channel(ibv_create_comp_channel(device.context)) {
    REQUIRE(channel != nullptr);
    if (!blocks) REQUIRE(fcntl(channel->fd, F_SETFL, O_NONBLOCK) == 0);
  }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel() { CHECK_EQ(ibv_destroy_comp_channel(channel), 0); }

  bool is_readable(int timeout_ms = 0) const {
    pollfd wanted{channel->fd, POLLIN, 0};
    return poll(&wanted, 1, timeout_ms) == 1;
  }
  // The queue of the next event, acknowledged, or null where there is none.
  ibv_cq* next(void** context = nullptr) const {
    ibv_cq* queue = nullptr;
    void* its_context = nullptr;
    if (ibv_get_cq_event(channel, &queue, &its_context) != 0) return nullptr;
    if (context != nullptr) *context = its_context;
    ibv_ack_cq_events(queue, 1);
    return queue;
  }
  ibv_comp_channel* channel;
};

// Two queue pairs; what one sends the other receives into `queue`.
struct Line {
  Line(const Opened& opened, ibv_cq_ex* queue)
      : device(opened),
        from(opened.pair(false, opened.sent)),
        to(opened.pair(false, opened.sent, queue)),
        region(opened, 8, IBV_ACCESS_LOCAL_WRITE, 'a') {}
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;
  ~Line() {
    for (ibv_qp* pair : {from, to}) CHECK_EQ(ibv_destroy_qp(pair), 0);
  }
  // Once it is acknowledged its completion is in the other's queue.
  void send(uint64_t id) const {
    receive(to, region.element(0, 8), id);
    post(device, from, to, {Kind::Send, {region.element(0, 8)}});
    CHECK_EQ(Opened::next(device.sent).error, 0U);
  }
  const Opened& device;
  ibv_qp *from, *to;
  Region region;
};

void ask(ibv_cq_ex* queue) { CHECK_EQ(ibv_req_notify_cq(ibv_cq_ex_to_cq(queue), 0), 0); }
void destroy(ibv_cq_ex* queue) { CHECK_EQ(ibv_destroy_cq(ibv_cq_ex_to_cq(queue)), 0); }

}  // namespace

TEST(tells_of_one_completion_for_each_time_that_it_is_asked) {
  nic();
  const Opened device;
  const Channel channel(device);
  int mine = 0;
  ibv_cq_ex* const queue = device.completions(channel.channel, &mine);
  {
    const Line line(device, queue);
    line.send(1);
    CHECK(!channel.is_readable());  // nobody asked
    ask(queue);
    CHECK(!channel.is_readable());  // it was there before: for who asks to poll
    CHECK_EQ(Opened::next(queue).id, 1U);
    errno = 0;
    CHECK(channel.next() == nullptr);
    CHECK_EQ(errno, EAGAIN);
    line.send(2);
    line.send(3);
    CHECK(channel.is_readable());
    void* context = nullptr;
    CHECK(channel.next(&context) == ibv_cq_ex_to_cq(queue));
    CHECK(context == &mine);
    CHECK(!channel.is_readable());
    CHECK(channel.next() == nullptr);
    ask(queue);
    ask(queue);  // no more than once
    line.send(4);
    line.send(5);
    CHECK(channel.next() == ibv_cq_ex_to_cq(queue));
    CHECK(channel.next() == nullptr);
    for (uint64_t id = 2; id <= 5; ++id) CHECK_EQ(Opened::next(queue).id, id);
  }
  destroy(queue);
}

TEST(tells_of_sends_and_of_what_fails) {
  nic();
  const Opened device;
  const Channel channel(device);
  ibv_cq* const plain = ibv_create_cq(device.context, 16, nullptr, channel.channel, 0);
  REQUIRE(plain != nullptr);
  auto* const queue = reinterpret_cast<ibv_cq_ex*>(plain);
  ibv_qp *const from = device.pair(false, queue), *const to = device.pair();
  {
    const Region region(device, 8, IBV_ACCESS_LOCAL_WRITE, 'a');
    ask(queue);
    post(device, from, to, {Kind::Send, {region.element(0, 8)}});  // to a peer without buffers
    CHECK(channel.is_readable(kBoundMs));
    CHECK(channel.next() == plain);
    CHECK_EQ(Opened::next(queue).error, 10U);
  }
  for (ibv_qp* pair : {from, to}) CHECK_EQ(ibv_destroy_qp(pair), 0);
  destroy(queue);
}

TEST(wakes_a_thread_that_waits_for_the_event) {
  nic();
  const Opened device;
  const Channel channel(device, true);
  ibv_cq_ex* const queue = device.completions(channel.channel);
  {
    const Line line(device, queue);
    ask(queue);
    ibv_cq* told = nullptr;
    std::thread waiting([&] { told = channel.next(); });
    line.send(1);
    waiting.join();
    CHECK(told == ibv_cq_ex_to_cq(queue));
  }
  destroy(queue);
}

TEST(tells_which_of_several_queues) {
  nic();
  const Opened device;
  const Channel channel(device);
  ibv_cq_ex *const one = device.completions(channel.channel), *const two =
                                                                  device.completions(channel.channel);
  {
    const Line to_one(device, one), to_two(device, two);
    ask(one);
    ask(two);
    to_two.send(1);
    CHECK(channel.next() == ibv_cq_ex_to_cq(two));
    ask(two);
    to_one.send(2);
    to_two.send(3);
    ibv_cq *const first = channel.next(), *const second = channel.next();
    CHECK(first != nullptr && second != nullptr && first != second);
    CHECK(channel.next() == nullptr);
    // What nobody has taken goes with its queue.
    ask(one);
    to_one.send(4);
    CHECK(channel.is_readable());
  }
  CHECK_EQ(ibv_destroy_comp_channel(channel.channel), EBUSY);
  destroy(one);
  CHECK(!channel.is_readable());
  destroy(two);
}

TEST(a_queue_ends_when_its_events_are_acknowledged) {
  nic();
  const Opened device;
  ibv_comp_channel* const channel = ibv_create_comp_channel(device.context);
  REQUIRE(channel != nullptr);
  ibv_cq_ex* const queue = device.completions(channel);
  {
    const Line line(device, queue);
    ask(queue);
    line.send(1);
  }
  ibv_cq* told = nullptr;
  void* context = nullptr;
  REQUIRE(ibv_get_cq_event(channel, &told, &context) == 0);
  std::atomic<bool> is_gone = false;
  std::thread ending([&] {
    destroy(queue);
    is_gone = true;
  });
  // The queue leaves its channel first, then waits.
  while (ibv_destroy_comp_channel(channel) == EBUSY) std::this_thread::yield();
  CHECK(!is_gone);
  ibv_ack_cq_events(told, 1);
  ending.join();
}

TEST(refuses_what_there_is_not) {
  nic();
  const Opened device;
  errno = 0;
  CHECK_EQ(ibv_req_notify_cq(ibv_cq_ex_to_cq(device.queue), 0), EINVAL);  // it has no channel
  CHECK_EQ(errno, EINVAL);
  const Channel channel(device);
  ibv_cq_ex* const queue = device.completions(channel.channel);
  CHECK_EQ(ibv_req_notify_cq(ibv_cq_ex_to_cq(queue), 1), EOPNOTSUPP);  // EFA has no solicited events
  CHECK_EQ(errno, EOPNOTSUPP);
  destroy(queue);
}

// As fi_trywait() and a sleep on the descriptor: whoever asks, finds nothing and sleeps is woken by what comes then.
TEST(no_completion_is_slept_through) {
  nic();
  const Opened device;
  const Channel channel(device);
  ibv_cq_ex* const queue = device.completions(channel.channel);
  {
    constexpr uint64_t kCount = 2'000;
    const Line line(device, queue);
    std::thread sender([&] {
      for (uint64_t id = 0; id < kCount; ++id) line.send(id);
    });
    uint64_t expected = 0;
    ibv_poll_cq_attr none{};
    while (expected < kCount && !harness::failed()) {
      while (channel.next() != nullptr) continue;
      ask(queue);
      bool is_empty = true;
      while (ibv_start_poll(queue, &none) == 0) {
        is_empty = false;
        CHECK_EQ(queue->wr_id, expected++);
        ibv_end_poll(queue);
      }
      if (is_empty && expected < kCount) CHECK(channel.is_readable(kBoundMs));
    }
    sender.join();
    while (channel.next() != nullptr) continue;
  }
  destroy(queue);
}

// The last one: nothing runs on the device afterwards.
TEST(the_nic_ends_well_after_events) { CHECK_EQ(nic().end(), 0); }
