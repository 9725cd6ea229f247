#include "operation.h"

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "harness.h"

using ofi::BlockReference;
using ofi::MemoryBlock;
using ofi::Operation;
using ofi::OperationTable;

namespace {

std::vector<uint32_t> dropped_of(OperationTable& table, const void* endpoint) {
  std::vector<uint32_t> dropped;
  table.drop_all_of(endpoint, [&dropped](uint32_t index) { dropped.push_back(index); });
  return dropped;
}

// Who the table thinks are endpoints: it only compares their addresses.
const std::array<char, 2> kEndpoints{};

}  // namespace

TEST(context_is_the_slot_and_shares_no_cache_line) {
  OperationTable table(4);
  CHECK_EQ(table.capacity(), 4U);
  for (uint32_t index = 0; index < 4; ++index) {
    Operation* slot = table.acquire(index, &kEndpoints[0], nullptr);
    REQUIRE(slot != nullptr);
    CHECK(static_cast<void*>(&slot->context) == static_cast<void*>(slot));
    CHECK_EQ(reinterpret_cast<uintptr_t>(slot) % 64, 0U);
    // Providers write all of it.
    for (void*& word : slot->context.internal) word = &table;
    CHECK_EQ(table.complete(&slot->context), static_cast<int32_t>(index));
  }
}

TEST(acquire_takes_free_slots_only) {
  OperationTable table(2);
  CHECK(table.acquire(2, &kEndpoints[0], nullptr) == nullptr);
  CHECK(table.acquire(UINT32_MAX, &kEndpoints[0], nullptr) == nullptr);
  Operation* slot = table.acquire(1, &kEndpoints[0], nullptr);
  REQUIRE(slot != nullptr);
  CHECK_EQ(table.busy(), 1U);
  CHECK(table.acquire(1, &kEndpoints[0], nullptr) == nullptr);
  CHECK_EQ(table.busy(), 1U);
  const uint32_t generation = slot->generation;
  CHECK_EQ(table.complete(slot), 1);
  CHECK_EQ(table.busy(), 0U);
  CHECK(table.acquire(1, &kEndpoints[0], nullptr) == slot);
  CHECK_EQ(slot->generation, generation + 1);
}

TEST(pins_memory_until_the_completion) {
  const int64_t before = MemoryBlock::live_blocks();
  OperationTable table(2);
  MemoryBlock* block = MemoryBlock::allocate(1);
  REQUIRE(block != nullptr);
  Operation* first = table.acquire(0, &kEndpoints[0], block);
  Operation* second = table.acquire(1, &kEndpoints[0], block);
  block->release();  // as the program's buffer is collected
  CHECK_EQ(MemoryBlock::live_blocks(), before + 1);
  block->data()[0] = 1;
  CHECK_EQ(table.complete(first), 0);
  CHECK_EQ(MemoryBlock::live_blocks(), before + 1);
  CHECK_EQ(table.complete(second), 1);
  CHECK_EQ(MemoryBlock::live_blocks(), before);
}

TEST(pins_memory_until_a_refused_operation_is_abandoned) {
  const int64_t before = MemoryBlock::live_blocks();
  OperationTable table(1);
  {
    const BlockReference block(MemoryBlock::allocate(1));
    Operation* slot = table.acquire(0, &kEndpoints[0], block.get());
    table.abandon(slot);
    CHECK_EQ(table.busy(), 0U);
    CHECK(table.in_flight(0) == nullptr);
    CHECK_EQ(table.complete(slot), -1);
  }
  CHECK_EQ(MemoryBlock::live_blocks(), before);
  CHECK(table.acquire(0, &kEndpoints[0], nullptr) != nullptr);
}

TEST(refused_memory_is_not_pinned) {
  const int64_t before = MemoryBlock::live_blocks();
  OperationTable table(1);
  CHECK(table.acquire(0, &kEndpoints[0], nullptr) != nullptr);
  {
    const BlockReference block(MemoryBlock::allocate(1));
    CHECK(table.acquire(0, &kEndpoints[0], block.get()) == nullptr);
    CHECK(table.acquire(1, &kEndpoints[0], block.get()) == nullptr);
  }
  CHECK_EQ(MemoryBlock::live_blocks(), before);
}

