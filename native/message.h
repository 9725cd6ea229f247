#pragma once

#include "endpoint.h"
#include "memory.h"

namespace ofi {

// What every data-plane call checks and looks up. A status other than kOk means: do not call the provider.
struct Post {
  EndpointObject* endpoint = nullptr;
  uint8_t* data = nullptr;
  size_t length = 0;
  MemoryBlock* block = nullptr;
  void* descriptor = nullptr;
  fi_addr_t address = FI_ADDR_UNSPEC;
  Operation* operation = nullptr;
  OperationTable* table = nullptr;
  int32_t status = kOk;
};

struct PostArguments {
  uint32_t endpoint;
  uint32_t memory;
  uint64_t offset;
  uint64_t length;
  int32_t peer;  // -1: from anybody
};

// FI_EP_DGRAM: whether a message has room for its prefix, and is no longer than the provider can send.
int32_t check_datagram(const EndpointObject& endpoint, uint64_t length, Direction direction);

// Whether a message may be injected: it is short enough, which providers only assert, and no device's memory, and somebody
// will know when it has left.
inline int32_t check_inject(const EndpointObject& endpoint, const MemoryBlock& block, uint64_t length) {
  if (length > endpoint.inject_size) return -FI_EMSGSIZE;
  if (block.is_device()) return kDeviceMemory;
  return endpoint.transmits_outlive ? kUntold : kOk;
}
// Notes of a receive from a shared context that it takes whatever comes; or that it might be given what must not be touched.
inline int32_t check_shared_receive(const Post& post, OperationMark mark, bool takes_any) {
  if (post.endpoint->role != Role::SharedReceive) return kOk;
  if (takes_any && post.address == FI_ADDR_UNSPEC) post.operation->marks = mark;
  return (post.endpoint->lost & mark) != 0 ? kUnread : kOk;
}

// The endpoint and the peer of a call.
Post prepare_peer(Environment& environment, uint32_t endpoint, int32_t peer, Direction direction,
                  LookAgain again = LookAgain::Soon);
// Takes the slot of an operation on these blocks. `traits` are of enum OperationTrait.
void take_slot(Post* post, uint32_t context, Direction direction, MemoryBlock* const* blocks, uint32_t count,
               uint8_t traits);
// The descriptor that an operation of the endpoint on a block needs, if any. False for a device's memory without one:
// providers would take it for the process's own.
inline bool find_descriptor(const EndpointObject& endpoint, const MemoryBlock& block, void** descriptor) {
  if (endpoint.needs_descriptor || block.is_device()) *descriptor = block.descriptor(endpoint.domain);
  return !block.is_device() || *descriptor != nullptr;
}
// For an injected message, which has no context and no completion.
Post prepare_post(Environment& environment, const PostArguments& arguments, Direction direction);
// For an operation with a context, whose slot it takes. It has the traits of the endpoint's operations in `traits`.
Post prepare_operation(Environment& environment, uint32_t context, const PostArguments& arguments,
                       Direction direction, uint8_t traits = kSilent);
// Gives the slot back where the provider refused, and turns the answer into a status.
int32_t finish_post(const Post& post, ssize_t answer);
// Ends one that the provider has no call for.
inline int32_t refuse(const Post& post) { return finish_post(post, kUnsupported); }

// Flags of the calls from JavaScript.
enum PostFlags : uint32_t {
  kPostImmediate = 1,         // registers().immediate travels with the message
  kPostTransmitComplete = 2,  // complete when the provider has sent it
  kPostDeliveryComplete = 4,  // complete when it has arrived
  kPostInjectComplete = 8,    // complete when the memory may be used again
  kPostMatchComplete = 16,    // complete when the peer's receive was found
  kPostCommitComplete = 32,   // complete when it is where it survives a loss of power
};
// What a call without flags of its own can do; others complete whatever the endpoint's default is.
constexpr uint32_t kPostPlain = kPostImmediate;
inline uint8_t traits_of_post(uint32_t flags) { return (flags & ~kPostPlain) == 0 ? kSilent : 0; }
inline uint64_t operation_flags(uint32_t flags) {
  uint64_t result = FI_COMPLETION;
  if ((flags & kPostImmediate) != 0) result |= FI_REMOTE_CQ_DATA;
  if ((flags & kPostTransmitComplete) != 0) result |= FI_TRANSMIT_COMPLETE;
  if ((flags & kPostDeliveryComplete) != 0) result |= FI_DELIVERY_COMPLETE;
  if ((flags & kPostInjectComplete) != 0) result |= FI_INJECT_COMPLETE;
  if ((flags & kPostMatchComplete) != 0) result |= FI_MATCH_COMPLETE;
  if ((flags & kPostCommitComplete) != 0) result |= FI_COMMIT_COMPLETE;
  return result;
}

void register_message(Napi::Object exports, Environment* environment);
void register_message_vector(Napi::Object exports, Environment* environment);
void register_tagged(Napi::Object exports, Environment* environment);
void register_rma(Napi::Object exports, Environment* environment);
void register_rma_vector(Napi::Object exports, Environment* environment);
void register_atomic(Napi::Object exports, Environment* environment);
void register_atomic_vector(Napi::Object exports, Environment* environment);

}  // namespace ofi
