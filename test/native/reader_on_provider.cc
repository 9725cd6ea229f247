// The reader and the engine on the machine's own libfabric: two endpoints in one process exchange messages.
#include <array>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "harness.h"
#include "progress.h"
#include "provider.h"

using ofi::CompletionRecord;
using ofi::Engine;
using ofi::EngineMode;
using ofi::EngineOptions;
using ofi::SleepBy;

namespace {

void fill(uint8_t* bytes, size_t length, uint32_t seed) {
  for (size_t i = 0; i < length; ++i) bytes[i] = static_cast<uint8_t>(seed + i + (i >> 8));
}

bool is_filled(const uint8_t* bytes, size_t length, uint32_t seed) {
  for (size_t i = 0; i < length; ++i)
    if (bytes[i] != static_cast<uint8_t>(seed + i + (i >> 8))) return false;
  return true;
}

struct Pair {
  explicit Pair(const char* name, fi_wait_obj wait = FI_WAIT_NONE) : provider(name) {
    if (!provider.offered()) SKIP(std::string("this machine's libfabric offers no ") + name);
    left = std::make_unique<Side>(provider, wait);
    right = std::make_unique<Side>(provider, wait);
    REQUIRE(left->opened() && right->opened());
    REQUIRE(left->connect_to(*right) && right->connect_to(*left));
  }

  // Reads both: a message needs the progress of both its ends.
  void progress() {
    // Nothing for either: the provider's own threads may need the processor.
    if (left->reader().read(8) + right->reader().read(8) == 0) std::this_thread::yield();
  }
  // Until the provider takes it. Its queue may be full, or its connection not made yet.
  template <typename Call>
  void post(const Call& call) {
    ssize_t status = 0;
    while ((status = call()) == -FI_EAGAIN) progress();
    REQUIRE(status == 0);
  }
  CompletionRecord next_of(Side& side) {
    while (side.ring().available() == 0) progress();
    const CompletionRecord record = side.ring().peek(0);
    side.ring().consume(1);
    return record;
  }

  Provider provider;
  std::unique_ptr<Side> left, right;
};

// An engine on one side, whose owner does nothing but wait to be woken.
class Driven {
 public:
  Driven(Side& side, const EngineOptions& options)
      : side_(side), engine_(side.reader(), side.wait(), options, [this] { wake(); }) {
    engine_.start();
  }
  CompletionRecord next() {
    std::unique_lock<std::mutex> lock(mutex_);
    woken_.wait(lock, [this] { return side_.ring().available() != 0; });
    const CompletionRecord record = side_.ring().peek(0);
    side_.ring().consume(1);
    return record;
  }
  Engine& engine() { return engine_; }

