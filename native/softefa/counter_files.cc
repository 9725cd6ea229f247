#include "counter_files.h"

#include <fcntl.h>

#include <cerrno>
#include <system_error>

namespace softefa {

namespace {

// A busy NIC has more to do than to write files.
constexpr uint64_t kPauseUs = 50'000;

void write_number(int file, uint64_t value) {
  const std::string text = std::to_string(value) + "\n";
  // It only grows, so that nothing of what was there before stays.
  static_cast<void>(!pwrite(file, text.data(), text.size(), 0));
}

}  // namespace

CounterFiles::CounterFiles(const std::string& folder) {
  for (size_t index = 0; index < std::size(kCounterNames); ++index) {
    const std::string path = folder + "/" + kCounterNames[index].first;
    files_[index] = Descriptor(open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0444));
    if (!files_[index].is_open()) throw std::system_error(errno, std::generic_category(), path);
    write_number(files_[index].get(), 0);
  }
}

uint64_t CounterFiles::write(const Counters& counters, uint64_t now_us) {
  bool has_changed = false;
  for (size_t index = 0; index < std::size(kCounterNames); ++index) {
    const uint64_t Counters::* const member = kCounterNames[index].second;
    if (counters.*member == written_.*member) continue;
    has_changed = true;
    if (now_us >= next_us_) write_number(files_[index].get(), counters.*member);
  }
  if (!has_changed) return UINT64_MAX;
  if (now_us < next_us_) return next_us_;
  written_ = counters;
  next_us_ = now_us + kPauseUs;
  return UINT64_MAX;
}

}  // namespace softefa
