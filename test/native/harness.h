// A test harness in one header, for the parts of the addon that need no Node. Each file in test/native is a program:
//
//   #include "harness.h"
//   TEST(ring_wraps_around) { CHECK(1 + 1 == 2); CHECK_EQ(1 + 1, 2); }
//
// main() is here. It runs the tests in their order in the file (or those whose names contain the first argument),
// prints the failures and, last, `N passed, N failed, N skipped`, which scripts/test.mjs adds up.
#pragma once

#include <atomic>
#include <cstdio>
#include <cstring>
#include <exception>
#include <sstream>
#include <string>
#include <vector>

namespace harness {

struct Test {
  const char* name;
  void (*body)();
};

// Thrown by SKIP and REQUIRE, to leave the test; caught by main.
struct Skip {
  std::string reason;
};
struct Abandon {};

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

// Atomic, as a test's own threads may check things too.
inline std::atomic<bool>& failed() {
  static std::atomic<bool> flag{false};
  return flag;
}

struct Registration {
  Registration(const char* name, void (*body)()) { tests().push_back({name, body}); }
};

inline bool report(bool good, const char* file, int line, const char* what, const std::string& values = "") {
  if (!good) {
    failed() = true;
    std::printf("  %s:%d: failed: %s%s\n", file, line, what, values.c_str());
  }
  return good;
}

template <typename A, typename B>
bool equal(const A& a, const B& b, const char* file, int line, const char* what) {
  if (a == b) return true;
  std::ostringstream values;
  values << " (" << +a << " and " << +b << ")";
  return report(false, file, line, what, values.str());
}

}  // namespace harness

#define TEST(name)                                                        \
  static void test_##name();                                              \
  static const harness::Registration register_##name(#name, test_##name); \
  static void test_##name()

// Records a failure and goes on.
#define CHECK(condition) harness::report(static_cast<bool>(condition), __FILE__, __LINE__, #condition)
// The same for two numbers, and prints them.
#define CHECK_EQ(a, b) harness::equal((a), (b), __FILE__, __LINE__, #a " == " #b)
// Records a failure and leaves the test. From the test's own thread only.
#define REQUIRE(condition)                           \
  do {                                               \
    if (!CHECK(condition)) throw harness::Abandon{}; \
  } while (false)
#define CHECK_THROWS(type, expression)                                         \
  do {                                                                         \
    bool thrown = false;                                                       \
    try {                                                                      \
      static_cast<void>(expression);                                           \
    } catch (const type&) {                                                    \
      thrown = true;                                                           \
    }                                                                          \
    harness::report(thrown, __FILE__, __LINE__, #expression " throws " #type); \
  } while (false)
// Leaves the test; the reason is printed.
#define SKIP(reason) \
  throw harness::Skip { reason }

int main(int argc, char** argv) {
  int passed = 0, failures = 0, skipped = 0;
  // Line by line, so that what a crashed test printed before is not lost.
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  for (const harness::Test& test : harness::tests()) {
    if (argc > 1 && std::strstr(test.name, argv[1]) == nullptr) continue;
    harness::failed() = false;
    try {
      test.body();
    } catch (const harness::Skip& skip) {
      std::printf("skip %s: %s\n", test.name, skip.reason.c_str());
      ++skipped;
      continue;
    } catch (const harness::Abandon&) {
      harness::failed() = true;  // and reported where it was thrown
    } catch (const std::exception& error) {
      harness::report(false, test.name, 0, error.what());
    }
    std::printf("%s %s\n", harness::failed() ? "FAIL" : "ok", test.name);
    ++(harness::failed() ? failures : passed);
  }
  std::printf("%d passed, %d failed, %d skipped\n", passed, failures, skipped);
  return failures == 0 ? 0 : 1;
}
