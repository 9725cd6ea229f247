// A completion queue made of plain tables: for what no provider produces on demand, and to count the calls that reach
// it. What a test waits for is a count of calls or of wakes, never an amount of time.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "progress.h"

class StandInQueue {
 public:
  struct Calls {
    int readfrom = 0;
    int readfrom_elsewhere = 0;  // on another thread than the one that made the queue
    int readerr = 0;
    int sread = 0;
    int signal = 0;
    int trywait = 0;
    int wait_set = 0;
    int wakes = 0;  // note_wake: no call of the queue's, but waited for in the same way
  };

  // Set before another thread uses the queue.
  fi_cq_format format = FI_CQ_FORMAT_TAGGED;
  ssize_t empty_answer = -FI_EAGAIN;       // what reading an empty queue answers
  bool names_sources = true;               // otherwise the array of senders is left alone
  std::optional<fi_addr_t> error_source;   // as a library asked for API 1.20 writes it
  bool overwrites_error_tail = false;      // writes error entries longer than any that is declared
  bool claims_errors = false;              // an empty queue says that there is an error, and then has none
  std::optional<int> trywait_answer;       // otherwise the truth
  std::optional<ssize_t> sread_answer;     // otherwise sleeps
  bool sread_forgets_timeout = false;      // as shm 1.17 does
  bool fd_stays_readable = false;          // after its first event, as net 1.17's does
  std::function<void(int count)> on_read;  // called in each readfrom, with its number