 private:
  void wake() {
    const std::lock_guard<std::mutex> guard(mutex_);
    woken_.notify_all();
  }
  Side& side_;
  std::mutex mutex_;
  std::condition_variable woken_;
  Engine engine_;
};

// Retries while the threads make the progress.
template <typename Call>
void post_patiently(const Call& call) {
  ssize_t status = 0;
  while ((status = call()) == -FI_EAGAIN) std::this_thread::yield();
  REQUIRE(status == 0);
}

void ping_pong_by_engines(Pair& pair, EngineMode mode, SleepBy sleep_by) {
  EngineOptions options;
  options.mode = mode;
  options.sleep_by = sleep_by;
  options.max_sleep_ns = 100'000;
  Side &left = *pair.left, &right = *pair.right;
  if (sleep_by == SleepBy::WaitFd) REQUIRE(left.wait().fd >= 0 && right.wait().fd >= 0);
  Driven left_engine(left, options);
  Driven right_engine(right, options);
  for (uint32_t round = 0; round < 50; ++round) {
    Side& from = round % 2 == 0 ? left : right;
    Side& to = round % 2 == 0 ? right : left;
    Driven& from_engine = round % 2 == 0 ? left_engine : right_engine;
    Driven& to_engine = round % 2 == 0 ? right_engine : left_engine;
    const size_t length = round % 10 == 0 ? 100'000 : 64;
    fill(from.outgoing(), length, round);
    post_patiently([&] { return to.receive(0, length); });
    post_patiently([&] { return from.send(1, length); });
    const CompletionRecord received = to_engine.next();
    CHECK_EQ(received.error, 0);
    CHECK_EQ(received.context, 0);
    CHECK_EQ(received.length_low, length);
    CHECK(is_filled(to.incoming(), length, round));
    CHECK_EQ(from_engine.next().context, 1);
  }
  CHECK(left_engine.engine().stop(60'000));
  CHECK(right_engine.engine().stop(60'000));
  CHECK(left_engine.engine().thread_reads() + right_engine.engine().thread_reads() > 0 ||
        sleep_by == SleepBy::Sread);
}

}  // namespace

#define ON_EACH_PROVIDER(name)                  \
  static void name(const char* provider);       \
  TEST(shm_##name) { name("shm"); }             \
  TEST(sockets_##name) { name("sockets"); }     \
  TEST(tcp_rxm_##name) { name("tcp;ofi_rxm"); } \
  static void name(const char* provider)

ON_EACH_PROVIDER(messages_of_all_sizes_arrive) {
  Pair pair(provider);
  uint32_t seed = 0;
  for (const size_t length :
       {size_t{0}, size_t{1}, size_t{64}, size_t{4'096}, size_t{65'536}, Side::kBuffer}) {
    for (const bool to_the_right : {true, false}) {
      Side& from = to_the_right ? *pair.left : *pair.right;
      Side& to = to_the_right ? *pair.right : *pair.left;
      const auto slot = ++seed % Side::kSlots;
      fill(from.outgoing(), length, seed);
      pair.post([&] { return to.receive(slot, Side::kBuffer); });
      pair.post([&] { return from.send(slot, length); });
      const CompletionRecord received = pair.next_of(to);
      CHECK_EQ(received.error, 0);
      CHECK_EQ(received.context, static_cast<int32_t>(slot));
      CHECK((received.flags & FI_RECV) != 0);
      CHECK_EQ(received.length_low, length);
      CHECK_EQ(received.length_high, 0U);
      CHECK_EQ(received.text, -1);
      CHECK(is_filled(to.incoming(), length, seed));
      const CompletionRecord sent = pair.next_of(from);
      CHECK_EQ(sent.error, 0);
      CHECK_EQ(sent.context, static_cast<int32_t>(slot));
      CHECK((sent.flags & FI_SEND) != 0);
      CHECK_EQ(sent.source, -1);
      CHECK_EQ(from.operations().busy() + to.operations().busy(), 0U);
    }
  }
}

ON_EACH_PROVIDER(tag_and_immediate_data_arrive) {
  Pair pair(provider);
  Side &left = *pair.left, &right = *pair.right;
  pair.post([&] { return right.receive_tagged(0, 8, 0x10, 0); });
  pair.post([&] { return right.receive_tagged(1, 8, 0x20, 0x0f); });
  pair.post([&] { return left.send_tagged(2, 8, 0xabcdef, 0x2a); });
  const CompletionRecord received = pair.next_of(right);
  CHECK_EQ(received.context, 1);
  CHECK_EQ(received.tag, 0x2aU);
  CHECK((received.flags & FI_TAGGED) != 0);
  CHECK((received.flags & FI_REMOTE_CQ_DATA) != 0);
  CHECK_EQ(received.data, 0xabcdefU);
  CHECK_EQ(pair.next_of(left).context, 2);
  CHECK_EQ(right.operations().busy(), 1U);
}

ON_EACH_PROVIDER(many_messages_keep_their_order) {
  Pair pair(provider);
  constexpr uint32_t kMessages = 300;
  uint32_t posted = 0, received = 0, sent = 0, receiving = 0;
  while (received < kMessages || sent < kMessages) {
    // As many receives as there is room for, and as many sends.
    while (receiving < kMessages && receiving - received < 16 &&
           pair.right->receive(receiving % Side::kSlots, 256) == 0)
      ++receiving;
    while (posted < receiving && posted - sent < 16 &&
           pair.left->send(posted % Side::kSlots, 1 + posted % 200) == 0)
      ++posted;
    pair.progress();
    for (; pair.right->ring().available() != 0; pair.right->ring().consume(1), ++received) {
      const CompletionRecord& record = pair.right->ring().peek(0);
      CHECK_EQ(record.error, 0);
      CHECK_EQ(record.length_low, 1 + received % 200);
    }
    for (; pair.left->ring().available() != 0; pair.left->ring().consume(1)) ++sent;
  }
  CHECK_EQ(pair.left->operations().busy() + pair.right->operations().busy(), 0U);
}

ON_EACH_PROVIDER(message_longer_than_the_buffer_is_an_error) {
  Pair pair(provider);
  pair.post([&] { return pair.right->receive(5, 16); });
  pair.post([&] { return pair.left->send(6, 64); });
  const CompletionRecord record = pair.next_of(*pair.right);
  CHECK_EQ(record.context, 5);
  CHECK_EQ(record.error, FI_ETRUNC);
  CHECK(record.text >= 0);
  CHECK(!pair.right->reader().take_text(record.text).empty());
  CHECK_EQ(pair.right->operations().busy(), 0U);
}

ON_EACH_PROVIDER(cancelled_receive_is_told) {
  Pair pair(provider);
  pair.post([&] { return pair.right->receive(9, 16); });
  void* context = pair.right->operations().in_flight(9);
  REQUIRE(context != nullptr);
  CHECK_EQ(fi_cancel(&pair.right->endpoint()->fid, context), 0);
  const CompletionRecord record = pair.next_of(*pair.right);
  CHECK_EQ(record.context, 9);
  CHECK_EQ(record.error, FI_ECANCELED);
  CHECK(pair.right->operations().in_flight(9) == nullptr);
}

ON_EACH_PROVIDER(close_accounts_for_every_receive) {
  const int64_t before = ofi::MemoryBlock::live_blocks();
  {
    Pair pair(provider);
    for (uint32_t slot = 0; slot < 10; ++slot) pair.post([&] { return pair.right->receive(slot, 16); });
    // One arrives, and nobody reads it before the close.
    pair.post([&] { return pair.left->send(0, 16); });
    pair.next_of(*pair.left);
    pair.right->unregister_memory();
    pair.right->forget_memory();
    std::array<int, Side::kSlots> told{};
    for (const uint32_t slot : pair.right->close_endpoint()) ++told[slot];
    for (; pair.right->ring().available() != 0; pair.right->ring().consume(1))
      ++told[static_cast<uint32_t>(pair.right->ring().peek(0).context)];
    for (uint32_t slot = 0; slot < Side::kSlots; ++slot) CHECK_EQ(told[slot], slot < 10 ? 1 : 0);
    CHECK_EQ(pair.right->operations().busy(), 0U);
    CHECK_EQ(ofi::MemoryBlock::live_blocks(), before + 3);  // both rings, and the left side's buffers
  }
  CHECK_EQ(ofi::MemoryBlock::live_blocks(), before);
}

ON_EACH_PROVIDER(thread_makes_the_progress) {
  Pair pair(provider);
  ping_pong_by_engines(pair, EngineMode::Thread, SleepBy::Backoff);
}

ON_EACH_PROVIDER(thread_makes_the_progress_of_a_loop_that_is_away) {
  Pair pair(provider);
  ping_pong_by_engines(pair, EngineMode::Auto, SleepBy::Backoff);
}

TEST(sockets_thread_waits_on_the_fd) {
  Pair pair("sockets", FI_WAIT_FD);
  ping_pong_by_engines(pair, EngineMode::Thread, SleepBy::WaitFd);
}

TEST(tcp_rxm_thread_waits_on_the_fd) {
  Pair pair("tcp;ofi_rxm", FI_WAIT_FD);
  ping_pong_by_engines(pair, EngineMode::Thread, SleepBy::WaitFd);
}

TEST(sockets_thread_sleeps_in_the_provider) {
  Pair pair("sockets", FI_WAIT_UNSPEC);
  ping_pong_by_engines(pair, EngineMode::Thread, SleepBy::Sread);
}
