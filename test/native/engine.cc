// The engine on a stand-in queue. Nothing here depends on time: tests count calls, and wait for counts. What the clock
// decides (when the thread comes to look) only decides how long a test takes.
#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "harness.h"
#include "progress.h"
#include "stand_in.h"

using ofi::CompletionRecord;
using ofi::Engine;
using ofi::EngineMode;
using ofi::EngineOptions;
using ofi::Rest;
using ofi::SleepBy;
using ofi::TurnBudget;
using Calls = StandInQueue::Calls;

namespace {

// Long enough not to end in a test, short enough for the arithmetic.
constexpr uint32_t kLongSpin = 1'000'000;
constexpr uint64_t kNow = 1'000'000'000'000;

EngineOptions options_of(EngineMode mode, SleepBy sleep_by = SleepBy::Backoff) {
  EngineOptions options;
  options.mode = mode;
  options.sleep_by = sleep_by;
  options.max_sleep_ns = 100'000;
  return options;
}

struct Rig {
  explicit Rig(const EngineOptions& options, uint32_t capacity = 256)
      : operations(capacity),
        block(ofi::MemoryBlock::allocate(capacity * sizeof(CompletionRecord))),
        ring(block.get(), capacity),
        reader(queue.handle(), FI_CQ_FORMAT_TAGGED, operations, ring),
        engine(reader, queue.wait(), options, [this] { queue.note_wake(); }) {}

  void push(int count = 1) {
    for (int i = 0; i < count; ++i) queue.push(nullptr, FI_RECV, static_cast<size_t>(pushed++));
  }
  // Everything in the ring, checked to be the next that was pushed.
  uint32_t consume() {
    const uint32_t available = ring.available();
    for (uint32_t i = 0; i < available; ++i) CHECK_EQ(ring.peek(i).length_low, consumed++);
    ring.consume(available);
    return available;
  }
  // The thread reads again. Twice, since the first may have begun before.
  void wait_for_thread_to_look() {
    const int seen = queue.calls().readfrom_elsewhere;
    queue.wait_for([seen](const Calls& calls) { return calls.readfrom_elsewhere >= seen + 2; });
  }

  StandInQueue queue;
  ofi::OperationTable operations;
  ofi::BlockReference block;
  ofi::CompletionRing ring;
  ofi::CompletionReader reader;
  uint32_t pushed = 0;
  uint32_t consumed = 0;
  Engine engine;
};

}  // namespace

// ---- start and stop

