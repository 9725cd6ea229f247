// The progress engine: makes sure that somebody reads the completion queue. The environment's thread ("the loop") reads
// while it is awake; the engine's own thread takes over while the loop is asleep without a file descriptor to wake it,
// or away computing. Napi-free; loop_watch.cc and completion_queue.cc drive it from the loop.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>

#include "completion_reader.h"
#include "sleeper.h"

namespace ofi {

enum class EngineMode : uint8_t { Auto, Inline, Thread };

// How a sleeper learns that there is something to read.
enum class SleepBy : uint8_t {
  WaitFd,   // the queue's file descriptor, fi_trywait before every sleep
  Sread,    // fi_cq_sread on the engine's thread
  Backoff,  // looking again after a growing pause
};

struct EngineOptions {
  EngineMode mode = EngineMode::Auto;
  SleepBy sleep_by = SleepBy::Backoff;
  uint32_t spin_ns = 20'000;
  // The longest pause between looks where nothing else would tell of something to read.
  uint32_t max_sleep_ns = 1'000'000;
  // How many regions of the domain peers may read and write, which brings this side no completion.
  std::shared_ptr<const std::atomic<uint32_t>> lent_regions;
  // Whether the environment has a loop watch. Without one nobody tells when the loop goes to sleep, so the thread
  // always reads.
  bool loop_tells = true;
};

// What the loop may spend on reading before it must turn, over all engines of an environment.
struct TurnBudget {
  static constexpr uint64_t kSpinNs = 500'000;
  uint64_t spin_ns_left = 0;
  uint32_t records_left = 0;
  void refill() {
    spin_ns_left = kSpinNs;
    records_left = 512;
  }
};

// What a spin looks for.
enum class Until : uint8_t {
  Anything,
  Received,  // or failed: good sends alone are not what the caller is waiting for
};

// What a sleeper waits on, and how it makes sure that it may.
struct WaitFd {
  fid_fabric* fabric = nullptr;
  fid* queue = nullptr;
  fid_wait* wait_set = nullptr;  // where the queue was opened with FI_WAIT_SET
  int fd = -1;
};

enum class Rest : uint8_t {
  HasRecords,  // JavaScript has something to do
  StayAwake,   // turn the loop again without sleeping
  Sleep,       // something will wake the loop
  SleepTimed,  // nothing will for certain: look again after longest_pause_ns()
};

class Engine {
 public:
  static constexpr uint64_t kPausesBesideWatchedFd = 4;

  // `wake` is called on the engine's thread, and must not block.
  Engine(CompletionReader& reader, const WaitFd& wait, const EngineOptions& options,
         std::function<void()> wake);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  void start();
  // Idempotent. After it returned no thread of the engine is in libfabric. False if the thread did not come back
  // from the provider in time; it is then left to itself and nothing it uses may be freed.
  bool stop(uint32_t bound_ms);

  // The loop: reads and returns how many records are in the ring. Spins up to `spin_ns` for the first one that is wanted, within the
  // budget of the loop's turn.
  uint32_t poll(uint32_t spin_ns, TurnBudget* budget, Until until = Until::Anything);
  // The loop is about to block; or to turn on at once, for reasons of its own.
  Rest before_sleep(uint64_t now_ns, bool turns_anyway = false);
  // Something was posted: stay awake for its completion.
  void note_activity() { ++activity_; }
  // Something was there that brings no completion.
  void note_traffic() {
    ++activity_;
    vain_awakenings_ = 0;
    refusals_to_sleep_ = 0;
  }
  // Whether peers have access to memory of this side's.
  bool lends_memory() const {
    return options_.lent_regions != nullptr && options_.lent_regions->load(std::memory_order_relaxed) != 0;
  }
  // From now on no wait call is made on the queue, only reads.
  void give_up_waiting() { waiting_given_up_.store(true); }

  const EngineOptions& options() const { return options_; }
  int wait_fd() const { return wait_.fd; }
  // Without trust: the loop found that the wait fd stays readable though there is nothing to read. It is woken by what
  // happens at the fd then, not by its state, and looks now and then for what it may have missed.
  void trust_fd(bool trust) { fd_is_trusted_ = trust; }
  // Whether the loop itself watches the wait fd.
  bool loop_watches_fd() const {
    return options_.sleep_by == SleepBy::WaitFd && options_.mode != EngineMode::Thread && options_.loop_tells;
  }
  // Beside a file descriptor that wakes as a rule a rarer look is enough, and costs an idle program less: rxm's on
  // libfabric 2.1 stays readable, or its fi_trywait refuses for ever.
  uint64_t longest_pause_ns() const {
    const bool may_be_woken = loop_watches_fd() && !waiting_given_up_.load(std::memory_order_relaxed);
    return options_.max_sleep_ns * (may_be_woken ? kPausesBesideWatchedFd : 1);
  }
  uint64_t thread_reads() const { return thread_reads_.load(std::memory_order_relaxed); }
  uint64_t loop_spins_missed() const { return spins_missed_; }

  // How long the thread sleeps beside a loop that has read so often in its last sleep of `interval_ns`.
  static uint64_t tick_beside(uint64_t reads, uint64_t interval_ns);

  // At process exit: stops every engine of the process.
  static void stop_all(uint32_t bound_ms);

 private:
  void run();
  uint32_t read_as_thread();
  void rest_as_thread(uint64_t interval_ns);
  bool has(Until until) const;
  bool look(uint32_t times, Until until);
  bool spins_now();
  bool spin(uint64_t budget_ns, uint64_t* spent_ns, Until until);
  bool wait_is_armed();
  bool wait_may_begin();
  void hand_over();
  bool stays_awake(uint64_t now_ns);
  bool may_refuse_on(uint64_t now_ns);
  // Whether reading is the thread's business alone.
  bool in_charge() const {
    return options_.mode == EngineMode::Thread || !options_.loop_tells ||
           asleep_.load(std::memory_order_seq_cst);
  }

  CompletionReader& reader_;
  WaitFd wait_;
  int stop_fd_ = -1;
  EngineOptions options_;
  std::function<void()> wake_;

  // The loop's own.
  uint64_t activity_ = 0;
  uint64_t activity_seen_ = 0;
  uint64_t awake_until_ns_ = 0;
  uint32_t vain_awakenings_ = 0;
  uint32_t skipped_awakenings_ = 0;
  uint32_t misses_ = 0;
  uint32_t skipped_spins_ = 0;
  uint32_t refusals_to_sleep_ = 0;
  uint64_t refused_since_ns_ = 0;
  uint64_t spins_missed_ = 0;
  bool fd_is_trusted_ = true;

  // The thread's own.
  uint32_t vain_waits_ = 0;

  // Shared with the thread.
  std::atomic<bool> asleep_{false};
  std::atomic<uint64_t> hand_overs_{0};
  std::atomic<uint64_t> loop_reads_{0};
  std::atomic<uint64_t> thread_reads_{0};
  std::atomic<bool> waiting_given_up_{false};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> finished_{true};
  Sleeper sleeper_;
  std::thread thread_;
};

}  // namespace ofi
