// Which calls the engine makes in order to wait, and how often: performance.md's traps, each on a stand-in queue.
#include <memory>

#include "harness.h"
#include "progress.h"
#include "stand_in.h"

using ofi::CompletionRecord;
using ofi::Engine;
using ofi::EngineMode;
using ofi::EngineOptions;
using ofi::SleepBy;
using ofi::TurnBudget;
using Calls = StandInQueue::Calls;

namespace {

// How many vain waits an engine may make before it distrusts the wait object: 64, and room for another 64 after the
// one message that a test sends.
constexpr int kWaitsAllowed = 150;

EngineOptions waiting_options(EngineMode mode, SleepBy sleep_by) {
  EngineOptions options;
  options.mode = mode;
  options.sleep_by = sleep_by;
  options.max_sleep_ns = 50'000;
  return options;
}

struct WaitRig {
  explicit WaitRig(const EngineOptions& options, bool by_wait_set = false)
      : operations(64),
        block(ofi::MemoryBlock::allocate(64 * sizeof(CompletionRecord))),
        ring(block.get(), 64),
        reader(queue.handle(), FI_CQ_FORMAT_TAGGED, operations, ring),
        engine(reader, by_wait_set ? queue.wait_by_set() : queue.wait(), options,
               [this] { queue.note_wake(); }) {}

  void wait_for_reads_of_the_thread(int count) {
    queue.wait_for([count](const Calls& calls) { return calls.readfrom_elsewhere >= count; });
  }

  StandInQueue queue;
  ofi::OperationTable operations;
  ofi::BlockReference block;
  ofi::CompletionRing ring;
  ofi::CompletionReader reader;
  Engine engine;
};

int reads_of(WaitRig& rig, uint32_t spin_ns, TurnBudget* budget) {
  const int before = rig.queue.calls().readfrom;
  rig.engine.poll(spin_ns, budget);
  return rig.queue.calls().readfrom - before;
}

TurnBudget full_budget() {
  TurnBudget budget;
  budget.refill();
  return budget;
}

constexpr uint32_t kSpin = 2'000;

}  // namespace

// ---- wait calls

