// fi_getinfo, and the opening and closing of fabrics and domains, one at a time in the whole process. Napi-free.
#pragma once

#include <chrono>
#include <mutex>

namespace ofi {

// libfabric calls these thread-safe, and efa is not: in 1.17 two first calls of fi_getinfo end the process, and up to 2.1
// at least its list of all domains has no lock. A call that hangs makes the others wait for so long only.
class ControlTurn {
 public:
  ControlTurn() : lock_(mutex(), std::chrono::seconds(5)) {}

 private:
  static std::timed_mutex& mutex() {
    // Never destroyed: threads may still be in the library while the process ends.
    static auto* const one = new std::timed_mutex();
    return *one;
  }
  std::unique_lock<std::timed_mutex> lock_;
};

}  // namespace ofi
