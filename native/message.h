#pragma once

#include "endpoint.h"
#include "memory.h"

namespace ofi {

// What every data-plane call checks and looks up. A status other than kOk means: do not call the provider.
struct Post {
  EndpointObject* endpoint = nullptr;
  uint8_t* data = nullptr;
  size_t length = 0;
  void* descriptor = nullptr;
  fi_addr_t address = FI_ADDR_UNSPEC;
  Operation* operation = nullptr;
  OperationTable* table = nullptr;
  int32_t status = kOk;
};

struct PostArguments {
  uint32_t endpoint;
  int32_t context;  // -1: an injected message, which has none
  uint32_t memory;
  uint64_t offset;
  uint64_t length;
  int32_t peer;  // -1: from anybody
};

enum class Direction : uint8_t { Transmit, Receive };

Post prepare_post(Environment& environment, const PostArguments& arguments, Direction direction);
// Gives the slot back where the provider refused, and turns the answer into a status.
int32_t finish_post(const Post& post, ssize_t answer);

// Flags of the calls from JavaScript.
enum PostFlags : uint32_t {
  kPostImmediate = 1,         // registers().immediate travels with the message
  kPostTransmitComplete = 2,  // complete when the provider has sent it
  kPostDeliveryComplete = 4,  // complete when it has arrived
};
inline uint64_t operation_flags(uint32_t flags) {
  uint64_t result = FI_COMPLETION;
  if ((flags & kPostImmediate) != 0) result |= FI_REMOTE_CQ_DATA;
  if ((flags & kPostTransmitComplete) != 0) result |= FI_TRANSMIT_COMPLETE;
  if ((flags & kPostDeliveryComplete) != 0) result |= FI_DELIVERY_COMPLETE;
  return result;
}

void register_message(Napi::Object exports, Environment* environment);
void register_tagged(Napi::Object exports, Environment* environment);

}  // namespace ofi
