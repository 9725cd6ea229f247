// The reader on a stand-in queue; reader_on_provider.cc has it on real ones.
#include "completion_reader.h"

#include <array>
#include <thread>
#include <vector>

#include "harness.h"
#include "stand_in.h"

using ofi::CompletionRecord;
using ofi::CompletionRing;
using ofi::OperationTable;

namespace {

const std::array<char, 2> kEndpoints{};

struct ReaderRig {
  explicit ReaderRig(uint32_t capacity = 64, fi_cq_format format = FI_CQ_FORMAT_TAGGED)
      : operations(capacity),
        block(ofi::MemoryBlock::allocate(capacity * sizeof(CompletionRecord))),
        ring(block.get(), capacity),
        reader(queue.handle(), format, operations, ring) {
    queue.format = format;
    // What a field is not set to shows.
    std::memset(block.get()->data(), 0xee, block.get()->size());
  }
  void* post(uint32_t index, int endpoint = 0) {
    return operations.acquire(index, &kEndpoints[endpoint], nullptr);
  }
  std::string text(uint32_t offset) { return reader.take_text(ring.peek(offset).text); }

  StandInQueue queue;
  OperationTable operations;
  ofi::BlockReference block;
  CompletionRing ring;
  ofi::CompletionReader reader;
};

fi_cq_err_entry error_of(void* context, int err, int provider_error = 0) {
  fi_cq_err_entry entry{};
  entry.op_context = context;
  entry.err = err;
  entry.prov_errno = provider_error;
  return entry;
}

// An event queue of tables.
struct StandInEvents {
  fid_eq eq{};
  int looks = 0;
  int errors = 0;
  int good = 0;
  ssize_t empty = -FI_EAGAIN;

  StandInEvents() { eq.ops = &ops; }
  static StandInEvents& of(fid_eq* queue) { return *reinterpret_cast<StandInEvents*>(queue); }
  static ssize_t read(fid_eq* queue, uint32_t*, void*, size_t, uint64_t) {
    if (of(queue).errors > 0) return -FI_EAVAIL;
    return of(queue).good-- > 0 ? ssize_t{sizeof(fi_eq_entry)} : ssize_t{-FI_EAGAIN};
  }
  static ssize_t readerr(fid_eq* queue, fi_eq_err_entry* entry, uint64_t) {
    ++of(queue).looks;
    if (of(queue).errors == 0) return of(queue).empty;
    --of(queue).errors;
    entry->err = FI_EIO;
    entry->prov_errno = 9;
    // A library that knows more members than the header.
    std::memset(reinterpret_cast<char*>(entry) + sizeof(*entry), 0xa5, 32);
    return static_cast<ssize_t>(sizeof(*entry));
  }
  static const char* strerror(fid_eq*, int, const void*, char* buffer, size_t length) {
    std::snprintf(buffer, length, "the device is gone");
    return buffer;
  }
  inline static fi_ops_eq ops = {
      .size = sizeof(fi_ops_eq), .read = read, .readerr = readerr, .strerror = strerror};
};

}  // namespace

TEST(writes_every_field_of_a_tagged_completion) {
  ReaderRig rig;
  const size_t length = (size_t{3} << 32) + 5;
  rig.queue.push(rig.post(7), FI_RECV | FI_TAGGED | FI_REMOTE_CQ_DATA, length, 0x1122334455667788, ~0ULL, 42);
  CHECK_EQ(rig.reader.read(64), 1U);
  REQUIRE(rig.ring.available() == 1);
  const CompletionRecord& record = rig.ring.peek(0);
  CHECK_EQ(record.context, 7);
  CHECK_EQ(record.flags, static_cast<uint32_t>(FI_RECV | FI_TAGGED | FI_REMOTE_CQ_DATA));
  CHECK_EQ(record.error, 0);
  CHECK_EQ(record.provider_error, 0);
  CHECK_EQ(record.length_low, 5U);
  CHECK_EQ(record.length_high, 3U);
  CHECK_EQ(record.source, 42);
  CHECK_EQ(record.text, -1);
  CHECK_EQ(record.data, 0x1122334455667788U);
  CHECK_EQ(record.tag, ~0ULL);
  CHECK_EQ(record.overflow, 0U);
  CHECK_EQ(rig.operations.busy(), 0U);
}

