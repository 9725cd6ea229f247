// Page-aligned memory that a NIC may touch. Counted, so that it outlives whoever still uses it: the JavaScript buffer
// that shows it, each operation in flight, and each registration hold one reference. Napi-free.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ofi {

class MemoryBlock {
 public:
  // `overflow` bytes of address space follow the memory, for receives: several providers hang, lose the connection or
  // crash when a message is longer than its buffer, so they are given more than anybody looks at. They cost nothing
  // until a message spills into them. Less is mapped where the system does not give so much.
  // Returns null where the kernel has no memory. Starts with one reference, the caller's.
  static MemoryBlock* allocate(size_t bytes, size_t overflow = 0);

  // Memory of a device, which is not this process's to unmap, and may not be readable by it either.
  static MemoryBlock* of_device(uint64_t address, size_t bytes);
  bool is_device() const { return is_device_; }

  void retain() { references_.fetch_add(1, std::memory_order_relaxed); }
  // Unmaps the memory when the last reference is gone. Callable on any thread.
  void release();

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  // The memory and the room behind it.
  size_t capacity() const { return mapped_; }
  bool contains(uint64_t offset, uint64_t length) const {
    return offset <= mapped_ && length <= mapped_ - offset;
  }
  // Gives back to the system what a long message has filled behind the memory.
  void trim();

  // Local descriptors (fi_mr_desc) by domain, for providers that ask for FI_MR_LOCAL. Changed and read by the one
  // thread that owns the environment.
  // Of several registrations with one domain the newest that is left counts.
  void add_descriptor(const void* domain, void* descriptor) {
    descriptors_.insert(descriptors_.begin(), {domain, descriptor});
  }
  void remove_descriptor(const void* domain, const void* descriptor);
  void* descriptor(const void* domain) const {
    for (const auto& entry : descriptors_)
      if (entry.domain == domain) return entry.descriptor;
    return nullptr;
  }

  // How many blocks exist in this process: for leak tests.
  static int64_t live_blocks();

 private:
  struct Descriptor {
    const void* domain;
    void* descriptor;
  };
  MemoryBlock(uint8_t* data, size_t size, size_t mapped, bool is_device = false)
      : data_(data), size_(size), mapped_(mapped), is_device_(is_device) {}
  ~MemoryBlock() = default;

  uint8_t* data_;
  size_t size_;
  size_t mapped_;
  bool is_device_;
  std::atomic<uint32_t> references_{1};
  std::vector<Descriptor> descriptors_;
};

// Owns one reference.
class BlockReference {
 public:
  BlockReference() = default;
  explicit BlockReference(MemoryBlock* adopted) : block_(adopted) {}
  BlockReference(const BlockReference&) = delete;
  BlockReference& operator=(const BlockReference&) = delete;
  BlockReference(BlockReference&& other) noexcept : block_(other.block_) { other.block_ = nullptr; }
  BlockReference& operator=(BlockReference&& other) noexcept {
    if (this != &other) {
      reset();
      block_ = other.block_;
      other.block_ = nullptr;
    }
    return *this;
  }
  ~BlockReference() { reset(); }
  void reset() {
    if (block_ != nullptr) block_->release();
    block_ = nullptr;
  }
  MemoryBlock* get() const { return block_; }
  explicit operator bool() const { return block_ != nullptr; }

 private:
  MemoryBlock* block_ = nullptr;
};

}  // namespace ofi