  StandInQueue() : owner_(std::this_thread::get_id()), wait_fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    queue_.cq.fid.fclass = FI_CLASS_CQ;
    queue_.cq.ops = &ops_;
    queue_.self = this;
    fabric_.fabric.fid.fclass = FI_CLASS_FABRIC;
    fabric_.fabric.ops = &fabric_ops_;
    fabric_.self = this;
    wait_set_.wait.fid.fclass = FI_CLASS_WAIT;
    wait_set_.wait.ops = &wait_ops_;
    wait_set_.self = this;
  }
  StandInQueue(const StandInQueue&) = delete;
  StandInQueue& operator=(const StandInQueue&) = delete;
  ~StandInQueue() { close(wait_fd_); }

  fid_cq* handle() { return &queue_.cq; }
  ofi::WaitFd wait() {
    ofi::WaitFd wait;
    wait.fabric = &fabric_.fabric;
    wait.queue = &queue_.cq.fid;
    wait.fd = wait_fd_;
    return wait;
  }
  // As of a queue that was opened with a wait set of the fabric's.
  ofi::WaitFd wait_by_set() {
    ofi::WaitFd by_set = wait();
    by_set.wait_set = &wait_set_.wait;
    return by_set;
  }

  void push(void* context, uint64_t flags = FI_SEND | FI_TAGGED, size_t length = 0, uint64_t data = 0,
            uint64_t tag = 0, fi_addr_t source = FI_ADDR_NOTAVAIL) {
    Event event;
    event.good = {context, flags, length, nullptr, data, tag};
    event.source = source;
    add(event);
  }

  void push_error(const fi_cq_err_entry& error) {
    Event event;
    event.is_error = true;
    event.error = error;
    add(event);
  }

  size_t unread() const {
    const std::lock_guard<std::mutex> guard(mutex_);
    return events_.size();
  }
  Calls calls() const {
    const std::lock_guard<std::mutex> guard(mutex_);
    return calls_;
  }
  void note_wake() { note(&Calls::wakes); }

  // Returns once the counts are as wanted. That they never are is a hang, which the runner's limit ends.
  void wait_for(const std::function<bool(const Calls&)>& wanted) const {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return wanted(calls_); });
  }

 private:
  struct Event {
    bool is_error = false;
    fi_cq_tagged_entry good{};
    fi_addr_t source = FI_ADDR_NOTAVAIL;
    fi_cq_err_entry error{};
  };
  // The library's structures come first, so that their addresses lead back to the queue.
  struct QueueFid {
    fid_cq cq{};
    StandInQueue* self = nullptr;
  };
  struct FabricFid {
    fid_fabric fabric{};
    StandInQueue* self = nullptr;
  };

  struct WaitSetFid {
    fid_wait wait{};
    StandInQueue* self = nullptr;
  };

  static StandInQueue& of(fid_cq* queue) { return *reinterpret_cast<QueueFid*>(queue)->self; }

  void note(int Calls::* counter) {
    const std::lock_guard<std::mutex> guard(mutex_);
    ++(calls_.*counter);
    changed_.notify_all();
  }

  void add(const Event& event) {
    const std::lock_guard<std::mutex> guard(mutex_);
    events_.push_back(event);
    const uint64_t one = 1;
    static_cast<void>(!write(wait_fd_, &one, sizeof(one)));
    changed_.notify_all();
  }

  // Under the mutex.
  ssize_t take(void* buffer, size_t count, fi_addr_t* sources) {
    if (events_.empty()) return claims_errors ? -FI_EAVAIL : empty_answer;
    if (events_.front().is_error) return -FI_EAVAIL;
    const size_t entry_size =
        format == FI_CQ_FORMAT_TAGGED ? sizeof(fi_cq_tagged_entry) : sizeof(fi_cq_data_entry);
    size_t taken = 0;
    while (taken < count && !events_.empty() && !events_.front().is_error) {
      std::memcpy(static_cast<char*>(buffer) + taken * entry_size, &events_.front().good, entry_size);
      if (names_sources) sources[taken] = events_.front().source;
      events_.pop_front();
      ++taken;
    }
    return static_cast<ssize_t>(taken);
  }

  static ssize_t readfrom(fid_cq* queue, void* buffer, size_t count, fi_addr_t* sources) {
    StandInQueue& self = of(queue);
    int number = 0;
    {
      const std::lock_guard<std::mutex> guard(self.mutex_);
      number = ++self.calls_.readfrom;
      if (std::this_thread::get_id() != self.owner_) ++self.calls_.readfrom_elsewhere;
      self.changed_.notify_all();
    }
    if (self.on_read) self.on_read(number);
    const std::lock_guard<std::mutex> guard(self.mutex_);
    return self.take(buffer, count, sources);
  }

  static ssize_t readerr(fid_cq* queue, fi_cq_err_entry* entry, uint64_t) {
    StandInQueue& self = of(queue);
    const std::lock_guard<std::mutex> guard(self.mutex_);
    ++self.calls_.readerr;
    if (self.events_.empty() || !self.events_.front().is_error) return -FI_EAGAIN;
    *entry = self.events_.front().error;
    if (self.error_source) reinterpret_cast<ofi::CqErrorEntry*>(entry)->src_addr = *self.error_source;
    if (self.overwrites_error_tail)
      std::memset(reinterpret_cast<char*>(entry) + offsetof(ofi::CqErrorEntry, tail_room), 0xa5, 32);
    self.events_.pop_front();
    return 1;
  }

  static ssize_t sreadfrom(fid_cq* queue, void* buffer, size_t count, fi_addr_t* sources, const void*,
                           int timeout) {
    StandInQueue& self = of(queue);
    std::unique_lock<std::mutex> lock(self.mutex_);
    ++self.calls_.sread;
    self.changed_.notify_all();
    if (self.sread_answer) return *self.sread_answer;
    auto ready = [&self] { return !self.events_.empty() || self.signalled_; };
    if (self.sread_forgets_timeout)
      self.changed_.wait(lock, ready);
    else
      self.changed_.wait_for(lock, std::chrono::milliseconds(timeout), ready);
    self.signalled_ = false;
    return self.take(buffer, count, sources);
  }

  static int signal(fid_cq* queue) {
    StandInQueue& self = of(queue);
    const std::lock_guard<std::mutex> guard(self.mutex_);
    ++self.calls_.signal;
    self.signalled_ = true;
    self.changed_.notify_all();
    return 0;
  }

  static const char* strerror(fid_cq*, int provider_error, const void* data, char* buffer, size_t length) {
    if (provider_error == 0) return nullptr;
    std::snprintf(buffer, length, "provider error %d: %s", provider_error,
                  data == nullptr ? "no data" : static_cast<const char*>(data));
    return buffer;
  }

  static int trywait(fid_fabric* fabric, fid** fids, int count) {
    StandInQueue& self = *reinterpret_cast<FabricFid*>(fabric)->self;
    const std::lock_guard<std::mutex> guard(self.mutex_);
    ++self.calls_.trywait;
    self.changed_.notify_all();
    if (count != 1 || fids[0] != &self.queue_.cq.fid) return -FI_EINVAL;
    if (self.trywait_answer) return *self.trywait_answer;
    if (!self.events_.empty()) return -FI_EAGAIN;
    self.drain();
    return 0;
  }

  static int wait_on_set(fid_wait* wait_set, int timeout) {
    StandInQueue& self = *reinterpret_cast<WaitSetFid*>(wait_set)->self;
    const std::lock_guard<std::mutex> guard(self.mutex_);
    ++self.calls_.wait_set;
    self.changed_.notify_all();
    if (timeout != 0) return -FI_EINVAL;
    if (!self.events_.empty()) return 0;
    self.drain();
    return -FI_ETIMEDOUT;
  }

  void drain() {
    uint64_t drained = 0;
    if (!fd_stays_readable) static_cast<void>(!::read(wait_fd_, &drained, sizeof(drained)));
  }

  inline static fi_ops_cq ops_ = {
      .size = sizeof(fi_ops_cq),
      .read = nullptr,  // never used: it does not name senders
      .readfrom = readfrom,
      .readerr = readerr,
      .sread = nullptr,
      .sreadfrom = sreadfrom,
      .signal = signal,
      .strerror = strerror,
  };
  inline static fi_ops_fabric fabric_ops_ = {
      .size = sizeof(fi_ops_fabric),
      .domain = nullptr,
      .passive_ep = nullptr,
      .eq_open = nullptr,
      .wait_open = nullptr,
      .trywait = trywait,
  };

  inline static fi_ops_wait wait_ops_ = {.size = sizeof(fi_ops_wait), .wait = wait_on_set};

  std::thread::id owner_;
  int wait_fd_;
  QueueFid queue_;
  FabricFid fabric_;
  WaitSetFid wait_set_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::deque<Event> events_;
  Calls calls_;
  bool signalled_ = false;
};