TEST(in_flight_names_the_context_to_cancel) {
  OperationTable table(2);
  CHECK(table.in_flight(0) == nullptr);
  CHECK(table.in_flight(2) == nullptr);
  Operation* slot = table.acquire(0, &kEndpoints[0], nullptr);
  CHECK(table.in_flight(0) == &slot->context);
  CHECK(table.in_flight(1) == nullptr);
  table.complete(slot);
  CHECK(table.in_flight(0) == nullptr);
}

TEST(contexts_that_are_no_slot_are_refused) {
  OperationTable table(4);
  OperationTable other(4);
  auto* first = reinterpret_cast<char*>(table.acquire(0, &kEndpoints[0], nullptr));
  Operation* foreign = other.acquire(0, &kEndpoints[0], nullptr);
  REQUIRE(first != nullptr && foreign != nullptr);
  int on_stack = 0;
  CHECK_EQ(table.complete(nullptr), -1);
  CHECK_EQ(table.complete(&on_stack), -1);
  CHECK_EQ(table.complete(foreign), -1);
  CHECK_EQ(table.complete(reinterpret_cast<void*>(UINTPTR_MAX)), -1);
  CHECK_EQ(table.complete(first + 1), -1);
  CHECK_EQ(table.complete(first + 64),
           -1);  // inside the slot, if it is larger than a cache line, or a free one
  CHECK_EQ(table.complete(first - sizeof(Operation)), -1);
  CHECK_EQ(table.complete(first + 4 * sizeof(Operation)), -1);
  CHECK_EQ(table.complete(first + sizeof(Operation)), -1);  // a slot, never acquired
  CHECK_EQ(table.busy(), 1U);
  CHECK_EQ(table.complete(first), 0);
  CHECK_EQ(table.complete(first), -1);  // reported twice
  CHECK_EQ(table.busy(), 0U);
  CHECK_EQ(other.complete(foreign), 0);
}

TEST(drop_takes_what_one_endpoint_left_in_flight) {
  const int64_t before = MemoryBlock::live_blocks();
  OperationTable table(4);
  {
    const BlockReference block(MemoryBlock::allocate(1));
    for (uint32_t index : {0U, 1U, 3U})
      CHECK(table.acquire(index, &kEndpoints[index % 2], block.get()) != nullptr);
  }
  CHECK(dropped_of(table, &kEndpoints[1]) == (std::vector<uint32_t>{1, 3}));
  CHECK_EQ(table.busy(), 1U);
  CHECK_EQ(MemoryBlock::live_blocks(), before + 1);
  CHECK(table.in_flight(1) == nullptr);
  CHECK(table.in_flight(0) != nullptr);
  CHECK(dropped_of(table, &kEndpoints[1]).empty());
  CHECK(dropped_of(table, &kEndpoints[0]) == std::vector<uint32_t>{0});
  CHECK_EQ(MemoryBlock::live_blocks(), before);
  CHECK_EQ(table.busy(), 0U);
}

TEST(late_report_of_a_dropped_operation_is_thrown_away_and_frees_the_slot) {
  OperationTable table(1);
  Operation* slot = table.acquire(0, &kEndpoints[0], nullptr);
  CHECK_EQ(dropped_of(table, &kEndpoints[0]).size(), 1U);
  // Taken again before the report, the slot would pass it off as the new operation's.
  CHECK(table.acquire(0, &kEndpoints[1], nullptr) == nullptr);
  CHECK_EQ(table.complete(slot), -1);
  CHECK_EQ(table.busy(), 0U);
  CHECK(table.acquire(0, &kEndpoints[1], nullptr) == slot);
  CHECK_EQ(table.complete(slot), 0);
}

TEST(end_of_the_table_lets_memory_go) {
  const int64_t before = MemoryBlock::live_blocks();
  {
    OperationTable table(3);
    const BlockReference block(MemoryBlock::allocate(1));
    table.acquire(0, &kEndpoints[0], block.get());
    table.acquire(2, &kEndpoints[0], block.get());
  }
  CHECK_EQ(MemoryBlock::live_blocks(), before);
}

