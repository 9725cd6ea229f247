// What NICs say to each other: one header, then the payload.
#pragma once

#include <cstdint>

#include "address.h"

namespace softefa {

// The device's MTU: what one message of a queue pair may carry.
constexpr uint32_t kMaxMessageBytes = 8928;
constexpr uint32_t kPacketMagic = 0x53454641;  // "AFES" on the wire
constexpr uint8_t kPacketVersion = 2;
// What one packet of a longer RDMA read or write carries.
constexpr uint32_t kSegmentBytes = 8192;

// What a message does at its target.
enum class Operation : uint32_t { kSend, kReceive, kRead, kWrite, kReceiveWrite };

enum class PacketKind : uint8_t {
  kMessage = 1,   // of an SRD queue pair: acknowledged, delivered once, in any order
  kDatagram = 2,  // of a UD queue pair: sent once
  kAccepted = 3,  // answers a kMessage: delivered, do not send it again; a read's has what was read
  kRefused = 4,   // answers a kMessage: not delivered, `status` says why
};

// The codes that EFA's completions carry (vendor_err); the ones that this device can produce.
enum class Status : uint8_t {
  kSuccess = 0,
  kFlushed = 1,
  kInternal = 2,
  kUnsupported = 3,
  kInvalidAddressHandle = 4,
  kInvalidLocalKey = 5,
  kLocalBadLength = 6,
  kRemoteBadAddress = 7,
  kBadTargetQueuePair = 9,
  kReceiverNotReady = 10,
  kRemoteBadLength = 11,
  kBadResponse = 12,
  kUnresponsive = 13,
  kUnreachable = 15,
};

// Little-endian, as every machine that EFA is found in.
struct PacketHeader {
  uint32_t magic = kPacketMagic;
  uint8_t version = kPacketVersion;
  PacketKind kind = PacketKind::kMessage;
  Status status = Status::kSuccess;
  uint8_t has_immediate = 0;
  // Of the sending NIC: another one means that it was restarted, and knows nothing of what was before.
  uint64_t incarnation = 0;
  // Names a kMessage of this NIC to that one; an answer repeats it.
  uint64_t sequence = 0;
  // The lowest sequence that the sender has not settled: below it nothing comes any more.
  uint64_t oldest = 0;
  Gid source;
  uint32_t source_qpn = 0;
  uint32_t target_qpn = 0;
  uint32_t queue_key = 0;
  uint32_t immediate = 0;
  // Of an RDMA read or write: what to do, where, and with how many bytes; of a write with immediate data, the bytes of
  // the whole of it.
  Operation operation = Operation::kSend;
  uint32_t remote_key = 0;
  uint64_t remote_address = 0;
  uint32_t length = 0;
  uint32_t reserved = 0;
};
static_assert(sizeof(PacketHeader) == 88);

}  // namespace softefa
