#include "progress.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <set>

#include "signal_mask.h"

namespace ofi {

namespace {

constexpr uint64_t kShortestPause = 10'000;
// How long the loop may go without reading before the thread takes its place.
constexpr uint64_t kAwayTick = 1'000'000;
// The thread's tick grows to this while there is nothing for it to do.
constexpr uint64_t kIdleTick = 8'000'000;
// A loop that reads so often in that time is busy with messages.
constexpr uint64_t kBusyReads = 32;
constexpr uint32_t kThreadBatch = 256;
// Looks before a spin takes the time, and what they count for in the budget.
constexpr uint32_t kFreeLooks = 16;
constexpr uint64_t kFreeLooksNs = 500;
// Spins that found nothing in a row, after which spinning is off for so many calls.
constexpr uint32_t kMissesAllowed = 8;
constexpr uint32_t kSpinsSkipped = 64;
// More good sends than these are news in themselves.
constexpr uint32_t kSendsLookedThrough = 16;
// How often in a row fi_trywait may refuse, or a wait end at once, while nothing is there to read, before the queue's
// wait object is not trusted.
constexpr uint32_t kRefusalsAllowed = 64;
// For how long it may where peers have access to memory: what they move keeps a queue busy without any completion.
constexpr uint64_t kRefusalsAllowedToLenderNs = 2'000'000'000;
// Such a queue is read so many times in one turn of the loop, since each time takes in one message of one peer.
constexpr uint32_t kLooksOfLender = 16;
// Periods of staying awake that found nothing in a row, after which the loop sleeps at once so many times.
constexpr uint32_t kVainAwakenings = 4;
constexpr uint32_t kAwakeningsSkipped = 32;
// The loop stays awake for this many spins after the last activity: longer than a peer takes that has to be woken.
constexpr uint64_t kAwakeSpins = 25;

std::mutex engines_mutex;
std::set<Engine*>& engines() {
  // Never destroyed: an exit handler uses it after static destructors may have run.
  static auto* all = new std::set<Engine*>();
  return *all;
}

}  // namespace

Engine::Engine(CompletionReader& reader, const WaitFd& wait, const EngineOptions& options,
               std::function<void()> wake)
    : reader_(reader), wait_(wait), options_(options), wake_(std::move(wake)) {}

Engine::~Engine() { stop(0); }

void Engine::start() {
  // Read once, at once: EFA posts its receive buffers on the first read.
  if (reader_.try_lock()) {
    reader_.read(1);
    reader_.unlock();
  }
  if (options_.mode == EngineMode::Inline) return;
  stop_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  finished_.store(false);
  const SignalsBlocked blocked;
  thread_ = std::thread([this] { run(); });
  const std::lock_guard<std::mutex> guard(engines_mutex);
  engines().insert(this);
}

bool Engine::stop(uint32_t bound_ms) {
  if (!thread_.joinable()) return finished_.load();
  stopping_.store(true);
  sleeper_.nudge();
  reader_.wake();
  const uint64_t one = 1;
  if (write(stop_fd_, &one, sizeof(one)) < 0) { /* full already: it is awake */
  }
  const uint64_t deadline = monotonic_ns() + static_cast<uint64_t>(bound_ms) * 1'000'000U;
  // Bounded: a provider call that never returns must not hang the process. 0 waits for ever, for owners whose
  // memory the thread uses.
  while (!finished_.load() && (bound_ms == 0 || monotonic_ns() < deadline)) {
    reader_.wake();  // again and again: the thread may have been on its way into the wait
    usleep(50);
  }
  const std::lock_guard<std::mutex> guard(engines_mutex);
  engines().erase(this);
  if (bound_ms != 0 && !finished_.load()) {
    thread_.detach();
    return false;
  }
  thread_.join();
  close(stop_fd_);
  stop_fd_ = -1;
  return true;
}

void Engine::stop_all(uint32_t bound_ms) {
  std::set<Engine*> all;
  {
    const std::lock_guard<std::mutex> guard(engines_mutex);
    all = engines();
  }
  for (Engine* engine : all) engine->stop(bound_ms);
}

// ---- the loop's side

bool Engine::has(Until until) const {
  const CompletionRing& ring = reader_.ring();
  const uint32_t available = ring.available();
  if (until == Until::Anything || available > kSendsLookedThrough) return available != 0;
  for (uint32_t i = 0; i < available; ++i) {
    const CompletionRecord& record = ring.peek(i);
    if (record.error != 0 || (record.flags & FI_RECV) != 0) return true;
  }
  return false;
}

bool Engine::look(uint32_t times, Until until) {
  // Once for all looks, since locking costs as much as a look does. Somebody else who reads will not take a microsecond.
  const bool locked = reader_.try_lock();
  bool found = false;
  for (uint32_t i = 0; i < times && !found; ++i) {
    if (i != 0) pause_between_looks();
    if (locked) reader_.read(kThreadBatch);
    found = has(until);
  }
  if (locked) reader_.unlock();
  return found;
}

bool Engine::spin(uint64_t budget_ns, uint64_t* spent_ns, Until until) {
  // An answer that is already on its way is found without asking what time it is.
  *spent_ns = kFreeLooksNs;
  if (look(kFreeLooks, until)) return true;
  const uint64_t start = monotonic_ns();
  uint64_t spent = 0;
  bool found = false;
  // What is found is answered before another look at the clock: the last looks are not counted.
  while (!found && spent < budget_ns) {
    found = look(8, until);
    if (!found) spent = monotonic_ns() - start;
  }
  *spent_ns += spent;
  return found;
}

// Spinning that was in vain repeatedly is given up, and tried again later as many times: two that have both given it up
// find back only by trying at the same time.
bool Engine::spins_now() {
  if (misses_ < kMissesAllowed) return true;
  if (++skipped_spins_ % kSpinsSkipped != 0) return false;
  misses_ = 0;
  return true;
}

uint32_t Engine::poll(uint32_t spin_ns, TurnBudget* budget, Until until) {
  // Only the loop writes it.
  loop_reads_.store(loop_reads_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  asleep_.store(false, std::memory_order_relaxed);
  CompletionRing& ring = reader_.ring();
  if (options_.mode == EngineMode::Thread && spin_ns == 0) return ring.available();
  if (budget != nullptr && budget->records_left == 0) return ring.available();
  if (reader_.try_lock()) {
    reader_.read(budget != nullptr ? budget->records_left : kThreadBatch);
    reader_.unlock();
  } else {
    reader_.wake();
  }
  if (!has(until) && spin_ns != 0 && budget != nullptr && budget->spin_ns_left != 0) {
    if (!spins_now()) return ring.available();
    uint64_t spent = 0;
    const uint64_t most = std::min<uint64_t>(spin_ns, budget->spin_ns_left);
    // One that the turn's end cut short says nothing of what comes.
    const bool whole = most == std::min<uint64_t>(spin_ns, TurnBudget::kSpinNs);
    if (spin(most, &spent, until)) {
      misses_ = 0;
    } else if (whole) {
      ++misses_;
      ++spins_missed_;
    }
    budget->spin_ns_left -= std::min(spent, budget->spin_ns_left);
  }
  const uint32_t available = ring.available();
  if (available != 0) {
    ++activity_;
    if (budget != nullptr) budget->records_left -= std::min(available, budget->records_left);
  }
  return available;
}

bool Engine::wait_is_armed() {
  // It may make progress, which is the reader's to do: an endpoint that is being closed holds the lock.
  if (!reader_.try_lock()) return false;
  const bool armed = wait_may_begin();
  reader_.unlock();
  return armed;
}

bool Engine::wait_may_begin() {
  if (waiting_given_up_.load(std::memory_order_relaxed)) return false;
  // A wait set answers a wait of no time with a timeout where there is nothing to read; it clears old signals by it.
  if (wait_.wait_set != nullptr) return fi_wait(wait_.wait_set, 0) == -FI_ETIMEDOUT;
  fid* fids[1] = {wait_.queue};
  return fi_trywait(wait_.fabric, fids, 1) == 0;
}

void Engine::hand_over() {
  asleep_.store(true, std::memory_order_seq_cst);
  hand_overs_.fetch_add(1, std::memory_order_seq_cst);
  // A thread in a long pause is told, and so is one that is awake: it may be about to begin a long one. One in a short
  // pause finds out soon enough without a system call.
  const uint64_t pause = sleeper_.pause_ns();
  if (pause == 0 || pause > kShortestPause * 4) sleeper_.nudge();
}

// Turning the loop without sleeping finds an answer sooner, but takes the processor from whoever is to give it where
// processors are few. So it is given up and tried again as spinning is.
bool Engine::stays_awake(uint64_t now_ns) {
  if (activity_ != activity_seen_) {
    activity_seen_ = activity_;
    if (vain_awakenings_ >= kVainAwakenings && ++skipped_awakenings_ % kAwakeningsSkipped == 0)
      vain_awakenings_ = 0;
    const bool worthwhile = vain_awakenings_ < kVainAwakenings;
    awake_until_ns_ = worthwhile ? now_ns + options_.spin_ns * kAwakeSpins : 0;
  }
  if (now_ns < awake_until_ns_) return true;
  if (awake_until_ns_ != 0) ++vain_awakenings_;
  awake_until_ns_ = 0;
  return false;
}

bool Engine::may_refuse_on(uint64_t now_ns) {
  if (refusals_to_sleep_++ == 0) refused_since_ns_ = now_ns;
  if (refusals_to_sleep_ < kRefusalsAllowed) return true;
  return lends_memory() && now_ns - refused_since_ns_ < kRefusalsAllowedToLenderNs;
}

Rest Engine::before_sleep(uint64_t now_ns, bool turns_anyway) {
  if (poll(0, nullptr) != 0) {
    if (now_ns < awake_until_ns_) vain_awakenings_ = 0;
    return Rest::HasRecords;
  }
  if (options_.mode == EngineMode::Thread) return Rest::Sleep;
  // The thread would be woken, or the provider be asked, for a sleep that does not come.
  if (turns_anyway || stays_awake(now_ns)) return Rest::StayAwake;
  if (loop_watches_fd() && !waiting_given_up_.load(std::memory_order_relaxed)) {
    if (wait_is_armed()) {
      refusals_to_sleep_ = 0;
      if (fd_is_trusted_) return Rest::Sleep;
    } else {
      // fi_trywait refuses where there is something to read; rxm tells everything so.
      const uint32_t looks = lends_memory() ? kLooksOfLender : 1;
      for (uint32_t i = 0; i < looks; ++i)
        if (poll(0, nullptr) != 0) return Rest::HasRecords;
      if (may_refuse_on(now_ns)) return Rest::StayAwake;
      // It refuses for ever.
    }
    // Sleep anyway, and let the thread (or a timer) look.
  }
  if (options_.mode == EngineMode::Inline) return Rest::SleepTimed;
  hand_over();
  return Rest::Sleep;
}

// ---- the thread's side

uint32_t Engine::read_as_thread() {
  if (!reader_.try_lock()) return 0;
  const uint32_t got = reader_.read(kThreadBatch);
  reader_.unlock();
  if (got != 0) {
    thread_reads_.fetch_add(got, std::memory_order_relaxed);
    vain_waits_ = 0;
  }
  return got;
}

void Engine::rest_as_thread(uint64_t interval_ns) {
  // Waits that end at once, again and again, would burn a core: net 1.17's fd stays readable after its first event.
  const bool trusted = options_.sleep_by != SleepBy::Backoff && vain_waits_ < kRefusalsAllowed &&
                       !waiting_given_up_.load(std::memory_order_relaxed);
  if (!trusted || !in_charge() || interval_ns <= kShortestPause * 4) {
    sleeper_.sleep(interval_ns);
    return;
  }
  if (options_.sleep_by == SleepBy::WaitFd) {
    ++vain_waits_;
    if (!wait_is_armed()) {
      sleeper_.sleep(kShortestPause);
      return;
    }
    pollfd fds[2] = {{wait_.fd, POLLIN, 0}, {stop_fd_, POLLIN, 0}};
    if (::poll(fds, 2, static_cast<int>(kIdleTick / 1'000'000)) == 0) vain_waits_ = 0;
    return;
  }
  if (!reader_.try_lock()) {
    sleeper_.sleep(kShortestPause);
    return;
  }
  if (waiting_given_up_.load(std::memory_order_relaxed)) {
    reader_.unlock();
    return;
  }
  const int32_t got = reader_.read_blocking(std::max(1, static_cast<int>(options_.max_sleep_ns / 1'000'000)));
  reader_.unlock();
  vain_waits_ = got < 0 ? vain_waits_ + 1 : 0;
  if (got > 0) wake_();
}

// Each look takes the processor of a loop that spins, where it has no other, for longer than its peer spins for an answer. One
// that reads all the time is therefore looked after more and more rarely.
uint64_t Engine::tick_beside(uint64_t reads, uint64_t interval_ns) {
  if (reads * kAwayTick < kBusyReads * std::max(interval_ns, kAwayTick)) return kAwayTick;
  return std::clamp(interval_ns * 2, kAwayTick, kIdleTick);
}

void Engine::run() {
  pthread_setname_np(pthread_self(), "libfabric");
  // Pauses of 10 µs are meant: the kernel's default slack is 50 µs.
  prctl(PR_SET_TIMERSLACK, 1'000UL, 0, 0, 0);
  uint64_t interval = kAwayTick;
  uint64_t reads_seen = 0;
  uint64_t hand_overs_seen = 0;
  while (!stopping_.load(std::memory_order_relaxed)) {
    const bool in_charge = this->in_charge();
    const uint64_t hand_overs = hand_overs_.load(std::memory_order_seq_cst);
    const uint64_t reads = loop_reads_.load(std::memory_order_relaxed);
    const bool loop_is_away = reads == reads_seen;
    const uint32_t got = in_charge || loop_is_away ? read_as_thread() : 0;
    if (got != 0) wake_();
    if (got != 0 || hand_overs != hand_overs_seen) {
      interval = kShortestPause;
    } else if (!in_charge && !loop_is_away) {
      interval = tick_beside(reads - reads_seen, interval);
    } else {
      interval = std::min<uint64_t>(interval * 2, in_charge ? longest_pause_ns() : kIdleTick);
    }
    reads_seen = reads;
    hand_overs_seen = hand_overs;
    rest_as_thread(interval);
  }
  finished_.store(true, std::memory_order_release);
}

}  // namespace ofi
