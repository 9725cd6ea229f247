#include "completion_reader.h"

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>

#include "sleeper.h"

namespace ofi {

namespace {

// The event queue is read once in so many reads: its events are rare and their reader need not be quick.
constexpr uint32_t kReadsPerEventQueueRead = 1024;
constexpr size_t kTextsKept = 256;
constexpr size_t kTextLength = 512;
// Longer than a living process takes to copy anything.
constexpr uint64_t kObstructionNs = 1'000'000'000;
constexpr const char* kObstruction =
    "a process that sent to this endpoint was killed or stopped before it let go of the endpoint's lock in "
    "/dev/shm: nothing "
    "arrives until it goes on; if it is dead, open another endpoint";

uint64_t tag_of(const fi_cq_tagged_entry& entry) { return entry.tag; }
uint64_t tag_of(const fi_cq_data_entry&) { return 0; }

}  // namespace

// False for a late report, of which nobody is told.
template <typename Entry>
bool CompletionReader::write_record(const Entry& entry, fi_addr_t source) {
  // The slot is freed after the record can be seen to exist only by the caller's publish; JavaScript reuses a slot
  // only after it has read its record.
  CompletionRecord& record = ring_.next();
  Portion portion;
  record.context = operations_.complete(entry.op_context, {entry.flags, entry.buf, 0}, &portion);
  // A late report of an operation that its endpoint's close has already accounted for.
  if (record.context < 0 && entry.op_context != nullptr) return false;
  record.flags = static_cast<uint32_t>(entry.flags);
  record.error = 0;
  record.provider_error = 0;
  record.length_low = static_cast<uint32_t>(entry.len);
  record.length_high = static_cast<uint32_t>(static_cast<uint64_t>(entry.len) >> 32);
  record.source = (entry.flags & FI_RECV) != 0 ? number_of(source) : -1;
  record.text = -1;
  record.data = entry.data;
  record.tag = tag_of(entry);
  record.overflow = 0;
  record.place = portion.place;
  ring_.publish();
  return true;
}

template <typename Entry>
uint32_t CompletionReader::read_batch(uint32_t max) {
  std::array<Entry, kBatch> entries;
  uint32_t written = 0;
  while (written < max) {
    const uint32_t wanted = std::min({kBatch, max - written, ring_.room()});
    if (wanted == 0) break;
    const ssize_t got = fi_cq_readfrom(queue_, entries.data(), wanted, sources_.data());
    if (got > 0) {
      for (ssize_t i = 0; i < got; ++i) {
        written += write_record(entries[i], sources_[i]) ? 1 : 0;
        sources_[i] = FI_ADDR_NOTAVAIL;
      }
      if (static_cast<uint32_t>(got) < wanted) break;
    } else if (got == -FI_EAVAIL) {
      // Without an entry for its error a queue would say the same for ever.
      if (!read_errors(max - written, &written)) break;
    } else {
      if (got != -FI_EAGAIN && got != 0) record_broken_queue(static_cast<int>(-got));
      break;
    }
  }
  return written;
}

// A process that stays away with the lock is told of, once each time: nothing arrives until it goes on.
bool CompletionReader::is_obstructed(uint32_t* written) {
  if (locks.are_free()) {
    obstructed_since_ns_ = 0;
    return false;
  }
  const uint64_t now = monotonic_ns();
  if (obstructed_since_ns_ == 0) {
    obstructed_since_ns_ = now;
    told_of_obstruction_ = false;
  }
  if (!told_of_obstruction_ && now - obstructed_since_ns_ >= kObstructionNs) {
    told_of_obstruction_ = true;
    record_failure(FI_EBUSY, 0, kObstruction);
    *written = 1;
  }
  return true;
}

uint32_t CompletionReader::read(uint32_t max) {
  if (!reads_allowed()) return 0;
  uint32_t written = 0;
  if (is_obstructed(&written)) return written;
  if (++reads_ % kReadsPerEventQueueRead == 0) read_event_errors();
  return format_ == FI_CQ_FORMAT_TAGGED ? read_batch<fi_cq_tagged_entry>(max)
                                        : read_batch<fi_cq_data_entry>(max);
}

int32_t CompletionReader::read_blocking(int timeout_ms) {
  if (!reads_allowed()) return -FI_EAGAIN;
  read_event_errors();
  if (ring_.room() == 0) return 0;
  fi_cq_tagged_entry entry = zeroed<fi_cq_tagged_entry>();  // starts with the members of every smaller format
  fi_addr_t source = FI_ADDR_NOTAVAIL;
  sleeping_.store(true, std::memory_order_seq_cst);
  const ssize_t got = fi_cq_sreadfrom(queue_, &entry, 1, &source, nullptr, timeout_ms);
  sleeping_.store(false, std::memory_order_seq_cst);
  if (got == 1) {
    if (format_ != FI_CQ_FORMAT_TAGGED) entry.tag = 0;
    return write_record(entry, source) ? 1 : 0;
  }
  uint32_t written = 0;
  if (got == -FI_EAVAIL) read_errors(1, &written);
  if (written == 0 && got < 0 && got != -FI_EAGAIN && got != -FI_EINTR) return static_cast<int32_t>(got);
  return static_cast<int32_t>(written);
}

void CompletionReader::wake() {
  if (sleeping_.load(std::memory_order_seq_cst)) fi_cq_signal(queue_);
}

// Up to `max` records. False where there is no error to read.
bool CompletionReader::read_errors(uint32_t max, uint32_t* written) {
  bool any = false;
  for (uint32_t left = max; left != 0 && ring_.room() != 0;) {
    // Zeroed: err_data_size 0 asks for the provider's own pointer, valid until the next read.
    CqErrorEntry entry = zeroed<CqErrorEntry>();
    entry.src_addr = FI_ADDR_NOTAVAIL;
    const ssize_t got = fi_cq_readerr(queue_, reinterpret_cast<fi_cq_err_entry*>(&entry), 0);
    if (got != 1) break;
    any = true;
    CompletionRecord& record = ring_.next();
    // shm 1.17 gives the negative number.
    const int error = entry.err != 0 ? std::abs(entry.err) : FI_EOTHER;
    Portion portion;
    record.context = operations_.complete(entry.op_context, {entry.flags, entry.buf, error}, &portion);
    if (record.context < 0 && entry.op_context != nullptr) continue;
    std::array<char, kTextLength> buffer{};
    const char* text = nullptr;
    if (texts_allowed_.load(std::memory_order_relaxed))
      text = fi_cq_strerror(queue_, entry.prov_errno, entry.err_data, buffer.data(), buffer.size());
    record.flags = static_cast<uint32_t>(entry.flags | (portion.released ? FI_MULTI_RECV : 0));
    record.error = error;
    record.provider_error = entry.prov_errno;
    record.length_low = static_cast<uint32_t>(entry.len);
    record.length_high = static_cast<uint32_t>(static_cast<uint64_t>(entry.len) >> 32);
    record.source = number_of(entry.src_addr);
    record.text = keep_text(text != nullptr ? text : "");
    record.data = entry.data;
    record.tag = entry.tag;
    record.overflow = entry.olen;
    record.place = portion.place;
    ring_.publish();
    ++*written;
    --left;
  }
  return any;
}

// Errors only: what else is there, the program reads.
void CompletionReader::read_event_errors() {
  fid_eq* queue = event_queue_.load(std::memory_order_acquire);
  if (queue == nullptr || ring_.room() == 0) return;
  EqErrorEntry entry = zeroed<EqErrorEntry>();
  // verbs answers 0 where there is no error.
  if (fi_eq_readerr(queue, reinterpret_cast<fi_eq_err_entry*>(&entry), 0) <= 0) return;
  std::array<char, kTextLength> text{};
  const char* words = fi_eq_strerror(queue, entry.prov_errno, entry.err_data, text.data(), text.size());
  record_failure(entry.err != 0 ? std::abs(entry.err) : FI_EOTHER, entry.prov_errno,
                 words != nullptr ? words : "");
}

void CompletionReader::record_broken_queue(int error) {
  if (error == last_failure_) return;
  last_failure_ = error;  // it says the same on every read: told once
  record_failure(error, 0, "the completion queue cannot be read");
}

void CompletionReader::record_failure(int error, int provider_error, std::string text) {
  if (ring_.room() == 0) return;
  CompletionRecord& record = ring_.next();
  record = CompletionRecord{};
  record.context = -1;
  record.error = error;
  record.provider_error = provider_error;
  record.source = -1;
  record.text = keep_text(std::move(text));
  ring_.publish();
}

void CompletionReader::name_senders(const std::shared_ptr<WideAddresses>& addresses) {
  const std::lock_guard<std::mutex> guard(senders_mutex_);
  senders_.erase(std::remove_if(senders_.begin(), senders_.end(),
                                [&](const std::weak_ptr<WideAddresses>& known) {
                                  const auto other = known.lock();
                                  return other == nullptr || other == addresses;
                                }),
                 senders_.end());
  senders_.emplace_back(addresses);
}

int32_t CompletionReader::number_of_wide(fi_addr_t source) {
  const std::lock_guard<std::mutex> guard(senders_mutex_);
  for (const std::weak_ptr<WideAddresses>& known : senders_) {
    const auto addresses = known.lock();
    const int32_t number = addresses == nullptr ? -1 : addresses->number_of(source);
    if (number >= 0) return number;
  }
  return -1;
}

int32_t CompletionReader::keep_text(std::string text) {
  const std::lock_guard<std::mutex> guard(texts_mutex_);
  const int32_t number = next_text_;
  next_text_ = next_text_ == INT32_MAX ? 0 : next_text_ + 1;
  texts_[number] = std::move(text);
  if (texts_.size() > kTextsKept) texts_.erase(texts_.begin());
  return number;
}

std::string CompletionReader::take_text(int32_t number) {
  const std::lock_guard<std::mutex> guard(texts_mutex_);
  auto found = texts_.find(number);
  if (found == texts_.end()) return "";
  std::string text = std::move(found->second);
  texts_.erase(found);
  return text;
}

}  // namespace ofi