TEST(names_senders_by_what_javascript_calls_them) {
  ReaderRig rig;
  constexpr fi_addr_t kPointer = 0x7fff12345678;
  constexpr fi_addr_t kContext = (fi_addr_t{5} << 61) | 3;
  constexpr auto kFirstWide = static_cast<fi_addr_t>(ofi::kWideAddress);
  const auto one = std::make_shared<ofi::WideAddresses>();
  auto other = std::make_shared<ofi::WideAddresses>();
  for (const auto& addresses : {one, other, one}) rig.reader.name_senders(addresses);
  one->add(kPointer, ofi::kWideAddress + 1);
  other->add(kContext, ofi::kWideAddress + 2);
  auto source_of = [&rig](fi_addr_t sender) {
    rig.queue.push(rig.post(0), FI_RECV, 1, 0, 0, sender);
    CHECK_EQ(rig.reader.read(64), 1U);
    const int32_t source = rig.ring.peek(0).source;
    rig.ring.consume(1);
    return source;
  };
  CHECK_EQ(source_of(kFirstWide - 1), ofi::kWideAddress - 1);
  CHECK_EQ(source_of(kPointer), ofi::kWideAddress + 1);
  CHECK_EQ(source_of(kContext), ofi::kWideAddress + 2);
  // Nobody's, though it would fit.
  CHECK_EQ(source_of(kFirstWide), -1);
  CHECK_EQ(source_of(FI_ADDR_NOTAVAIL), -1);
  one->remove(kPointer);
  CHECK_EQ(source_of(kPointer), -1);
  // An error names its sender in the same way.
  rig.queue.error_source = kContext;
  rig.queue.push_error(error_of(rig.post(1), FI_ETRUNC));
  CHECK_EQ(rig.reader.read(64), 1U);
  CHECK_EQ(rig.ring.peek(0).source, ofi::kWideAddress + 2);
  rig.ring.consume(1);
  other.reset();
  CHECK_EQ(source_of(kContext), -1);
}

TEST(reads_the_shorter_format_without_tags) {
  ReaderRig rig(64, FI_CQ_FORMAT_DATA);
  for (uint32_t i = 0; i < 3; ++i) rig.queue.push(rig.post(i), FI_RECV | FI_MSG, 10 + i, 20 + i, 99, i);
  CHECK_EQ(rig.reader.read(64), 3U);
  for (uint32_t i = 0; i < 3; ++i) {
    CHECK_EQ(rig.ring.peek(i).context, static_cast<int32_t>(i));
    CHECK_EQ(rig.ring.peek(i).length_low, 10 + i);
    CHECK_EQ(rig.ring.peek(i).data, 20 + i);
    CHECK_EQ(rig.ring.peek(i).tag, 0U);
    CHECK_EQ(rig.ring.peek(i).source, static_cast<int32_t>(i));
  }
}

TEST(sender_is_unknown_where_none_is_named) {
  ReaderRig rig;
  rig.queue.push(rig.post(0), FI_RECV, 0, 0, 0, FI_ADDR_NOTAVAIL);
  rig.queue.push(rig.post(1), FI_SEND, 0, 0, 0, 5);  // a sender is no sender's to name
  rig.queue.push(rig.post(2), FI_RECV, 0, 0, 0, 1ULL << 31);
  rig.queue.push(rig.post(3), FI_RECV, 0, 0, 0, ofi::kWideAddress - 1);
  CHECK_EQ(rig.reader.read(64), 4U);
  for (uint32_t i = 0; i < 3; ++i) CHECK_EQ(rig.ring.peek(i).source, -1);
  CHECK_EQ(rig.ring.peek(3).source, ofi::kWideAddress - 1);
  rig.ring.consume(4);
  rig.queue.names_sources = false;
  rig.queue.push(rig.post(0), FI_RECV);
  CHECK_EQ(rig.reader.read(64), 1U);
  CHECK_EQ(rig.ring.peek(0).source, -1);
}

TEST(completion_without_a_context_belongs_to_no_operation) {
  ReaderRig rig;
  rig.queue.push(nullptr, FI_RECV | FI_REMOTE_WRITE | FI_REMOTE_CQ_DATA, 0, 77);
  CHECK_EQ(rig.reader.read(64), 1U);
  CHECK_EQ(rig.ring.peek(0).context, -1);
  CHECK_EQ(rig.ring.peek(0).data, 77U);
}

TEST(reads_no_more_than_asked) {
  ReaderRig rig(256);
  for (uint32_t i = 0; i < 200; ++i) rig.queue.push(rig.post(i));
  CHECK_EQ(rig.reader.read(1), 1U);
  CHECK_EQ(rig.reader.read(0), 0U);
  CHECK_EQ(rig.reader.read(150), 150U);  // more than one call's worth
  CHECK_EQ(rig.queue.unread(), 49U);
  CHECK_EQ(rig.reader.read(1000), 49U);
  CHECK_EQ(rig.reader.read(1000), 0U);
  for (uint32_t i = 0; i < 200; ++i) CHECK_EQ(rig.ring.peek(i).context, static_cast<int32_t>(i));
}

