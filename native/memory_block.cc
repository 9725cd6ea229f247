#include "memory_block.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace ofi {

namespace {
std::atomic<int64_t> live{0};
}  // namespace

MemoryBlock* MemoryBlock::allocate(size_t bytes, size_t overflow) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t wanted = std::max<size_t>(bytes, 1);
  if (wanted > SIZE_MAX / 2 || overflow > SIZE_MAX / 4) return nullptr;
  const size_t visible = (wanted + page - 1) / page * page;
  // Whole pages of its own: a registered page that the malloc heap shares would be lost to a forked child
  // (MADV_DONTFORK), and registration works on pages.
  for (;; overflow /= 16) {
    const size_t mapped = visible + (overflow + page - 1) / page * page;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (overflow != 0 ? MAP_NORESERVE : 0);
    void* data = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (data != MAP_FAILED) {
      live.fetch_add(1, std::memory_order_relaxed);
      return new MemoryBlock(static_cast<uint8_t*>(data), bytes, mapped);
    }
    if (overflow == 0) return nullptr;
  }
}

MemoryBlock* MemoryBlock::of_device(uint64_t address, size_t bytes) {
  live.fetch_add(1, std::memory_order_relaxed);
  return new MemoryBlock(reinterpret_cast<uint8_t*>(address), bytes, bytes, true);
}

void MemoryBlock::trim() {
  if (is_device_) return;
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t visible = (std::max<size_t>(size_, 1) + page - 1) / page * page;
  if (mapped_ > visible) madvise(data_ + visible, mapped_ - visible, MADV_DONTNEED);
}

void MemoryBlock::release() {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (!is_device_) munmap(data_, mapped_);
  live.fetch_sub(1, std::memory_order_relaxed);
  delete this;
}

void MemoryBlock::remove_descriptor(const void* domain, const void* descriptor) {
  const auto found = std::find_if(descriptors_.begin(), descriptors_.end(), [=](const Descriptor& entry) {
    return entry.domain == domain && entry.descriptor == descriptor;
  });
  if (found != descriptors_.end()) descriptors_.erase(found);
}

int64_t MemoryBlock::live_blocks() { return live.load(std::memory_order_relaxed); }

}  // namespace ofi
