// Where a device is: its GID, from which the UDP address of its NIC can be read, so that nothing has to be configured.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>

namespace softefa {

// An IPv4 address and a UDP port, in host byte order.
struct UdpAddress {
  uint32_t ip = 0;
  uint16_t port = 0;
  auto operator<=>(const UdpAddress&) const = default;
};

struct Gid {
  std::array<uint8_t, 16> raw{};
  auto operator<=>(const Gid&) const = default;
};

// fe80::efa0:PORT:IP. Link-local, as EFA's own are.
inline Gid gid_of(const UdpAddress& address) {
  Gid gid;
  gid.raw = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0xef, 0xa0};
  gid.raw[10] = static_cast<uint8_t>(address.port >> 8);
  gid.raw[11] = static_cast<uint8_t>(address.port);
  for (int byte = 0; byte < 4; ++byte)
    gid.raw[12 + byte] = static_cast<uint8_t>(address.ip >> (24 - (8 * byte)));
  return gid;
}

// The address that a GID stands for; port 0 where it is no software device's.
inline UdpAddress address_of(const Gid& gid) {
  UdpAddress address;
  if (gid.raw[0] != 0xfe || gid.raw[8] != 0xef || gid.raw[9] != 0xa0) return address;
  address.port = static_cast<uint16_t>(gid.raw[10] << 8 | gid.raw[11]);
  for (int byte = 0; byte < 4; ++byte) address.ip = address.ip << 8 | gid.raw[12 + byte];
  return address;
}

}  // namespace softefa