TEST(full_ring_leaves_the_rest_to_the_provider) {
  ReaderRig rig(4);
  for (int i = 0; i < 6; ++i) rig.queue.push(nullptr, FI_RECV, i);
  rig.queue.push_error(error_of(nullptr, FI_EIO));
  CHECK_EQ(rig.reader.read(64), 4U);
  const int calls = rig.queue.calls().readfrom;
  CHECK_EQ(rig.reader.read(64), 0U);
  CHECK_EQ(rig.queue.calls().readfrom, calls);
  CHECK_EQ(rig.reader.read_blocking(1000), 0);
  CHECK_EQ(rig.queue.calls().sread, 0);
  CHECK_EQ(rig.queue.unread(), 3U);
  rig.ring.consume(2);
  CHECK_EQ(rig.reader.read(64), 2U);  // exactly full again, with an error next
  CHECK_EQ(rig.queue.unread(), 1U);
  rig.ring.consume(4);
  CHECK_EQ(rig.reader.read(64), 1U);
  CHECK_EQ(rig.ring.peek(0).error, FI_EIO);
}

TEST(error_carries_what_the_provider_says) {
  ReaderRig rig;
  char detail[] = "port 7";
  fi_cq_err_entry entry = error_of(rig.post(3), FI_ETRUNC, 265);
  entry.flags = FI_RECV | FI_TAGGED;
  entry.len = 8;
  entry.olen = 56;
  entry.tag = 17;
  entry.data = 18;
  entry.err_data = detail;
  entry.err_data_size = sizeof(detail);
  rig.queue.push_error(entry);
  CHECK_EQ(rig.reader.read(64), 1U);
  REQUIRE(rig.ring.available() == 1);
  const CompletionRecord& record = rig.ring.peek(0);
  CHECK_EQ(record.context, 3);
  CHECK_EQ(record.flags, static_cast<uint32_t>(FI_RECV | FI_TAGGED));
  CHECK_EQ(record.error, FI_ETRUNC);
  CHECK_EQ(record.provider_error, 265);
  CHECK_EQ(record.length_low, 8U);
  CHECK_EQ(record.overflow, 56U);
  CHECK_EQ(record.tag, 17U);
  CHECK_EQ(record.data, 18U);
  CHECK_EQ(record.source, -1);
  CHECK(rig.text(0) == "provider error 265: port 7");
  CHECK(rig.text(0).empty());  // taken
  CHECK_EQ(rig.operations.busy(), 0U);
}

TEST(error_of_no_operation_is_told) {
  // An injected message that failed has no context.
  ReaderRig rig;
  rig.queue.push_error(error_of(nullptr, FI_EHOSTUNREACH, 1));
  CHECK_EQ(rig.reader.read(64), 1U);
  CHECK_EQ(rig.ring.peek(0).context, -1);
  CHECK_EQ(rig.ring.peek(0).error, FI_EHOSTUNREACH);
}

TEST(error_without_a_number_or_words_is_an_error_still) {
  ReaderRig rig;
  rig.queue.push_error(error_of(rig.post(0), 0, 0));
  CHECK_EQ(rig.reader.read(64), 1U);
  CHECK_EQ(rig.ring.peek(0).error, FI_EOTHER);
  CHECK(rig.text(0).empty());
}

TEST(error_number_is_positive_even_where_the_provider_gives_a_negative_one) {
  ReaderRig rig;
  rig.queue.push_error(error_of(rig.post(0), -FI_ETRUNC));
  CHECK_EQ(rig.reader.read(64), 1U);
  CHECK_EQ(rig.ring.peek(0).error, FI_ETRUNC);
}

TEST(error_entries_may_be_longer_than_declared) {
  ReaderRig rig;
  rig.queue.error_source = 12;
  rig.queue.overwrites_error_tail = true;
  rig.queue.push_error(error_of(rig.post(0), FI_EIO));
  CHECK_EQ(rig.reader.read(64), 1U);
  CHECK_EQ(rig.ring.peek(0).error, FI_EIO);
  CHECK_EQ(rig.ring.peek(0).source, 12);
}

TEST(errors_keep_their_place_among_completions) {
  ReaderRig rig;
  rig.queue.push(rig.post(0));
  rig.queue.push_error(error_of(rig.post(1), FI_EIO));
  rig.queue.push_error(error_of(rig.post(2), FI_ECANCELED));
  rig.queue.push(rig.post(3));
  while (rig.reader.read(64) != 0) {
  }
  CHECK_EQ(rig.ring.available(), 4U);
  for (uint32_t i = 0; i < 4; ++i) CHECK_EQ(rig.ring.peek(i).context, static_cast<int32_t>(i));
  CHECK_EQ(rig.ring.peek(2).error, FI_ECANCELED);
}