TEST(reads_once_at_the_start_in_every_mode) {
  for (const EngineMode mode : {EngineMode::Auto, EngineMode::Inline, EngineMode::Thread}) {
    Rig rig(options_of(mode));
    rig.push();
    rig.engine.start();
    CHECK_EQ(rig.ring.available(), 1U);
    CHECK(rig.queue.calls().readfrom >= 1);
    CHECK(rig.engine.stop(1'000));
  }
}

TEST(inline_mode_has_no_thread) {
  Rig rig(options_of(EngineMode::Inline));
  rig.engine.start();
  CHECK(rig.engine.stop(1));
  CHECK_EQ(rig.queue.calls().readfrom, 1);
  rig.push();
  CHECK_EQ(rig.engine.poll(0, nullptr), 1U);
  CHECK_EQ(rig.queue.calls().readfrom_elsewhere, 0);
  CHECK_EQ(rig.queue.calls().wakes, 0);
}

TEST(stop_is_idempotent_and_nothing_reads_after_it) {
  for (const SleepBy sleep_by : {SleepBy::Backoff, SleepBy::WaitFd, SleepBy::Sread}) {
    Rig rig(options_of(EngineMode::Thread, sleep_by));
    CHECK(rig.engine.stop(1));  // never started
    rig.engine.start();
    rig.wait_for_thread_to_look();
    CHECK(rig.engine.stop(60'000));
    const Calls calls = rig.queue.calls();
    CHECK(rig.engine.stop(60'000));
    CHECK(rig.engine.stop(0));
    rig.push();
    CHECK_EQ(rig.queue.calls().readfrom, calls.readfrom);
    CHECK_EQ(rig.queue.calls().sread, calls.sread);
  }
}

TEST(destructor_joins) {
  std::vector<std::unique_ptr<Rig>> rigs;
  for (int i = 0; i < 20; ++i) {
    rigs.push_back(
        std::make_unique<Rig>(options_of(EngineMode::Thread, i % 2 == 0 ? SleepBy::Sread : SleepBy::WaitFd)));
    rigs.back()->engine.start();
  }
}

TEST(stop_ends_a_wait_that_has_no_end_of_its_own) {
  for (const uint32_t bound_ms : {60'000U, 0U}) {
    Rig rig(options_of(EngineMode::Thread, SleepBy::Sread));
    rig.queue.sread_forgets_timeout = true;
    rig.engine.start();
    rig.queue.wait_for([](const Calls& calls) { return calls.sread >= 1; });
    CHECK(rig.engine.stop(bound_ms));
  }
}

TEST(stop_gives_up_on_a_provider_that_does_not_return) {
  Rig rig(options_of(EngineMode::Thread));
  std::mutex provider;
  rig.queue.on_read = [&provider, loop = std::this_thread::get_id()](int) {
    if (std::this_thread::get_id() != loop) const std::lock_guard<std::mutex> hang(provider);
  };
  provider.lock();
  rig.engine.start();
  rig.queue.wait_for([](const Calls& calls) { return calls.readfrom_elsewhere >= 1; });
  CHECK(!rig.engine.stop(5));
  CHECK(!rig.engine.stop(5));
  provider.unlock();
  // The thread is left to itself, and says when it is done with what it uses.
  while (!rig.engine.stop(5)) std::this_thread::yield();
}

TEST(stop_all_stops_every_engine) {
  Rig first(options_of(EngineMode::Auto)), second(options_of(EngineMode::Thread, SleepBy::Sread));
  Rig not_started(options_of(EngineMode::Auto)), stopped(options_of(EngineMode::Auto));
  first.engine.start();
  second.engine.start();
  stopped.engine.start();
  CHECK(stopped.engine.stop(60'000));
  Engine::stop_all(60'000);
  const int reads = first.queue.calls().readfrom + second.queue.calls().readfrom + second.queue.calls().sread;
  CHECK(first.engine.stop(1));
  CHECK(second.engine.stop(1));
  CHECK_EQ(first.queue.calls().readfrom + second.queue.calls().readfrom + second.queue.calls().sread, reads);
  Engine::stop_all(60'000);
}

// ---- who reads

TEST(thread_mode_delivers_without_the_loop) {
  for (const SleepBy sleep_by : {SleepBy::Backoff, SleepBy::WaitFd, SleepBy::Sread}) {
    Rig rig(options_of(EngineMode::Thread, sleep_by));
    rig.engine.start();
    for (int round = 1; round <= 20; ++round) {
      rig.push();
      rig.queue.wait_for([round](const Calls& calls) { return calls.wakes >= round; });
      CHECK_EQ(rig.consume(), 1U);
    }
    CHECK(rig.engine.stop(60'000));
    CHECK_EQ(rig.engine.poll(0, nullptr), 0U);
  }
}

TEST(thread_mode_leaves_reading_to_the_thread) {
  Rig rig(options_of(EngineMode::Thread));
  rig.engine.start();
  CHECK(rig.engine.stop(60'000));
  rig.push();
  TurnBudget budget;
  budget.refill();
  CHECK_EQ(rig.engine.poll(0, &budget), 0U);
  CHECK(rig.engine.before_sleep(kNow) == Rest::Sleep);
  CHECK_EQ(rig.engine.poll(kLongSpin, &budget), 1U);  // a program that spins reads for itself
}

TEST(thread_takes_over_while_the_loop_is_away) {
  Rig rig(options_of(EngineMode::Auto));
  rig.engine.start();
  rig.engine.poll(0, nullptr);
  rig.push(3);
  rig.queue.wait_for([](const Calls& calls) { return calls.wakes >= 1; });
  while (rig.queue.unread() != 0) rig.wait_for_thread_to_look();
  CHECK(rig.engine.thread_reads() >= 1);
  CHECK(rig.engine.stop(60'000));
  CHECK_EQ(rig.consume(), 3U);
}

TEST(loop_without_an_fd_hands_over_before_it_sleeps) {
  Rig rig(options_of(EngineMode::Auto));
  rig.engine.start();
  for (int round = 0; round < 10; ++round) {
    // Staying awake is given up after four times in vain.
    if (round != 0)
      CHECK(rig.engine.before_sleep(kNow + round * 1'000'000'000ULL) ==
            (round <= 4 ? Rest::StayAwake : Rest::Sleep));
    CHECK(rig.engine.before_sleep(kNow + round * 1'000'000'000ULL + 500'000'000) == Rest::Sleep);
    const int wakes = rig.queue.calls().wakes;
    rig.push();
    rig.queue.wait_for([wakes](const Calls& calls) { return calls.wakes > wakes; });
    CHECK(rig.engine.before_sleep(kNow) == Rest::HasRecords);
    CHECK_EQ(rig.consume(), 1U);
  }
}

TEST(thread_waits_on_the_fd_where_nobody_tells_that_the_loop_sleeps) {
  EngineOptions options = options_of(EngineMode::Auto, SleepBy::WaitFd);
  options.loop_tells = false;
  Rig rig(options);
  CHECK(!rig.engine.loop_watches_fd());
  rig.engine.start();
  rig.queue.wait_for([](const Calls& calls) { return calls.trywait >= 1; });
  rig.push();
  rig.queue.wait_for([](const Calls& calls) { return calls.wakes >= 1; });
  CHECK_EQ(rig.consume(), 1U);
}

TEST(broken_queue_is_told_by_the_thread) {
  Rig rig(options_of(EngineMode::Auto));
  rig.engine.start();
  rig.queue.push_error([] {
    fi_cq_err_entry entry{};
    entry.err = FI_EIO;
    return entry;
  }());
  rig.queue.wait_for([](const Calls& calls) { return calls.wakes >= 1; });
  CHECK(rig.engine.stop(60'000));
  REQUIRE(rig.ring.available() == 1);
  CHECK_EQ(rig.ring.peek(0).error, FI_EIO);
}

TEST(full_ring_holds_the_thread_back_and_loses_nothing) {
  Rig rig(options_of(EngineMode::Thread), 4);
  rig.engine.start();
  rig.push(10);
  while (rig.consumed < 10) {
    while (rig.ring.available() == 0) std::this_thread::yield();
    CHECK(rig.ring.available() <= 4);
    rig.consume();
  }
}

TEST(loop_and_thread_read_in_turn_and_in_order) {
  constexpr uint32_t kMessages = 5'000;
  for (const SleepBy sleep_by : {SleepBy::Backoff, SleepBy::WaitFd, SleepBy::Sread}) {
    Rig rig(options_of(EngineMode::Auto, sleep_by), 64);
    rig.engine.start();
    std::thread provider([&rig] {
      for (uint32_t i = 0; i < kMessages; ++i) {
        rig.push();
        if (i % 64 == 0) std::this_thread::yield();
      }
    });
    TurnBudget budget;
    for (uint32_t turn = 0; rig.consumed < kMessages; ++turn) {
      budget.refill();
      rig.engine.note_activity();
      rig.engine.poll(turn % 3 == 0 ? 1'000 : 0, &budget);
      rig.consume();
      // As if it slept and was woken at once, now that it stays awake and now that it does not.
      rig.engine.before_sleep(turn * 100'000ULL);
    }
    provider.join();
    CHECK(rig.engine.stop(60'000));
    CHECK_EQ(rig.queue.unread(), 0U);
    CHECK_EQ(rig.ring.available(), 0U);
  }
}

// ---- the loop's rest

TEST(inline_loop_without_an_fd_looks_again_by_itself) {
  Rig rig(options_of(EngineMode::Inline));
  rig.engine.start();
  CHECK(rig.engine.before_sleep(kNow) == Rest::SleepTimed);
  rig.push();
  CHECK(rig.engine.before_sleep(kNow) == Rest::HasRecords);
}

TEST(loop_stays_awake_for_a_while_after_activity) {
  Rig rig(options_of(EngineMode::Inline));
  const uint64_t awake = 25ULL * rig.engine.options().spin_ns;
  CHECK(rig.engine.before_sleep(kNow) == Rest::SleepTimed);
  rig.engine.note_activity();
  CHECK(rig.engine.before_sleep(kNow) == Rest::StayAwake);
  CHECK(rig.engine.before_sleep(kNow + awake - 1) == Rest::StayAwake);
  CHECK(rig.engine.before_sleep(kNow + awake) == Rest::SleepTimed);
  rig.push();
  CHECK(rig.engine.before_sleep(kNow + awake) == Rest::HasRecords);
  rig.consume();
  CHECK(rig.engine.before_sleep(kNow + awake) == Rest::StayAwake);
}

TEST(loop_that_turns_anyway_hands_nothing_over) {
  Rig rig(options_of(EngineMode::Auto));
  rig.engine.start();
  for (int turn = 0; turn < 100; ++turn) {
    CHECK(rig.engine.before_sleep(kNow + turn * 1'000'000'000ULL, true) == Rest::StayAwake);
    rig.engine.poll(0, nullptr);
  }
  // It reads what came, as before a sleep.
  CHECK(rig.engine.stop(60'000));
  rig.push();
  CHECK(rig.engine.before_sleep(kNow, true) == Rest::HasRecords);
}

TEST(loop_that_turns_anyway_asks_no_provider_whether_it_may_wait) {
  Rig rig(options_of(EngineMode::Inline, SleepBy::WaitFd));
  rig.engine.start();
  const int before = rig.queue.calls().trywait;
  CHECK(rig.engine.before_sleep(kNow, true) == Rest::StayAwake);
  CHECK_EQ(rig.queue.calls().trywait, before);
  CHECK(rig.engine.before_sleep(kNow) == Rest::Sleep);
  CHECK_EQ(rig.queue.calls().trywait, before + 1);
}

TEST(loop_gives_up_staying_awake_in_vain_and_tries_again_as_often) {
  Rig rig(options_of(EngineMode::Inline));
  const uint64_t awake = 25ULL * rig.engine.options().spin_ns;
  auto stays_awake = [&rig, awake] {
    rig.engine.note_activity();
    const bool stayed = rig.engine.before_sleep(kNow) == Rest::StayAwake;
    CHECK(rig.engine.before_sleep(kNow + awake) == Rest::SleepTimed);
    return stayed;
  };
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 4; ++i) CHECK(stays_awake());
    for (int i = 0; i < 31; ++i) CHECK(!stays_awake());
  }
  // Something found while awake makes it worthwhile again.
  rig.engine.note_activity();
  CHECK(rig.engine.before_sleep(kNow) == Rest::StayAwake);
  rig.push();
  CHECK(rig.engine.before_sleep(kNow + 1) == Rest::HasRecords);
  rig.consume();
  for (int i = 0; i < 4; ++i) CHECK(stays_awake());
  CHECK(!stays_awake());
}

TEST(loop_with_an_fd_arms_it_before_every_sleep) {
  Rig rig(options_of(EngineMode::Inline, SleepBy::WaitFd));
  CHECK(rig.engine.loop_watches_fd());
  for (int turn = 1; turn <= 5; ++turn) {
    CHECK(rig.engine.before_sleep(kNow) == Rest::Sleep);
    CHECK_EQ(rig.queue.calls().trywait, turn);
  }
  // Something arrives between the read and fi_trywait, which says so.
  rig.queue.on_read = [&rig, first = rig.queue.calls().readfrom + 1](int number) {
    if (number == first + 1) rig.push();
  };
  CHECK(rig.engine.before_sleep(kNow) == Rest::Sleep);
  CHECK(rig.engine.before_sleep(kNow) == Rest::HasRecords);
}

TEST(refusal_to_sleep_that_is_due_to_a_completion_is_no_distrust) {
  Rig rig(options_of(EngineMode::Inline, SleepBy::WaitFd));
  rig.queue.trywait_answer = -FI_EAGAIN;
  int reads = 0;
  rig.queue.on_read = [&](int) {
    if (++reads % 2 == 0) rig.push();  // there on the second look of each turn only
  };
  for (int turn = 0; turn < 200; ++turn) {
    CHECK(rig.engine.before_sleep(kNow + turn * 1'000'000ULL) == Rest::HasRecords);
    CHECK_EQ(rig.consume(), 1U);
    rig.engine.before_sleep(kNow + turn * 1'000'000ULL);
    rig.consume();
  }
}

TEST(loop_that_reads_all_the_time_is_looked_after_more_rarely) {
  constexpr uint64_t kMs = 1'000'000;
  CHECK_EQ(Engine::tick_beside(31, kMs), kMs);
  CHECK_EQ(Engine::tick_beside(32, kMs), 2 * kMs);
  CHECK_EQ(Engine::tick_beside(64, 2 * kMs), 4 * kMs);
  CHECK_EQ(Engine::tick_beside(128, 4 * kMs), 8 * kMs);
  CHECK_EQ(Engine::tick_beside(256, 8 * kMs), 8 * kMs);
  // It computes in between.
  CHECK_EQ(Engine::tick_beside(255, 8 * kMs), kMs);
  // After pauses that were short, since the thread was reading itself.
  CHECK_EQ(Engine::tick_beside(1, kMs / 100), kMs);
  CHECK_EQ(Engine::tick_beside(1'000, kMs / 100), kMs);
}

TEST(lender_that_refuses_is_believed_for_two_seconds) {
  const auto lent_regions = std::make_shared<std::atomic<uint32_t>>(1);
  EngineOptions options = options_of(EngineMode::Inline, SleepBy::WaitFd);
  options.lent_regions = lent_regions;
  Rig rig(options);
  rig.queue.trywait_answer = -FI_EAGAIN;
  constexpr uint64_t kTurnNs = 1'000'000;
  uint64_t now = kNow;
  auto turns_awake = [&] {
    int turns = 0;
    while (turns < 10'000 && rig.engine.before_sleep(now) == Rest::StayAwake) {
      ++turns;
      now += kTurnNs;
    }
    return turns;
  };
  CHECK_EQ(turns_awake(), 2'000);
  CHECK_EQ(turns_awake(), 0);
  // What is there goes on, the loop learns: so it is busy after all. Its own stay of 25 spins comes first.
  rig.engine.note_traffic();
  CHECK_EQ(turns_awake(), 2'001);
  // Without a region that peers have access to it is as any other.
  lent_regions->store(0);
  rig.engine.note_traffic();
  CHECK_EQ(turns_awake(), 64);
}

TEST(queue_that_refuses_for_ever_lets_the_loop_sleep) {
  for (const EngineMode mode : {EngineMode::Inline, EngineMode::Auto}) {
    Rig rig(options_of(mode, SleepBy::WaitFd));
    rig.queue.trywait_answer = -FI_EAGAIN;
    const Rest expected = mode == EngineMode::Inline ? Rest::SleepTimed : Rest::Sleep;
    int turns = 0;
    while (turns < 1'000 && rig.engine.before_sleep(kNow) == Rest::StayAwake) ++turns;
    CHECK(turns < 100);
    for (int turn = 0; turn < 1'000; ++turn) CHECK(rig.engine.before_sleep(kNow) == expected);
    // A turn costs two looks and one question, and there are as many turns as something wakes the loop for.
    CHECK(rig.queue.calls().trywait <= turns + 1'001);
    CHECK(rig.queue.calls().readfrom <= 2 * (turns + 1'001));
    rig.queue.trywait_answer = 0;
    CHECK(rig.engine.before_sleep(kNow) == Rest::Sleep);
    rig.queue.trywait_answer = -FI_EAGAIN;
    CHECK(rig.engine.before_sleep(kNow) == Rest::StayAwake);
  }
}
