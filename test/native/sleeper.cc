#include "sleeper.h"

#include <thread>

#include "harness.h"

using ofi::Sleeper;

namespace {
// Longer than the runner waits for a test: whoever returns from it was woken.
constexpr uint64_t kForEver = 3'600'000'000'000;
}  // namespace

TEST(nudge_before_the_sleep_is_not_lost) {
  Sleeper sleeper;
  sleeper.nudge();
  sleeper.sleep(kForEver);
  sleeper.nudge();
  sleeper.nudge();
  sleeper.sleep(kForEver);
  sleeper.sleep(1);  // nudges do not add up, and a sleep comes to its end
}

TEST(nudge_ends_a_sleep) {
  Sleeper sleeper;
  for (int round = 0; round < 100; ++round) {
    std::thread thread([&sleeper] { sleeper.sleep(kForEver); });
    while (sleeper.pause_ns() == 0) std::this_thread::yield();
    CHECK_EQ(sleeper.pause_ns(), kForEver);
    sleeper.nudge();
    thread.join();
    CHECK_EQ(sleeper.pause_ns(), 0U);
  }
}
