#include "completion_ring.h"

#include <thread>

#include "harness.h"

using ofi::BlockReference;
using ofi::CompletionRecord;
using ofi::CompletionRing;
using ofi::MemoryBlock;

namespace {

BlockReference memory_for(uint32_t capacity) {
  return BlockReference(MemoryBlock::allocate(capacity * sizeof(CompletionRecord)));
}

void put(CompletionRing& ring, int32_t context) {
  CompletionRecord& record = ring.next();
  record = CompletionRecord{};
  record.context = context;
  ring.publish();
}

// Different in every field, so that a record torn between two writes is noticed.
CompletionRecord record_number(uint32_t number) {
  CompletionRecord record{};
  record.context = static_cast<int32_t>(number);
  record.flags = number * 3;
  record.error = static_cast<int32_t>(number * 5);
  record.length_low = number * 7;
  record.data = number * 11ULL;
  record.tag = number * 13ULL;
  record.overflow = number * 17ULL;
  record.place = ~static_cast<uint64_t>(number);
  return record;
}

}  // namespace

TEST(starts_empty) {
  const BlockReference memory = memory_for(4);
  const CompletionRing ring(memory.get(), 4);
  CHECK_EQ(ring.capacity(), 4U);
  CHECK_EQ(ring.room(), 4U);
  CHECK_EQ(ring.available(), 0U);
  CHECK_EQ(ring.first(), 0U);
}

TEST(knows_what_was_shown) {
  const BlockReference memory = memory_for(4);
  CompletionRing ring(memory.get(), 4);
  CHECK(!ring.has_unseen());
  put(ring, 0);
  put(ring, 1);
  CHECK(ring.has_unseen());
  CHECK_EQ(ring.show(1), 2U);
  CHECK(ring.has_unseen());
  ring.consume(1);
  CHECK(ring.has_unseen());
  CHECK_EQ(ring.show(4), 1U);
  CHECK(!ring.has_unseen());
  put(ring, 2);
  CHECK(ring.has_unseen());
  CHECK_EQ(ring.show(0), 2U);  // not even the one that was shown before
  CHECK(ring.has_unseen());
  CHECK_EQ(ring.show(4), 2U);
  CHECK(!ring.has_unseen());
  ring.consume(2);
  CHECK(!ring.has_unseen());
}

TEST(fills_up_and_empties) {
  const BlockReference memory = memory_for(4);
  CompletionRing ring(memory.get(), 4);
  for (int32_t i = 0; i < 4; ++i) {
    CHECK_EQ(ring.room(), static_cast<uint32_t>(4 - i));
    put(ring, i);
  }
  CHECK_EQ(ring.room(), 0U);
  CHECK_EQ(ring.available(), 4U);
  for (uint32_t i = 0; i < 4; ++i) CHECK_EQ(ring.peek(i).context, static_cast<int32_t>(i));
  ring.consume(1);
  CHECK_EQ(ring.room(), 1U);
  ring.consume(0);
  CHECK_EQ(ring.available(), 3U);
  ring.consume(3);
  CHECK_EQ(ring.room(), 4U);
}

TEST(unpublished_record_is_not_seen) {
  const BlockReference memory = memory_for(2);
  CompletionRing ring(memory.get(), 2);
  ring.next().context = 7;
  CHECK_EQ(ring.available(), 0U);
  put(ring, 8);  // the same place again: what was not published is overwritten
  CHECK_EQ(ring.available(), 1U);
  CHECK_EQ(ring.peek(0).context, 8);
}

TEST(wraps_around_at_every_offset) {
  const BlockReference memory = memory_for(8);
  CompletionRing ring(memory.get(), 8);
  int32_t written = 0, seen = 0;
  for (int round = 0; round < 100; ++round) {
    const uint32_t batch = 1 + static_cast<uint32_t>(round) % 8;
    for (uint32_t i = 0; i < batch; ++i) put(ring, written++);
    CHECK_EQ(ring.first(), static_cast<uint32_t>(seen) % 8);
    for (uint32_t i = 0; i < batch; ++i) {
      // JavaScript finds records by first() in the memory that it sees; peek() must agree.
      const auto* records = reinterpret_cast<const CompletionRecord*>(memory.get()->data());
      CHECK(&ring.peek(i) == &records[(ring.first() + i) % 8]);
      CHECK_EQ(ring.peek(i).context, seen++);
    }
    ring.consume(batch);
  }
  CHECK_EQ(ring.available(), 0U);
}

TEST(ring_of_one) {
  const BlockReference memory = memory_for(1);
  CompletionRing ring(memory.get(), 1);
  for (int32_t i = 0; i < 3; ++i) {
    put(ring, i);
    CHECK_EQ(ring.room(), 0U);
    CHECK_EQ(ring.peek(0).context, i);
    ring.consume(1);
  }
}

TEST(keeps_its_memory) {
  const int64_t before = MemoryBlock::live_blocks();
  {
    BlockReference memory = memory_for(2);
    CompletionRing ring(memory.get(), 2);
    memory.reset();
    put(ring, 5);
    CHECK_EQ(ring.peek(0).context, 5);
    CHECK_EQ(MemoryBlock::live_blocks(), before + 1);
  }
  CHECK_EQ(MemoryBlock::live_blocks(), before);
}

TEST(one_writer_and_one_consumer_on_two_threads) {
  constexpr uint32_t kRecords = 300'000;
  const BlockReference memory = memory_for(16);
  CompletionRing ring(memory.get(), 16);
  std::thread writer([&ring] {
    for (uint32_t number = 0; number < kRecords;) {
      uint32_t room = ring.room();
      if (room == 0) std::this_thread::yield();
      for (; room != 0 && number < kRecords; --room) {
        ring.next() = record_number(number++);
        ring.publish();
      }
    }
  });
  uint32_t seen = 0, wrong = 0;
  while (seen < kRecords) {
    const uint32_t available = ring.available();
    if (available == 0) std::this_thread::yield();
    for (uint32_t i = 0; i < available; ++i) {
      const CompletionRecord expected = record_number(seen + i);
      if (std::memcmp(&ring.peek(i), &expected, sizeof(expected)) != 0) ++wrong;
    }
    seen += available;
    ring.consume(available);
  }
  writer.join();
  CHECK_EQ(seen, kRecords);
  CHECK_EQ(wrong, 0U);
  CHECK_EQ(ring.available(), 0U);
}
