// What libfabric and its providers log, kept until somebody takes it (fi_import_log(3)). libfabric has one place for a sink in
// the whole process, and calls it on whichever thread something happens. Napi-free.
#pragma once

#include <rdma/fi_ext.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "fabric_abi.h"

namespace ofi {

struct LogLine {
  std::string provider;
  int level;
  int subsystem;
  std::string function;
  int line;
  std::string message;
};

class LogSink {
 public:
  // Lines that wait; further ones are counted and dropped, so that a program that does not look needs no more memory.
  static constexpr size_t kMostLines = 4096;

  static LogSink& instance();

  // Takes the place, for an owner, and what is logged up to a level. `ring` tells the owner that there is something to take,
  // once until the next take(); it is called on any thread, under a lock: it must not log. A status; -FI_EALREADY where
  // somebody has the place.
  int start(const void* owner, int level, std::function<void()> ring);
  // Gives the place back, if the owner has it: libfabric writes to stderr again.
  void stop(const void* owner);

  struct Taken {
    std::vector<LogLine> lines;
    uint64_t dropped = 0;  // since the last take
  };
  // Nothing for whoever is not the owner.
  Taken take(const void* owner);

  bool wants(int level) const { return level <= level_.load(std::memory_order_relaxed); }
  void add(LogLine line);

 private:
  LogSink();

  static constexpr int kNothing = -1;

  // Over start() and stop(), which call libfabric; that may log meanwhile, so it is never held by add().
  std::mutex control_;
  std::mutex mutex_;
  std::atomic<int> level_{kNothing};
  const void* owner_ = nullptr;
  std::function<void()> ring_;
  Taken kept_;
  fi_ops_log ops_{};
  fid_logging fid_{};
};

}  // namespace ofi
