// Reads a completion queue into the ring: the only caller of fi_cq_readfrom, fi_cq_readerr and fi_cq_sreadfrom.
// One reader at a time, by try-lock: the JavaScript thread while it is awake, the engine's thread otherwise. Napi-free.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "completion_ring.h"
#include "fabric_abi.h"
#include "operation.h"
#include "shm_lock.h"
#include "wide_addresses.h"

namespace ofi {

class CompletionReader {
 public:
  CompletionReader(fid_cq* queue, fi_cq_format format, OperationTable& operations, CompletionRing& ring)
      : queue_(queue), format_(format), operations_(operations), ring_(ring) {
    sources_.fill(FI_ADDR_NOTAVAIL);
  }
  CompletionReader(const CompletionReader&) = delete;
  CompletionReader& operator=(const CompletionReader&) = delete;

  // Errors that belong to no operation arrive on the EventQueue: they are read now and then, between completions.
  void set_event_queue(fid_eq* event_queue) { event_queue_.store(event_queue, std::memory_order_release); }
  // The same, where there is none yet; and the end of that.
  void offer_event_queue(fid_eq* event_queue) { replace_event_queue(nullptr, event_queue); }
  void withdraw_event_queue(fid_eq* event_queue) { replace_event_queue(event_queue, nullptr); }

  bool try_lock() { return !locked_.exchange(true, std::memory_order_acquire); }
  void unlock() { locked_.store(false, std::memory_order_release); }
  bool is_locked() const { return locked_.load(std::memory_order_relaxed); }

  // Under the lock. Reads until the queue gives less than it was asked for, the ring is full or `max` records were
  // written; how many were.
  uint32_t read(uint32_t max);
  // Under the lock; sleeps in the provider until a completion comes, at most `timeout_ms`. Only for queues with a
  // wait object that fi_cq_sread works on. wake() ends the sleep early. How many records were written, or a negative
  // fi_errno where the provider would not sleep.
  int32_t read_blocking(int timeout_ms);
  // Whose addresses senders may have, beside small numbers. From any thread.
  void name_senders(const std::shared_ptr<WideAddresses>& addresses);
  // tcp;ofi_rxm asks the queue's first endpoint for the words of an error, also where there is none.
  void allow_texts(bool allowed) { texts_allowed_.store(allowed); }
  // Under the lock, or before anybody reads on. Where reads are not allowed nobody calls the provider: efa-direct and
  // EFA's datagrams crash where a queue is read that has no endpoint any more.
  void allow_reads(bool allowed) { reads_allowed_.store(allowed); }
  bool reads_allowed() const { return reads_allowed_.load(std::memory_order_relaxed); }
  // From any thread: ends a read_blocking of another thread. Does nothing where nobody sleeps.
  void wake();

  CompletionRing& ring() { return ring_; }

  // Of shm's endpoints: the provider would wait for these without end. Changed under the lock, or while reads are not allowed.
  ShmLocks locks;

  // The provider's text for a record's `text` number; empty where it was already taken or never there.
  std::string take_text(int32_t number);

 private:
  bool is_obstructed(uint32_t* written);
  bool read_errors(uint32_t max, uint32_t* written);
  void read_event_errors();
  void record_broken_queue(int error);
  void record_failure(int error, int provider_error, std::string text);
  void replace_event_queue(fid_eq* expected, fid_eq* other) {
    event_queue_.compare_exchange_strong(expected, other, std::memory_order_acq_rel);
  }
  int32_t keep_text(std::string text);
  // What JavaScript calls a sender; -1 where that is unknown.
  int32_t number_of(fi_addr_t source) {
    if (source < static_cast<fi_addr_t>(kWideAddress)) return static_cast<int32_t>(source);
    return source == FI_ADDR_NOTAVAIL ? -1 : number_of_wide(source);
  }
  int32_t number_of_wide(fi_addr_t source);
  template <typename Entry>
  uint32_t read_batch(uint32_t max);
  template <typename Entry>
  bool write_record(const Entry& entry, fi_addr_t source);

  fid_cq* queue_;
  fi_cq_format format_;
  OperationTable& operations_;
  CompletionRing& ring_;
  std::atomic<fid_eq*> event_queue_{nullptr};
  std::atomic<bool> locked_{false};
  std::atomic<bool> sleeping_{false};
  static constexpr uint32_t kBatch = 64;
  // Providers that do not name senders leave the array alone: every entry is FI_ADDR_NOTAVAIL between reads.
  std::array<fi_addr_t, kBatch> sources_;
  uint32_t reads_ = 0;
  int last_failure_ = 0;
  uint64_t obstructed_since_ns_ = 0;
  bool told_of_obstruction_ = false;
  std::atomic<bool> texts_allowed_{true};
  std::atomic<bool> reads_allowed_{true};
  std::mutex texts_mutex_;
  std::map<int32_t, std::string> texts_;
  int32_t next_text_ = 0;
  std::mutex senders_mutex_;
  std::vector<std::weak_ptr<WideAddresses>> senders_;
};

}  // namespace ofi