TEST(pins_every_block_of_an_operation_on_several) {
  const int64_t before = MemoryBlock::live_blocks();
  OperationTable table(2);
  std::array<MemoryBlock*, 3> blocks{};
  for (MemoryBlock*& block : blocks) block = MemoryBlock::allocate(1);
  const std::array<MemoryBlock*, 4> named{blocks[0], blocks[1], blocks[2], blocks[1]};
  Operation* refused = table.acquire(1, &kEndpoints[0], named.data(), 4, 0);
  Operation* slot = table.acquire(0, &kEndpoints[0], named.data(), 4, 0);
  REQUIRE(refused != nullptr && slot != nullptr);
  table.abandon(refused);
  for (MemoryBlock* block : blocks) block->release();
  CHECK_EQ(MemoryBlock::live_blocks(), before + 3);
  for (MemoryBlock* block : blocks) block->data()[0] = 1;
  CHECK_EQ(table.complete(slot), 0);
  CHECK_EQ(MemoryBlock::live_blocks(), before);
  CHECK(table.acquire(0, &kEndpoints[0], nullptr, 0, 0) != nullptr);
}

TEST(buffer_for_several_messages_stays_until_it_is_released) {
  const int64_t before = MemoryBlock::live_blocks();
  OperationTable table(1);
  MemoryBlock* block = MemoryBlock::allocate(4096);
  Operation* slot = table.acquire(0, &kEndpoints[0], block, ofi::kManyMessages);
  block->release();
  ofi::Portion portion;
  CHECK_EQ(table.complete(slot, {FI_RECV, block->data() + 100, 0}, &portion), 0);
  CHECK_EQ(portion.place, 100U);
  CHECK(!portion.released);
  // A message that did not fit is no end either.
  CHECK_EQ(table.complete(slot, {FI_RECV, nullptr, FI_ETRUNC}, &portion), 0);
  CHECK_EQ(table.busy(), 1U);
  CHECK_EQ(MemoryBlock::live_blocks(), before + 1);
  CHECK_EQ(table.complete(slot, {FI_MULTI_RECV, nullptr, 0}, &portion), 0);
  CHECK(portion.released);
  CHECK_EQ(MemoryBlock::live_blocks(), before);
  CHECK_EQ(table.complete(slot), -1);
  CHECK(table.acquire(0, &kEndpoints[0], nullptr) == slot);
}

TEST(buffer_for_several_messages_is_released_by_its_cancellation) {
  OperationTable table(1);
  const BlockReference block(MemoryBlock::allocate(64));
  Operation* slot = table.acquire(0, &kEndpoints[0], block.get(), ofi::kManyMessages);
  ofi::Portion portion;
  CHECK_EQ(table.complete(slot, {FI_RECV, nullptr, FI_ECANCELED}, &portion), 0);
  CHECK(portion.released);
  CHECK_EQ(table.busy(), 0U);
}

TEST(claimed_slot_is_for_the_receive_of_the_claimed_message_only) {
  OperationTable table(2);
  CHECK(table.acquire(0, &kEndpoints[0], nullptr, ofi::kWasClaimed) == nullptr);
  Operation* peek = table.acquire(0, &kEndpoints[0], nullptr, ofi::kClaims);
  REQUIRE(peek != nullptr);
  peek->context.internal[0] = &table;  // as the provider does, which looks there when the message is received
  CHECK_EQ(table.complete(peek), 0);
  CHECK(table.acquire(0, &kEndpoints[0], nullptr) == nullptr);
  CHECK(table.in_flight(0) == nullptr);
  CHECK(table.acquire(0, &kEndpoints[1], nullptr, ofi::kWasClaimed) == nullptr);
  Operation* receive = table.acquire(0, &kEndpoints[0], nullptr, ofi::kWasClaimed);
  REQUIRE(receive == peek);
  CHECK(receive->context.internal[0] == &table);
  table.abandon(receive);  // no room now: it stays claimed
  CHECK(table.acquire(0, &kEndpoints[0], nullptr) == nullptr);
  receive = table.acquire(0, &kEndpoints[0], nullptr, ofi::kWasClaimed);
  REQUIRE(receive == peek);
  CHECK_EQ(table.complete(receive), 0);
  CHECK(table.acquire(0, &kEndpoints[0], nullptr) == peek);
}

