// The NIC's cable: one UDP socket, with what goes wrong on purpose.
#pragma once

#include <map>
#include <vector>

#include "descriptor.h"
#include "faults.h"
#include "nic.h"

namespace softefa {

class UdpWire final : public Nic::Wire {
 public:
  // Throws std::system_error where the address cannot be had.
  UdpWire(const UdpAddress& address, const FaultSettings& faults);

  int socket() const { return socket_.get(); }
  const UdpAddress& address() const { return address_; }
  Faults& faults() { return faults_; }
  void send(const Gid& target, const PacketHeader& header, std::span<const std::byte> payload) override;
  // One packet, if there is any.
  bool receive(PacketHeader& header, std::vector<std::byte>& payload);
  // Sends what has been held back long enough; answers when the next is due.
  uint64_t flush(uint64_t now_us);

 private:
  struct Held {
    UdpAddress target;
    std::vector<std::byte> bytes;
  };
  void send_now(const UdpAddress& target, std::span<const std::byte> first,
                std::span<const std::byte> second);

  Descriptor socket_;
  UdpAddress address_;
  Faults faults_;
  std::multimap<uint64_t, Held> held_;
};

uint64_t monotonic_us();

}  // namespace softefa
