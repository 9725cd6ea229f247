#pragma once

#include <memory>
#include <unordered_map>

#include "domain.h"
#include "environment.h"
#include "shm_lock.h"
#include "wide_addresses.h"

namespace ofi {

class AddressVectorObject : public FidObject<fid_av> {
 public:
  static constexpr Kind kKind = Kind::AddressVector;
  AddressVectorObject() : FidObject(kKind, "AddressVector") {}

  static constexpr int32_t kWide = kWideAddress;
  struct WideAddress {
    fi_addr_t address;
    // What was inserted, where this names one of its receive contexts.
    int32_t base;
    bool live;
  };

  // Providers crash on an address that was never inserted, or was removed.
  bool is_live(int32_t address) const {
    if (address >= kWide) return is_live_wide(address);
    return is_index(address);
  }
  // The same for one that is its place in a table.
  bool is_index(int32_t address) const {
    return address >= 0 && static_cast<size_t>(address) < live.size() &&
           live[static_cast<size_t>(address)] != 0;
  }
  // Of a live one.
  fi_addr_t address_of(int32_t address) const {
    return address >= kWide ? wide[static_cast<size_t>(address - kWide)].address
                            : static_cast<fi_addr_t>(address);
  }
  // What was inserted, of a live one.
  int32_t base_of(int32_t address) const {
    return address >= kWide ? wide[static_cast<size_t>(address - kWide)].base : address;
  }
  // The number of what the provider gave, from now on live; a negative status where there are too many.
  int32_t take(fi_addr_t address);
  // The same of a receive context of an address.
  int32_t take_context(int32_t base, uint32_t index);
  // No longer live, nor its receive contexts.
  void remove(int32_t address);
  // What was inserted, which may be an endpoint's of shm.
  void note_name(int32_t address, const uint8_t* bytes, size_t length);
  // Whether shm would not wait for whoever keeps the lock of a live one.
  bool may_be_entered(int32_t address, LookAgain again) {
    return static_cast<size_t>(address) >= shm_peers_.size() ||
           is_free(shm_peers_[static_cast<size_t>(address)], again);
  }

  fid_domain* domain = nullptr;
  // Of an address, those that name a receive context; 0: none.
  uint32_t context_bits = 0;
  std::vector<WideAddress> wide;
  std::unordered_map<fi_addr_t, int32_t> wide_numbers;
  // Those that are live, for the readers of completion queues.
  const std::shared_ptr<WideAddresses> senders = std::make_shared<WideAddresses>();
  std::vector<uint8_t> live;
  // How many addresses there were when the first set of them was opened; -1: none was.
  int32_t range_limit = -1;

 private:
  // By the number of the address; without a name where it is none of shm's.
  struct ShmPeer {
    std::string name;
    std::shared_ptr<const ShmLock> lock;
  };
  static bool is_free(ShmPeer& peer, LookAgain again);
  std::vector<ShmPeer> shm_peers_;
  bool is_live_wide(int32_t address) const {
    const auto place = static_cast<size_t>(address - kWide);
    return place < wide.size() && wide[place].live;
  }
  int32_t take_wide(fi_addr_t address, int32_t base);
};

void register_address_vector(Napi::Object exports, Environment* environment);

}  // namespace ofi
