#include "log_sink.h"

#include <utility>

#include "libfabric.h"
#include "sleeper.h"

namespace ofi {

namespace {

// As libfabric's own: what may be logged again and again is so at most this often.
constexpr uint64_t kSparseMs = 2000;

// FI_LOG_PROV_FILTERED: the variable FI_LOG_PROV leaves the provider out.
int is_enabled(const fi_provider* /*provider*/, fi_log_level level, fi_log_subsys /*subsystem*/,
               uint64_t flags) {
  return static_cast<int>((flags & FI_LOG_PROV_FILTERED) == 0 && LogSink::instance().wants(level));
}

int is_ready(const fi_provider* provider, fi_log_level level, fi_log_subsys subsystem, uint64_t flags,
             uint64_t* show_time) {
  if (is_enabled(provider, level, subsystem, flags) == 0) return 0;
  const uint64_t now = monotonic_ns() / 1'000'000;
  if (now < *show_time) return 0;
  *show_time = now + kSparseMs;
  return 1;
}

std::string text(const char* value) { return value == nullptr ? "" : value; }

void add_line(const fi_provider* provider, fi_log_level level, fi_log_subsys subsystem, const char* function,
              int line, const char* message) {
  // C++'s exceptions, of memory that is short, must not pass through a library in C: then the line is lost.
  try {
    LogSink::instance().add({text(provider == nullptr ? nullptr : provider->name), level, subsystem,
                             text(function), line, text(message)});
  } catch (...) {  // NOLINT(bugprone-empty-catch)
  }
}

}  // namespace

LogSink& LogSink::instance() {
  // Never destroyed: threads of providers may log while the process ends.
  static auto* const one = new LogSink();
  return *one;
}

LogSink::LogSink() {
  ops_.size = sizeof(ops_);
  ops_.enabled = is_enabled;
  ops_.ready = is_ready;
  ops_.log = add_line;
}

int LogSink::start(const void* owner, int level, std::function<void()> ring) {
  const std::lock_guard<std::mutex> control(control_);
  if (library().open == nullptr) return -FI_ENOSYS;
  // What libfabric was given stays as it is.
  if (owner_ != nullptr) return -FI_EALREADY;
  fid_.fid = {};
  fid_.fid.fclass = FI_CLASS_LOG;
  fid_.ops = &ops_;
  fid* place = nullptr;
  int status = library().open(library().api_version, "logging", nullptr, 0, 0, &place, this);
  if (status != 0) return status;
  status = fi_import_fid(place, &fid_.fid, 0);
  fi_close(place);
  if (status != 0) return status;
  const std::lock_guard<std::mutex> guard(mutex_);
  owner_ = owner;
  ring_ = std::move(ring);
  kept_ = {};
  level_ = level;
  return 0;
}

void LogSink::stop(const void* owner) {
  const std::lock_guard<std::mutex> control(control_);
  {
    const std::lock_guard<std::mutex> guard(mutex_);
    if (owner_ != owner || owner == nullptr) return;
    level_ = kNothing;
    owner_ = nullptr;
    ring_ = nullptr;
    kept_ = {};
  }
  fi_close(&fid_.fid);
}

LogSink::Taken LogSink::take(const void* owner) {
  const std::lock_guard<std::mutex> guard(mutex_);
  return owner == owner_ ? std::exchange(kept_, {}) : Taken{};
}

void LogSink::add(LogLine line) {
  const std::lock_guard<std::mutex> guard(mutex_);
  // Asked for before the place was given back.
  if (owner_ == nullptr) return;
  if (kept_.lines.size() == kMostLines) {
    ++kept_.dropped;
    return;
  }
  kept_.lines.push_back(std::move(line));
  if (kept_.lines.size() == 1) ring_();
}

}  // namespace ofi
