// A program's connection to the NIC of one device.
#pragma once

#include <mutex>
#include <span>
#include <string>

#include "descriptor.h"
#include "shared.h"

namespace softefa {

class Channel {
 public:
  Channel() = default;
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel();

  // Answers an errno; 0: connected.
  int connect(const std::string& path);
  // Asks the NIC; the descriptors go along. The reply's error is EIO where the NIC is gone.
  Reply ask(const Request& request, std::span<const int> along = {});
  // Wakes the NIC for what was posted, where it sleeps.
  void ring();
  const Gid& gid() const { return gid_; }
  bool has_rdma() const { return has_rdma_; }

 private:
  int greet();

  std::mutex mutex_;
  Descriptor socket_, doorbell_;
  NicPage* page_ = nullptr;
  Gid gid_;
  bool has_rdma_ = false;
};

// Memory that the NIC can be shown, and where this program sees it.
class SharedMemory {
 public:
  SharedMemory() = default;
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory();

  bool create(size_t bytes);
  std::byte* memory() const { return memory_; }
  int fd() const { return file_.get(); }
  // Once the NIC has it, the descriptor is not needed.
  void close_file() { file_.reset(); }

 private:
  Descriptor file_;
  std::byte* memory_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace softefa
