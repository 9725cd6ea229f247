// What a native call answers: 0 or a result, a negative fi_errno, or one of the addon's own refusals. Errors for people
// are built from these in src/fi/errors.ts and nowhere else. Napi-free.
#pragma once

#include <cstdint>

namespace ofi {

// Below every fi_errno (the largest is under 512, EFA's provider codes never come as a status).
enum Status : int32_t {
  kOk = 0,
  kClosed = -10001,          // the object is closed, closing, or of another kind
  kOutOfRange = -10002,      // offset and length are not inside the memory
  kContextBusy = -10003,     // the operation's context is out of range or in flight
  kNoSuchPeer = -10004,      // the address is not in the endpoint's address vector
  kUnsupported = -10005,     // the provider has no such call
  kBusy = -10006,            // dependants are open
  kUnavailable = -10007,     // libfabric is not loaded
  kMisaligned = -10009,      // elements of an atomic operation do not lie at multiples of their size
  kNotBound = -10008,        // the endpoint lacks a queue or an address vector
  kNotClaimed = -10010,      // no message was claimed with the operation's context
  kNotRegistered = -10011,   // memory that the endpoint's domain has not registered, and has to
  kDeviceMemory = -10012,    // a device's memory that is not registered, or is to be injected
  kNoPrefix = -10013,        // the message is shorter than the prefix that a datagram needs
  kWaiting = -10014,         // operations wait for a counter to reach its threshold
  kCircular = -10015,        // a change of a counter would wait for itself
  kNotShared = -10016,       // the endpoint lacks its shared context, or does not fit the one that it has
  kOtherDirection = -10017,  // what only sends was to receive, or the other way round
  kUnfinished = -10018,      // operations of the endpoint are in a queue that outlives it
  kUntold = -10019,          // nobody would tell when such an operation is done
  kUnread = -10020,          // messages of an endpoint that was closed may be left in what it shared
};

}  // namespace ofi
