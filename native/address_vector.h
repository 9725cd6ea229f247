#pragma once

#include "domain.h"
#include "environment.h"

namespace ofi {

class AddressVectorObject : public FidObject<fid_av> {
 public:
  static constexpr Kind kKind = Kind::AddressVector;
  AddressVectorObject() : FidObject(kKind, "AddressVector") {}

  // Providers crash on an address that was never inserted, or was removed.
  bool is_live(int32_t address) const {
    return address >= 0 && static_cast<size_t>(address) < live.size() &&
           live[static_cast<size_t>(address)] != 0;
  }
  void set_live(int32_t address, bool value) {
    if (static_cast<size_t>(address) >= live.size()) live.resize(static_cast<size_t>(address) + 1, 0);
    live[static_cast<size_t>(address)] = value ? 1 : 0;
  }

  fid_domain* domain = nullptr;
  std::vector<uint8_t> live;
  // How many addresses there were when the first set of them was opened; -1: none was.
  int32_t range_limit = -1;
};

void register_address_vector(Napi::Object exports, Environment* environment);

}  // namespace ofi
