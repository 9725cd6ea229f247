#include "udp_wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <ctime>
#include <system_error>

namespace softefa {

namespace {

constexpr int kSocketBufferBytes = 8 << 20;

sockaddr_in socket_address(const UdpAddress& address) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  result.sin_addr.s_addr = htonl(address.ip);
  result.sin_port = htons(address.port);
  return result;
}

// As root beyond the system's limit; else as much as it allows. What does not fit is lost and sent again.
void enlarge(int socket, int forced, int asked) {
  if (setsockopt(socket, SOL_SOCKET, forced, &kSocketBufferBytes, sizeof kSocketBufferBytes) != 0)
    setsockopt(socket, SOL_SOCKET, asked, &kSocketBufferBytes, sizeof kSocketBufferBytes);
}

}  // namespace

uint64_t monotonic_us() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (static_cast<uint64_t>(now.tv_sec) * 1'000'000) + (static_cast<uint64_t>(now.tv_nsec) / 1'000);
}

UdpWire::UdpWire(const UdpAddress& address, const FaultSettings& faults)
    : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)), faults_(faults) {
  sockaddr_in bound = socket_address(address);
  socklen_t length = sizeof bound;
  if (!socket_.is_open() || bind(socket_.get(), reinterpret_cast<sockaddr*>(&bound), length) != 0 ||
      getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&bound), &length) != 0)
    throw std::system_error(errno, std::generic_category(), "the NIC's UDP socket");
  address_ = {ntohl(bound.sin_addr.s_addr), ntohs(bound.sin_port)};
  enlarge(socket_.get(), SO_RCVBUFFORCE, SO_RCVBUF);
  enlarge(socket_.get(), SO_SNDBUFFORCE, SO_SNDBUF);
}

void UdpWire::send(const Gid& target, const PacketHeader& header, std::span<const std::byte> payload) {
  const UdpAddress address = address_of(target);
  const Faults::Decision decision = faults_.decide();
  if (decision.is_lost || address.port == 0 || faults_.is_cut(target)) return;
  const auto head = std::as_bytes(std::span(&header, 1));
  if (decision.delay_us == 0) {
    send_now(address, head, payload);
    return;
  }
  Held held{address, {head.begin(), head.end()}};
  held.bytes.insert(held.bytes.end(), payload.begin(), payload.end());
  held_.emplace(monotonic_us() + decision.delay_us, std::move(held));
}

// What the kernel does not take is a lost packet.
void UdpWire::send_now(const UdpAddress& target, std::span<const std::byte> first,
                       std::span<const std::byte> second) {
  sockaddr_in name = socket_address(target);
  iovec parts[2] = {{const_cast<std::byte*>(first.data()), first.size()},
                    {const_cast<std::byte*>(second.data()), second.size()}};
  msghdr message{};
  message.msg_name = &name;
  message.msg_namelen = sizeof name;
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  static_cast<void>(sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL));
}

bool UdpWire::receive(PacketHeader& header, std::vector<std::byte>& payload) {
  for (;;) {
    payload.resize(kMaxMessageBytes);
    iovec parts[2] = {{&header, sizeof header}, {payload.data(), payload.size()}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    const ssize_t count = recvmsg(socket_.get(), &message, MSG_DONTWAIT);
    if (count < 0 && errno != EAGAIN) continue;  // an unreachable peer's answer, reported once
    if (count < 0) return false;
    if (static_cast<size_t>(count) < sizeof header || (message.msg_flags & MSG_TRUNC) != 0) continue;
    if (faults_.is_cut(header.source)) continue;
    payload.resize(static_cast<size_t>(count) - sizeof header);
    return true;
  }
}

uint64_t UdpWire::flush(uint64_t now_us) {
  while (!held_.empty() && held_.begin()->first <= now_us) {
    send_now(held_.begin()->second.target, held_.begin()->second.bytes, {});
    held_.erase(held_.begin());
  }
  return held_.empty() ? Transport::kNever : held_.begin()->first;
}

}  // namespace softefa