TEST(errors_count_against_what_was_asked) {
  ReaderRig rig;
  for (uint32_t i = 0; i < 10; ++i) rig.queue.push_error(error_of(rig.post(i), FI_ECANCELED));
  CHECK_EQ(rig.reader.read(4), 4U);
  CHECK_EQ(rig.queue.unread(), 6U);
  CHECK_EQ(rig.reader.read(64), 6U);
}

TEST(claimed_error_that_is_not_there_does_not_hold_the_reader) {
  ReaderRig rig;
  rig.queue.claims_errors = true;
  CHECK_EQ(rig.reader.read(64), 0U);
  CHECK_EQ(rig.queue.calls().readerr, 1);
}

TEST(late_reports_are_thrown_away) {
  ReaderRig rig;
  void* good = rig.post(0, 0);
  void* bad = rig.post(1, 0);
  void* of_another = rig.post(2, 1);
  rig.operations.drop_all_of(&kEndpoints[0], [](uint32_t) {});
  int foreign = 0;
  rig.queue.push(good);
  rig.queue.push(&foreign);
  rig.queue.push_error(error_of(bad, FI_ECANCELED));
  rig.queue.push(of_another);
  uint32_t written = 0;
  while (rig.queue.unread() != 0) written += rig.reader.read(64);
  CHECK_EQ(written, 1U);
  CHECK_EQ(rig.ring.available(), 1U);
  CHECK_EQ(rig.ring.peek(0).context, 2);
  CHECK(rig.post(0) == good && rig.post(1) == bad);
}

TEST(broken_queue_is_told_once) {
  ReaderRig rig;
  rig.queue.empty_answer = -FI_EIO;
  for (int i = 0; i < 10; ++i) rig.reader.read(64);
  REQUIRE(rig.ring.available() == 1);
  CHECK_EQ(rig.ring.peek(0).context, -1);
  CHECK_EQ(rig.ring.peek(0).error, FI_EIO);
  CHECK_EQ(rig.ring.peek(0).source, -1);
  CHECK_EQ(rig.ring.peek(0).flags, 0U);
  CHECK(!rig.text(0).empty());
  rig.queue.empty_answer = -FI_ENOTCONN;
  for (int i = 0; i < 10; ++i) rig.reader.read(64);
  CHECK_EQ(rig.ring.available(), 2U);
  CHECK_EQ(rig.ring.peek(1).error, FI_ENOTCONN);
}

TEST(broken_queue_is_told_once_there_is_room) {
  ReaderRig rig(1);
  rig.queue.push(nullptr, FI_RECV);
  rig.queue.empty_answer = -FI_EIO;
  CHECK_EQ(rig.reader.read(64), 1U);
  rig.reader.read(64);
  rig.ring.consume(1);
  rig.reader.read(64);
  CHECK_EQ(rig.ring.available(), 1U);
  CHECK_EQ(rig.ring.peek(0).error, FI_EIO);
}

TEST(texts_that_nobody_takes_are_bounded) {
  ReaderRig rig(512);
  for (int i = 0; i < 300; ++i) rig.queue.push_error(error_of(nullptr, FI_EIO, 1 + i));
  CHECK_EQ(rig.reader.read(512), 300U);
  CHECK(rig.text(0).empty());
  CHECK(rig.text(43).empty());
  CHECK(rig.text(44) == "provider error 45: no data");
  CHECK(rig.text(299) == "provider error 300: no data");
  CHECK(rig.reader.take_text(-1).empty());
}

TEST(errors_of_the_event_queue_are_read_now_and_then) {
  ReaderRig rig;
  StandInEvents events;
  rig.reader.read(64);
  rig.reader.set_event_queue(&events.eq);
  for (int i = 0; i < 2047; ++i) rig.reader.read(64);
  CHECK_EQ(events.looks, 2);
  CHECK_EQ(rig.ring.available(), 0U);
  // As verbs says that there is none.
  events.empty = 0;
  for (int i = 0; i < 1024; ++i) rig.reader.read(64);
  CHECK_EQ(rig.ring.available(), 0U);
  events.errors = 1;
  for (int i = 0; i < 1024; ++i) rig.reader.read(64);
  REQUIRE(rig.ring.available() == 1);
  CHECK_EQ(rig.ring.peek(0).context, -1);
  CHECK_EQ(rig.ring.peek(0).error, FI_EIO);
  CHECK(rig.text(0) == "the device is gone");
  rig.reader.set_event_queue(nullptr);
  for (int i = 0; i < 1024; ++i) rig.reader.read(64);
  CHECK_EQ(events.looks, 4);
}

