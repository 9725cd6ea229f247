// Addresses whose fi_addr_t is no small number, and what JavaScript calls them. Known by the address vector that has them and
// by the readers of the queues that name senders, on other threads. Napi-free.
#pragma once

#include <cstdint>
#include <mutex>
#include <unordered_map>

#include "fabric_abi.h"

namespace ofi {

// What JavaScript calls an address: its fi_addr_t where that is below this, as those of a table are. Others, which a map may
// give and fi_rx_addr(3) makes, are numbered from here on.
constexpr int32_t kWideAddress = 1 << 30;

class WideAddresses {
 public:
  void add(fi_addr_t address, int32_t number) {
    const std::lock_guard<std::mutex> guard(mutex_);
    numbers_[address] = number;
  }
  void remove(fi_addr_t address) {
    const std::lock_guard<std::mutex> guard(mutex_);
    numbers_.erase(address);
  }
  // -1: it is none of them.
  int32_t number_of(fi_addr_t address) const {
    const std::lock_guard<std::mutex> guard(mutex_);
    const auto found = numbers_.find(address);
    return found == numbers_.end() ? -1 : found->second;
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_map<fi_addr_t, int32_t> numbers_;
};

}  // namespace ofi
