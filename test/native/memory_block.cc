#include "memory_block.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <thread>
#include <utility>
#include <vector>

#include "harness.h"

using ofi::BlockReference;
using ofi::MemoryBlock;

namespace {

const auto kPage = static_cast<size_t>(sysconf(_SC_PAGESIZE));

bool is_mapped(void* page) {
  unsigned char resident = 0;
  return mincore(page, 1, &resident) == 0 || errno != ENOMEM;
}

}  // namespace

TEST(is_zeroed_whole_pages_and_counted) {
  const int64_t before = MemoryBlock::live_blocks();
  MemoryBlock* block = MemoryBlock::allocate(10'000);
  REQUIRE(block != nullptr);
  CHECK_EQ(MemoryBlock::live_blocks(), before + 1);
  CHECK_EQ(block->size(), 10'000U);
  CHECK_EQ(reinterpret_cast<uintptr_t>(block->data()) % kPage, 0U);
  bool zero = true;
  for (size_t i = 0; i < block->size(); ++i) zero = zero && block->data()[i] == 0;
  CHECK(zero);
  block->data()[9'999] = 1;
  uint8_t* data = block->data();
  block->release();
  CHECK_EQ(MemoryBlock::live_blocks(), before);
  CHECK(!is_mapped(data));
}

TEST(of_no_bytes_has_an_address) {
  const BlockReference block(MemoryBlock::allocate(0));
  REQUIRE(block);
  CHECK(block.get()->data() != nullptr);
  CHECK_EQ(block.get()->size(), 0U);
  CHECK(block.get()->contains(0, 0));
  CHECK_EQ(block.get()->capacity(), kPage);
}

TEST(answers_null_where_there_is_no_memory) {
  const int64_t before = MemoryBlock::live_blocks();
  CHECK(MemoryBlock::allocate(SIZE_MAX) == nullptr);
  CHECK(MemoryBlock::allocate(SIZE_MAX / 2) == nullptr);
  CHECK(MemoryBlock::allocate(1, SIZE_MAX) == nullptr);
  CHECK_EQ(MemoryBlock::live_blocks(), before);
}

TEST(contains_does_not_overflow) {
  const BlockReference block(MemoryBlock::allocate(kPage));
  REQUIRE(block);
  CHECK(block.get()->contains(0, kPage));
  CHECK(block.get()->contains(kPage, 0));
  CHECK(block.get()->contains(kPage - 1, 1));
  CHECK(!block.get()->contains(kPage - 1, 2));
  CHECK(!block.get()->contains(kPage + 1, 0));
  CHECK(!block.get()->contains(1, UINT64_MAX));
  CHECK(!block.get()->contains(UINT64_MAX, 1));
  CHECK(!block.get()->contains(UINT64_MAX, UINT64_MAX));
}

TEST(has_room_behind_it_for_messages_that_are_too_long) {
  const int64_t before = MemoryBlock::live_blocks();
  const size_t overflow = size_t{1} << 30;
  BlockReference reference(MemoryBlock::allocate(100, overflow));
  REQUIRE(reference);
  MemoryBlock& block = *reference.get();
  CHECK_EQ(block.size(), 100U);
  CHECK_EQ(block.capacity(), kPage + overflow);
  CHECK(block.contains(0, kPage + overflow));
  CHECK(!block.contains(1, kPage + overflow));
  block.data()[99] = 1;
  block.data()[kPage] = 2;
  block.data()[block.capacity() - 1] = 3;
  block.trim();
  CHECK_EQ(block.data()[99], 1);
  CHECK_EQ(block.data()[kPage], 0);
  CHECK_EQ(block.data()[block.capacity() - 1], 0);
  uint8_t* end = block.data() + block.capacity() - kPage;
  reference.reset();
  CHECK(!is_mapped(end));
  CHECK_EQ(MemoryBlock::live_blocks(), before);
}

TEST(trim_without_room_behind_changes_nothing) {
  const BlockReference block(MemoryBlock::allocate(2 * kPage));
  block.get()->data()[2 * kPage - 1] = 1;
  block.get()->trim();
  CHECK_EQ(block.get()->data()[2 * kPage - 1], 1);
}

TEST(does_with_less_room_behind_it_than_was_asked_for) {
#ifdef __SANITIZE_THREAD__
  SKIP("TSan keeps shadows of all that is mapped");
#endif
  const BlockReference block(MemoryBlock::allocate(100, size_t{1} << 60));
  REQUIRE(block);
  CHECK(block.get()->capacity() < size_t{1} << 60);
  CHECK(block.get()->capacity() >= kPage);
  block.get()->data()[block.get()->capacity() - 1] = 1;
}

TEST(lives_until_the_last_of_many_threads_lets_go) {
  constexpr int kThreads = 8;
  const int64_t before = MemoryBlock::live_blocks();
  for (int round = 0; round < 50; ++round) {
    MemoryBlock* block = MemoryBlock::allocate(64);
    REQUIRE(block != nullptr);
    for (int i = 0; i < kThreads; ++i) block->retain();
    std::vector<std::thread> threads;
    threads.reserve(kThreads);
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([block, i] {
        block->retain();
        block->data()[i] = 1;
        block->release();
        block->data()[i] = 2;
        block->release();
      });
    }
    block->release();
    for (std::thread& thread : threads) thread.join();
    CHECK_EQ(MemoryBlock::live_blocks(), before);
  }
}

TEST(has_one_descriptor_per_domain) {
  std::array<int, 3> domains{};
  std::array<int, 3> descriptors{};
  const BlockReference reference(MemoryBlock::allocate(1));
  REQUIRE(reference);
  MemoryBlock& block = *reference.get();
  CHECK(block.descriptor(&domains[0]) == nullptr);
  for (int i = 0; i < 3; ++i) block.add_descriptor(&domains[i], &descriptors[i]);
  for (int i = 0; i < 3; ++i) CHECK(block.descriptor(&domains[i]) == &descriptors[i]);
  block.remove_descriptor(&domains[1], &descriptors[1]);
  CHECK(block.descriptor(&domains[0]) == &descriptors[0]);
  CHECK(block.descriptor(&domains[1]) == nullptr);
  CHECK(block.descriptor(&domains[2]) == &descriptors[2]);
  block.remove_descriptor(&domains[1], &descriptors[1]);
  block.add_descriptor(&domains[1], &descriptors[0]);
  CHECK(block.descriptor(&domains[1]) == &descriptors[0]);
  // The newest of several registrations, whichever is closed first.
  block.add_descriptor(&domains[1], &descriptors[2]);
  CHECK(block.descriptor(&domains[1]) == &descriptors[2]);
  block.remove_descriptor(&domains[1], &descriptors[0]);
  CHECK(block.descriptor(&domains[1]) == &descriptors[2]);
  block.remove_descriptor(&domains[1], &descriptors[2]);
  CHECK(block.descriptor(&domains[1]) == nullptr);
}

TEST(reference_moves_and_gives_back_once) {
  const int64_t before = MemoryBlock::live_blocks();
  {
    BlockReference first(MemoryBlock::allocate(1));
    BlockReference second(std::move(first));
    CHECK(!first);  // NOLINT(bugprone-use-after-move): what is left behind is what is tested
    CHECK(second);
    BlockReference third(MemoryBlock::allocate(1));
    CHECK_EQ(MemoryBlock::live_blocks(), before + 2);
    third = std::move(second);
    CHECK_EQ(MemoryBlock::live_blocks(), before + 1);
    BlockReference& alias = third;
    third = std::move(alias);
    CHECK(third);
    third.reset();
    third.reset();
    CHECK_EQ(MemoryBlock::live_blocks(), before);
    const BlockReference none;
    CHECK(!none);
  }
  CHECK_EQ(MemoryBlock::live_blocks(), before);
}