TEST(failed_claim_and_the_end_of_the_endpoint_free_a_slot) {
  OperationTable table(2);
  Operation* none = table.acquire(0, &kEndpoints[0], nullptr, ofi::kClaims);
  CHECK_EQ(table.complete(none, {FI_RECV, nullptr, FI_ENOMSG}), 0);
  CHECK(table.acquire(0, &kEndpoints[1], nullptr) != nullptr);
  Operation* claim = table.acquire(1, &kEndpoints[0], nullptr, ofi::kClaims);
  CHECK_EQ(table.complete(claim), 1);
  CHECK(dropped_of(table, &kEndpoints[0]).empty());
  CHECK(table.acquire(1, &kEndpoints[1], nullptr) != nullptr);
}

TEST(silent_operation_ends_when_the_program_says_so) {
  const int64_t before = MemoryBlock::live_blocks();
  OperationTable table(3);
  {
    const BlockReference block(MemoryBlock::allocate(1));
    for (uint32_t index : {0U, 1U}) table.acquire(index, &kEndpoints[0], block.get(), ofi::kSilent);
    table.acquire(2, &kEndpoints[0], block.get());
  }
  CHECK(!table.retire(2, &kEndpoints[0]));
  CHECK(!table.retire(3, &kEndpoints[0]));
  CHECK(!table.retire(0, &kEndpoints[1]));
  CHECK(table.retire(0, &kEndpoints[0]));
  CHECK(!table.retire(0, &kEndpoints[0]));
  CHECK_EQ(table.busy(), 2U);
  // Nobody waits for the completion of the other one.
  CHECK(dropped_of(table, &kEndpoints[0]) == std::vector<uint32_t>{2});
  CHECK_EQ(MemoryBlock::live_blocks(), before);
}

// The environment's thread posts while the engine's reads completions: here the latter knows what was posted only
// through the provider, which is a queue of contexts.
TEST(marked_operations_are_found_while_they_are_in_flight) {
  OperationTable table(4);
  CHECK(!table.has_marked(&kEndpoints[0], ofi::kTakesAnyMessage));
  Operation* receive = table.acquire(1, &kEndpoints[0], nullptr);
  CHECK(!table.has_marked(&kEndpoints[0], ofi::kTakesAnyMessage));
  receive->marks = ofi::kTakesAnyMessage;
  CHECK(table.has_marked(&kEndpoints[0], ofi::kTakesAnyMessage | ofi::kTakesAnyTagged));
  CHECK(!table.has_marked(&kEndpoints[0], ofi::kTakesAnyTagged));
  CHECK(!table.has_marked(&kEndpoints[1], ofi::kTakesAnyMessage));
  CHECK_EQ(table.complete(receive), 1);
  CHECK(!table.has_marked(&kEndpoints[0], ofi::kTakesAnyMessage));
  // The next in the slot has no mark of the last one's.
  table.acquire(1, &kEndpoints[0], nullptr);
  CHECK(!table.has_marked(&kEndpoints[0], ofi::kTakesAnyMessage));
}

TEST(slots_pass_between_the_poster_and_a_reader) {
  constexpr uint32_t kSlots = 8;
  constexpr uint32_t kOperations = 20'000;
  const int64_t before = MemoryBlock::live_blocks();
  OperationTable table(kSlots);
  std::array<std::atomic<void*>, kSlots> provider{};
  std::atomic<uint32_t> completed{0};
  std::thread reader([&] {
    while (completed.load(std::memory_order_relaxed) < kOperations) {
      for (uint32_t i = 0; i < kSlots; ++i) {
        void* context = provider[i].exchange(nullptr, std::memory_order_acquire);
        if (context == nullptr) continue;
        static_cast<Operation*>(context)->block->data()[0]++;
        CHECK_EQ(table.complete(context), static_cast<int32_t>(i));
        completed.fetch_add(1, std::memory_order_relaxed);
      }
      std::this_thread::yield();
    }
  });
  uint32_t posted = 0;
  while (posted < kOperations) {
    const uint32_t index = posted % kSlots;
    // One block per operation: the reader gives the last reference back.
    BlockReference block(MemoryBlock::allocate(1));
    Operation* slot = table.acquire(index, &kEndpoints[0], block.get());
    if (slot == nullptr) {
      std::this_thread::yield();
      continue;
    }
    block.reset();
    provider[index].store(&slot->context, std::memory_order_release);
    ++posted;
  }
  reader.join();
  CHECK_EQ(table.busy(), 0U);
  CHECK_EQ(MemoryBlock::live_blocks(), before);
}
