// The sink of libfabric's log: one owner, lines that wait up to a bound, and one ring for all of them.
#include "log_sink.h"

#include <atomic>
#include <thread>

#include "harness.h"
#include "libfabric.h"

using ofi::LogLine;
using ofi::LogSink;

namespace {

LogLine line_of(int number) { return {"core", FI_LOG_WARN, FI_LOG_CORE, "test", number, "message"}; }

}  // namespace

TEST(keeps_lines_up_to_a_bound_and_counts_the_others) {
  if (!ofi::library().available) SKIP("there is no libfabric");
  LogSink& sink = LogSink::instance();
  const int owner = 0;
  int rings = 0;
  const int status = sink.start(&owner, FI_LOG_WARN, [&rings] { ++rings; });
  REQUIRE(status == 0);
  constexpr int kMost = static_cast<int>(LogSink::kMostLines);
  for (int number = 0; number < kMost + 5; ++number) sink.add(line_of(number));
  CHECK_EQ(rings, 1);
  const LogSink::Taken taken = sink.take(&owner);
  CHECK_EQ(taken.lines.size(), LogSink::kMostLines);
  CHECK_EQ(taken.dropped, 5U);
  for (int number = 0; number < kMost; ++number) CHECK_EQ(taken.lines[number].line, number);
  // Taken once; what comes then rings again.
  CHECK_EQ(sink.take(&owner).lines.size(), 0U);
  sink.add(line_of(7));
  CHECK_EQ(rings, 2);
  CHECK_EQ(sink.take(&owner).lines.size(), 1U);
  sink.stop(&owner);
}

TEST(has_one_owner) {
  if (!ofi::library().available) SKIP("there is no libfabric");
  LogSink& sink = LogSink::instance();
  const int owner = 0;
  const int other = 0;
  REQUIRE(sink.start(&owner, FI_LOG_INFO, [] {}) == 0);
  CHECK(sink.wants(FI_LOG_INFO));
  CHECK(!sink.wants(FI_LOG_DEBUG));
  CHECK_EQ(sink.start(&other, FI_LOG_DEBUG, [] {}), -FI_EALREADY);
  sink.stop(&other);
  sink.add(line_of(1));
  CHECK_EQ(sink.take(&other).lines.size(), 0U);
  CHECK_EQ(sink.take(&owner).lines.size(), 1U);
  sink.stop(&owner);
  CHECK(!sink.wants(FI_LOG_WARN));
  // Somebody asked before the place was given back.
  sink.add(line_of(2));
  CHECK_EQ(sink.take(&owner).lines.size(), 0U);
  REQUIRE(sink.start(&other, FI_LOG_DEBUG, [] {}) == 0);
  CHECK_EQ(sink.take(&other).lines.size(), 0U);
  sink.stop(&other);
}

TEST(may_be_stopped_while_another_thread_logs) {
  if (!ofi::library().available) SKIP("there is no libfabric");
  LogSink& sink = LogSink::instance();
  std::atomic<bool> done{false};
  std::thread logging([&done] {
    while (!done) {
      fi_info* found = nullptr;
      // Each provider says something.
      if (ofi::library().getinfo(ofi::library().api_version, nullptr, nullptr, 0, nullptr, &found) == 0)
        ofi::library().freeinfo(found);
    }
  });
  const int owner = 0;
  for (int round = 0; round < 20; ++round) {
    std::atomic<bool> rung{false};
    CHECK_EQ(sink.start(&owner, FI_LOG_DEBUG, [&rung] { rung = true; }), 0);
    sink.add(line_of(round));
    CHECK(rung);
    sink.stop(&owner);
  }
  done = true;
  logging.join();
}
