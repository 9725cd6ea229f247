// Messages of several parts, and the calls with flags: fi_sendv(3), fi_sendmsg(3) and their like.
#include "handle.h"
#include "multicast.h"
#include "parts.h"
#include "trigger.h"

namespace ofi {

namespace {

// Which call: as src/fi/message-endpoint.ts numbers them.
enum MessageCall : uint32_t {
  kReceives = 1,
  kTagged = 2,
  kHasFlags = 4,   // the form that ends in msg, with registers().operation_flags
  kMulticast = 8,  // with kHasFlags: to a group, whose handle stands in the place of the peer
};

#define OFI_HAS_MESSAGE(ep, call) OFI_HAS_OP((ep)->msg, fi_ops_msg, call)
#define OFI_HAS_TAGGED(ep, call) OFI_HAS_OP((ep)->tagged, fi_ops_tagged, call)

bool is_there(const fid_ep* ep, uint32_t call) {
  switch (call & ~kMulticast) {
    case 0: return OFI_HAS_MESSAGE(ep, sendv);
    case kReceives: return OFI_HAS_MESSAGE(ep, recvv);
    case kHasFlags: return OFI_HAS_MESSAGE(ep, sendmsg);
    case kHasFlags | kReceives: return OFI_HAS_MESSAGE(ep, recvmsg);
    case kTagged: return OFI_HAS_TAGGED(ep, sendv);
    case kTagged | kReceives: return OFI_HAS_TAGGED(ep, recvv);
    case kTagged | kHasFlags: return OFI_HAS_TAGGED(ep, sendmsg);
    case kTagged | kHasFlags | kReceives: return OFI_HAS_TAGGED(ep, recvmsg);
    default: return false;
  }
}

uint8_t traits_of(const EndpointObject& endpoint, uint32_t call, uint64_t flags) {
  const bool receives = (call & kReceives) != 0;
  if ((call & kHasFlags) == 0) {
    const uint8_t traits = endpoint.default_traits(receives ? Direction::Receive : Direction::Transmit);
    return (call & kTagged) != 0 ? traits & ~kManyMessages : traits;
  }
  uint8_t traits = 0;
  if ((receives ? endpoint.selects_receives : endpoint.selects_transmits) && (flags & FI_COMPLETION) == 0)
    traits |= kSilent;
  if (!receives) return traits;
  if ((flags & FI_MULTI_RECV) != 0) traits |= kManyMessages;
  if ((flags & FI_CLAIM) != 0) traits |= (flags & FI_PEEK) != 0 ? kClaims : kWasClaimed;
  return traits;
}

int32_t check_shared(const Post& post, const Registers& registers, uint32_t call) {
  const bool has_flags = (call & kHasFlags) != 0;
  // sockets and tcp would tell what they found to an endpoint, which a shared context is none: by a null pointer.
  if (has_flags && post.endpoint->role == Role::SharedReceive &&
      (registers.operation_flags & (FI_PEEK | FI_CLAIM | FI_DISCARD)) != 0)
    return kUnsupported;
  if ((call & kTagged) == 0) return check_shared_receive(post, kTakesAnyMessage, !has_flags);
  return check_shared_receive(post, kTakesAnyTagged, !has_flags && registers.ignore == UINT64_MAX);
}

ssize_t call_messages(const Post& post, const Registers& registers, Parts& parts, uint32_t call) {
  fid_ep* ep = post.endpoint->fid;
  void* context = &post.operation->context;
  const iovec* vectors = parts.vectors();
  void** descriptors = parts.descriptors();
  if ((call & kHasFlags) == 0)
    return (call & kReceives) != 0 ? fi_recvv(ep, vectors, descriptors, parts.count(), post.address, context)
                                   : fi_sendv(ep, vectors, descriptors, parts.count(), post.address, context);
  const fi_msg message{vectors, descriptors, parts.count(), post.address, context, registers.immediate};
  return (call & kReceives) != 0 ? fi_recvmsg(ep, &message, registers.operation_flags)
                                 : fi_sendmsg(ep, &message, registers.operation_flags);
}

ssize_t call_tagged(const Post& post, const Registers& registers, Parts& parts, uint32_t call) {
  fid_ep* ep = post.endpoint->fid;
  void* context = &post.operation->context;
  const iovec* vectors = parts.vectors();
  void** descriptors = parts.descriptors();
  const uint64_t tag = registers.tag;
  if ((call & kHasFlags) == 0)
    return (call & kReceives) != 0
               ? fi_trecvv(ep, vectors, descriptors, parts.count(), post.address, tag, registers.ignore,
                           context)
               : fi_tsendv(ep, vectors, descriptors, parts.count(), post.address, tag, context);
  const fi_msg_tagged message{vectors, descriptors,      parts.count(), post.address,
                              tag,     registers.ignore, context,       registers.immediate};
  return (call & kReceives) != 0 ? fi_trecvmsg(ep, &message, registers.operation_flags)
                                 : fi_tsendmsg(ep, &message, registers.operation_flags);
}

// messageVector: endpoint, context, call, count, peer | -1 | group; registers().parts, tag, ignore, immediate,
// operation_flags and what Trigger reads.
napi_value message_vector(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  const Registers& registers = a.environment().registers();
  const uint32_t call = a.u32(2);
  const bool receives = (call & kReceives) != 0;
  const Direction direction = receives ? Direction::Receive : Direction::Transmit;
  Post post = (call & kMulticast) != 0 ? prepare_group(a.environment(), a.u32(0), a.u32(4))
                                       : prepare_peer(a.environment(), a.u32(0), a.i32(4), direction);
  if (post.status != kOk) return a.answer(post.status);
  if (!is_there(post.endpoint->fid, call)) return a.answer(kUnsupported);
  Parts parts;
  const int32_t refusal = parts.add(a.environment(), *post.endpoint, 0, a.u32(3));
  if (refusal != kOk) return a.answer(refusal);
  const int32_t misfit = check_datagram(*post.endpoint, parts.length(), direction);
  if (misfit != kOk) return a.answer(misfit);
  const uint64_t flags = (call & kHasFlags) != 0 ? registers.operation_flags : 0;
  if (!receives && (flags & FI_INJECT) != 0) {
    // Providers only assert it: a longer message overruns what they have room for.
    if (parts.length() > post.endpoint->inject_size) return a.answer(-FI_EMSGSIZE);
    if (!parts.forget_descriptors()) return a.answer(kDeviceMemory);
  }
  const Trigger trigger(a, *post.endpoint, flags);
  if (trigger.status() != kOk) return a.answer(trigger.status());
  take_slot(&post, a.u32(1), direction, parts.blocks(), parts.count(),
            traits_of(*post.endpoint, call, flags));
  if (post.status != kOk) return a.answer(post.status);
  const int32_t lost = receives ? check_shared(post, registers, call) : static_cast<int32_t>(kOk);
  if (lost != kOk) return a.answer(finish_post(post, lost));
  trigger.arm(post);
  return a.answer(finish_post(post, (call & kTagged) != 0 ? call_tagged(post, registers, parts, call)
                                                          : call_messages(post, registers, parts, call)));
}

}  // namespace

void register_message_vector(Napi::Object exports, Environment* environment) {
  define_fast(exports, "messageVector", message_vector, environment);
}

}  // namespace ofi