TEST(queue_without_a_wait_object_sees_no_wait_call) {
  for (const EngineMode mode : {EngineMode::Auto, EngineMode::Inline, EngineMode::Thread}) {
    WaitRig rig(waiting_options(mode, SleepBy::Backoff));
    rig.engine.start();
    TurnBudget budget = full_budget();
    for (int turn = 0; turn < 200; ++turn) {
      if (turn % 5 == 0) rig.queue.push(nullptr, FI_RECV);
      rig.engine.poll(turn % 2 == 0 ? kSpin : 0, &budget);
      rig.ring.consume(rig.ring.available());
      rig.engine.before_sleep(turn * 1'000'000ULL);
      budget.refill();
    }
    if (mode != EngineMode::Inline) rig.wait_for_reads_of_the_thread(50);
    CHECK(rig.engine.stop(60'000));
    Engine::stop_all(1);
    const Calls calls = rig.queue.calls();
    CHECK_EQ(calls.trywait, 0);
    CHECK_EQ(calls.wait_set, 0);
    CHECK_EQ(calls.sread, 0);
    CHECK_EQ(calls.signal, 0);
  }
}

TEST(fd_is_never_waited_on_without_asking) {
  WaitRig rig(waiting_options(EngineMode::Thread, SleepBy::WaitFd));
  rig.engine.start();
  rig.wait_for_reads_of_the_thread(20);
  CHECK(rig.engine.stop(60'000));
  CHECK(rig.queue.calls().trywait > 0);
  CHECK_EQ(rig.queue.calls().sread, 0);
  CHECK_EQ(rig.queue.calls().signal, 0);
}

TEST(queue_of_a_wait_set_is_asked_through_the_set) {
  WaitRig thread(waiting_options(EngineMode::Thread, SleepBy::WaitFd), true);
  thread.engine.start();
  thread.queue.wait_for([](const Calls& calls) { return calls.wait_set >= 3; });
  thread.queue.push(nullptr, FI_RECV);
  thread.queue.wait_for([](const Calls& calls) { return calls.wakes >= 1; });
  CHECK(thread.engine.stop(60'000));
  CHECK_EQ(thread.queue.calls().trywait, 0);

  WaitRig loop(waiting_options(EngineMode::Inline, SleepBy::WaitFd), true);
  CHECK(loop.engine.before_sleep(0) == ofi::Rest::Sleep);
  loop.queue.push(nullptr, FI_RECV);
  CHECK(loop.engine.before_sleep(0) == ofi::Rest::HasRecords);
  CHECK_EQ(loop.queue.calls().wait_set, 1);
  CHECK_EQ(loop.queue.calls().trywait, 0);
}

TEST(sread_queue_is_not_asked_for_its_fd) {
  for (const EngineMode mode : {EngineMode::Thread, EngineMode::Auto}) {
    WaitRig rig(waiting_options(mode, SleepBy::Sread));
    rig.engine.start();
    rig.engine.before_sleep(0);
    rig.queue.wait_for([](const Calls& calls) { return calls.sread >= 3; });
    rig.engine.before_sleep(0);
    CHECK(rig.engine.stop(60'000));
    CHECK_EQ(rig.queue.calls().trywait, 0);
  }
}

TEST(loop_gets_the_queue_back_from_a_thread_that_sleeps_in_it) {
  WaitRig rig(waiting_options(EngineMode::Auto, SleepBy::Sread));
  rig.queue.sread_forgets_timeout = true;
  rig.engine.start();
  rig.engine.before_sleep(0);
  rig.queue.wait_for([](const Calls& calls) { return calls.sread >= 1; });
  // The program posts, and polls for the completion.
  while (rig.reader.is_locked()) rig.engine.poll(0, nullptr);
  CHECK(rig.queue.calls().signal >= 1);
}

TEST(thread_backs_off_from_an_fd_that_refuses_for_ever) {
  WaitRig rig(waiting_options(EngineMode::Thread, SleepBy::WaitFd));
  rig.queue.trywait_answer = -FI_EAGAIN;
  rig.engine.start();
  rig.wait_for_reads_of_the_thread(300);
  rig.queue.push(nullptr, FI_RECV);
  rig.queue.wait_for([](const Calls& calls) { return calls.wakes >= 1; });
  rig.wait_for_reads_of_the_thread(600);
  CHECK(rig.queue.calls().trywait > 0);
  CHECK(rig.queue.calls().trywait <= kWaitsAllowed);
}

TEST(thread_backs_off_from_an_fd_that_stays_readable) {
  WaitRig rig(waiting_options(EngineMode::Thread, SleepBy::WaitFd));
  rig.queue.fd_stays_readable = true;
  rig.engine.start();
  rig.queue.push(nullptr, FI_RECV);
  rig.queue.wait_for([](const Calls& calls) { return calls.wakes >= 1; });
  rig.wait_for_reads_of_the_thread(600);
  CHECK(rig.queue.calls().trywait > 0);
  CHECK(rig.queue.calls().trywait <= kWaitsAllowed);
}

TEST(thread_backs_off_from_a_queue_that_will_not_sleep) {
  WaitRig rig(waiting_options(EngineMode::Thread, SleepBy::Sread));
  rig.queue.sread_answer = -FI_ENOSYS;
  rig.engine.start();
  rig.wait_for_reads_of_the_thread(300);
  rig.queue.push(nullptr, FI_RECV);
  rig.queue.wait_for([](const Calls& calls) { return calls.wakes >= 1; });
  rig.wait_for_reads_of_the_thread(600);
  CHECK(rig.queue.calls().sread > 0);
  CHECK(rig.queue.calls().sread <= kWaitsAllowed);
}

TEST(thread_trusts_a_good_fd_again_after_each_message) {
  WaitRig rig(waiting_options(EngineMode::Thread, SleepBy::WaitFd));
  rig.engine.start();
  for (int round = 1; round <= 200; ++round) {
    rig.queue.push(nullptr, FI_RECV);
    rig.queue.wait_for([round](const Calls& calls) { return calls.wakes >= round; });
    rig.ring.consume(rig.ring.available());
  }
  const int seen = rig.queue.calls().trywait;
  rig.queue.wait_for([seen](const Calls& calls) { return calls.trywait >= seen + 3; });
  CHECK(rig.engine.stop(60'000));
}

// ---- spinning, counted in reads

TEST(spin_reads_until_its_budget_is_spent) {
  WaitRig rig(waiting_options(EngineMode::Inline, SleepBy::Backoff));
  TurnBudget budget = full_budget();
  CHECK_EQ(reads_of(rig, 0, &budget), 1);      // no spin is asked for
  CHECK_EQ(reads_of(rig, kSpin, nullptr), 1);  // nobody gives a budget for one
  // 16 reads before the clock is asked for the first time, then it is once in 8.
  CHECK(reads_of(rig, kSpin, &budget) >= 1 + 16 + 8);
  budget.spin_ns_left = 1;
  CHECK_EQ(reads_of(rig, kSpin, &budget), 1 + 16 + 8);
  CHECK_EQ(budget.spin_ns_left, 0U);
  for (int i = 0; i < 100; ++i) CHECK_EQ(reads_of(rig, kSpin, &budget), 1);
  // The second was cut short by the turn's end, and does not count.
  CHECK_EQ(rig.engine.loop_spins_missed(), 1U);
  budget.refill();
  CHECK(reads_of(rig, kSpin, &budget) >= 1 + 16 + 8);
}

TEST(spin_that_the_turn_cuts_short_is_no_miss) {
  WaitRig rig(waiting_options(EngineMode::Inline, SleepBy::Backoff));
  for (int i = 0; i < 100; ++i) {
    TurnBudget budget = full_budget();
    budget.spin_ns_left = 1;
    CHECK_EQ(reads_of(rig, kSpin, &budget), 1 + 16 + 8);
  }
  CHECK_EQ(rig.engine.loop_spins_missed(), 0U);
  // One that is longer than a turn may spin is, where it had the whole turn.
  TurnBudget budget = full_budget();
  CHECK(reads_of(rig, 1'000'000'000, &budget) > 1 + 16 + 8);
  CHECK_EQ(rig.engine.loop_spins_missed(), 1U);
}

TEST(spin_ends_with_the_first_completion) {
  WaitRig rig(waiting_options(EngineMode::Inline, SleepBy::Backoff));
  rig.queue.on_read = [&rig](int number) {
    if (number == 5) rig.queue.push(nullptr, FI_RECV);
  };
  TurnBudget budget = full_budget();
  CHECK_EQ(rig.engine.poll(1'000'000'000, &budget), 1U);
  CHECK_EQ(rig.queue.calls().readfrom, 5);
  CHECK_EQ(rig.engine.loop_spins_missed(), 0U);
}

TEST(spin_is_off_after_repeated_misses_and_tried_again_as_often) {
  WaitRig rig(waiting_options(EngineMode::Inline, SleepBy::Backoff));
  auto spins = [&rig] {
    TurnBudget budget = full_budget();
    return reads_of(rig, kSpin, &budget) > 1;
  };
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 8; ++i) CHECK(spins());
    for (int i = 0; i < 63; ++i) CHECK(!spins());
  }
  for (int i = 0; i < 8; ++i) CHECK(spins());
  CHECK_EQ(rig.engine.loop_spins_missed(), 32U);
  // A spin that finds something turns it on again.
  for (int i = 0; i < 63; ++i) CHECK(!spins());
  rig.queue.on_read = [&rig, second = rig.queue.calls().readfrom + 2](int number) {
    if (number == second) rig.queue.push(nullptr, FI_RECV);
  };
  CHECK(spins());
  rig.ring.consume(1);
  for (int i = 0; i < 8; ++i) CHECK(spins());
  CHECK(!spins());
}

TEST(no_spin_where_there_is_something_to_do) {
  WaitRig rig(waiting_options(EngineMode::Inline, SleepBy::Backoff));
  TurnBudget budget = full_budget();
  rig.queue.push(nullptr, FI_RECV);
  CHECK_EQ(reads_of(rig, 1'000'000'000, &budget), 1);
  CHECK_EQ(budget.spin_ns_left, full_budget().spin_ns_left);
}

TEST(turn_has_a_budget_of_records) {
  WaitRig rig(waiting_options(EngineMode::Inline, SleepBy::Backoff));
  for (int i = 0; i < 10; ++i) rig.queue.push(nullptr, FI_RECV);
  TurnBudget budget = full_budget();
  budget.records_left = 4;
  CHECK_EQ(rig.engine.poll(0, &budget), 4U);
  CHECK_EQ(budget.records_left, 0U);
  rig.ring.consume(4);
  // The turn is over: nothing more is read before the next, not even by spinning.
  CHECK_EQ(reads_of(rig, kSpin, &budget), 0);
  CHECK_EQ(rig.ring.available(), 0U);
  budget.refill();
  CHECK_EQ(rig.engine.poll(0, &budget), 6U);
}