TEST(events_without_an_error_are_left_to_the_program) {
  ReaderRig rig;
  StandInEvents events;
  events.good = 1;
  rig.reader.set_event_queue(&events.eq);
  for (int i = 0; i < 1024; ++i) rig.reader.read(64);
  CHECK_EQ(events.looks, 1);
  CHECK_EQ(events.good, 1);
}

TEST(blocking_read_takes_one_completion_or_error) {
  for (const fi_cq_format format : {FI_CQ_FORMAT_TAGGED, FI_CQ_FORMAT_DATA}) {
    ReaderRig rig(64, format);
    rig.queue.push(rig.post(0), FI_RECV, 9, 8, 7, 6);
    CHECK_EQ(rig.reader.read_blocking(1000), 1);
    CHECK_EQ(rig.ring.peek(0).length_low, 9U);
    CHECK_EQ(rig.ring.peek(0).data, 8U);
    CHECK_EQ(rig.ring.peek(0).tag, format == FI_CQ_FORMAT_TAGGED ? 7U : 0U);
    CHECK_EQ(rig.ring.peek(0).source, 6);
    rig.queue.push_error(error_of(rig.post(1), FI_EIO));
    CHECK_EQ(rig.reader.read_blocking(1000), 1);
    CHECK_EQ(rig.ring.peek(1).context, 1);
    CHECK_EQ(rig.ring.peek(1).error, FI_EIO);
    CHECK_EQ(rig.reader.read_blocking(1), 0);
  }
}

TEST(wake_ends_a_blocking_read_of_another_thread) {
  ReaderRig rig;
  rig.queue.sread_forgets_timeout = true;
  std::thread sleeper([&rig] { rig.reader.read_blocking(1); });
  rig.queue.wait_for([](const auto& calls) { return calls.sread == 1; });
  rig.reader.wake();
  sleeper.join();
  CHECK_EQ(rig.queue.calls().signal, 1);
  rig.reader.wake();  // nobody sleeps: queues without a wait object take no signal
  CHECK_EQ(rig.queue.calls().signal, 1);
  CHECK_EQ(rig.ring.available(), 0U);
}

TEST(queue_is_left_alone_while_reads_are_not_allowed) {
  ReaderRig rig;
  rig.queue.push(rig.post(3));
  rig.reader.allow_reads(false);
  CHECK_EQ(rig.reader.read(4), 0U);
  CHECK(rig.reader.read_blocking(1) < 0);
  CHECK_EQ(rig.queue.calls().readfrom, 0);
  CHECK_EQ(rig.queue.calls().sread, 0);
  CHECK(!rig.reader.reads_allowed());
  rig.reader.allow_reads(true);
  CHECK_EQ(rig.reader.read(4), 1U);
  CHECK_EQ(rig.ring.peek(0).context, 3);
}

TEST(lock_admits_one) {
  ReaderRig rig;
  CHECK(!rig.reader.is_locked());
  CHECK(rig.reader.try_lock());
  CHECK(rig.reader.is_locked());
  CHECK(!rig.reader.try_lock());
  rig.reader.unlock();
  CHECK(rig.reader.try_lock());
  rig.reader.unlock();
}

// As two threads of one engine do, with a third that consumes nothing but the ring.
TEST(two_readers_take_turns) {
  constexpr int kMessages = 20'000;
  ReaderRig rig(64);
  auto read_in_turn = [&rig] {
    if (!rig.reader.try_lock()) return;
    rig.reader.read(16);
    rig.reader.unlock();
  };
  std::atomic<bool> done{false};
  std::thread other([&] {
    while (!done) {
      read_in_turn();
      std::this_thread::yield();
    }
  });
  std::thread provider([&rig] {
    for (int i = 0; i < kMessages; ++i) rig.queue.push(nullptr, FI_RECV, static_cast<size_t>(i));
  });
  int seen = 0, out_of_order = 0;
  while (seen < kMessages) {
    read_in_turn();
    const uint32_t available = rig.ring.available();
    for (uint32_t i = 0; i < available; ++i)
      if (rig.ring.peek(i).length_low != static_cast<uint32_t>(seen++)) ++out_of_order;
    rig.ring.consume(available);
  }
  done = true;
  provider.join();
  other.join();
  CHECK_EQ(out_of_order, 0);
}
