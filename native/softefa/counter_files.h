// A NIC's counters where programs look for them: files of sysfs's hw_counters, a number each.
#pragma once

#include <iterator>
#include <string>

#include "counters.h"
#include "descriptor.h"

namespace softefa {

class CounterFiles {
 public:
  // Writes them all into a folder that is there. Throws std::system_error.
  explicit CounterFiles(const std::string& folder);
  // Writes what has changed, unless it has done so a moment ago. Answers when it wants to be called again.
  uint64_t write(const Counters& counters, uint64_t now_us);

 private:
  Descriptor files_[std::size(kCounterNames)];
  Counters written_;
  uint64_t next_us_ = 0;
};

}  // namespace softefa
