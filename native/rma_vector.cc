// Reads and writes of several parts, and the calls with flags: fi_readv(3), fi_writemsg(3) and their like.
#include "handle.h"
#include "parts.h"
#include "trigger.h"

namespace ofi {

namespace {

// Which call: as src/fi/rma-endpoint.ts numbers them.
enum RmaCall : uint32_t {
  kWrites = 1,
  kHasFlags = 2,  // the form that ends in msg, with registers().operation_flags
};

bool is_there(const EndpointObject& endpoint, uint32_t call) {
  if ((endpoint.capabilities & FI_RMA) == 0) return false;
  const fi_ops_rma* rma = endpoint.fid->rma;
  switch (call) {
    case 0: return OFI_HAS_OP(rma, fi_ops_rma, readv);
    case kWrites: return OFI_HAS_OP(rma, fi_ops_rma, writev);
    case kHasFlags: return OFI_HAS_OP(rma, fi_ops_rma, readmsg);
    case kHasFlags | kWrites: return OFI_HAS_OP(rma, fi_ops_rma, writemsg);
    default: return false;
  }
}

ssize_t call_provider(const Post& post, const Registers& registers, Parts& parts, uint32_t call,
                      uint32_t remotes) {
  fid_ep* ep = post.endpoint->fid;
  void* context = &post.operation->context;
  const Registers::RemotePart& first = registers.remote_parts[0];
  if ((call & kHasFlags) == 0)
    return (call & kWrites) != 0 ? fi_writev(ep, parts.vectors(), parts.descriptors(), parts.count(),
                                             post.address, first.address, first.key, context)
                                 : fi_readv(ep, parts.vectors(), parts.descriptors(), parts.count(),
                                            post.address, first.address, first.key, context);
  std::array<fi_rma_iov, Registers::kRemoteParts> remote;  // NOLINT(*-member-init): as many as there are
  for (uint32_t i = 0; i < remotes; ++i) {
    const Registers::RemotePart& part = registers.remote_parts[i];
    remote[i] = {part.address, part.length, part.key};
  }
  const fi_msg_rma message{parts.vectors(), parts.descriptors(), parts.count(),
                           post.address,    remote.data(),       remotes,
                           context,         registers.immediate};
  return (call & kWrites) != 0 ? fi_writemsg(ep, &message, registers.operation_flags)
                               : fi_readmsg(ep, &message, registers.operation_flags);
}

// rmaVector: endpoint, context, call, count, remote count, peer; registers().parts, remote_parts, immediate,
// operation_flags and what Trigger reads.
napi_value rma_vector(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  const Registers& registers = a.environment().registers();
  const uint32_t call = a.u32(2);
  Post post = prepare_peer(a.environment(), a.u32(0), a.i32(5), Direction::Transmit);
  if (post.status != kOk) return a.answer(post.status);
  const EndpointObject& endpoint = *post.endpoint;
  if (!is_there(endpoint, call)) return a.answer(kUnsupported);
  Parts parts;
  const int32_t refusal = parts.add(a.environment(), endpoint, 0, a.u32(3));
  if (refusal != kOk) return a.answer(refusal);
  uint8_t traits = endpoint.transmit_traits;
  if ((call & kHasFlags) != 0) {
    const uint64_t flags = registers.operation_flags;
    if ((flags & FI_INJECT) != 0) {
      if (parts.length() > endpoint.inject_size) return a.answer(-FI_EMSGSIZE);
      if (!parts.forget_descriptors()) return a.answer(kDeviceMemory);
    }
    traits = endpoint.selects_transmits && (flags & FI_COMPLETION) == 0 ? kSilent : 0;
  }
  const Trigger trigger(a, *post.endpoint, (call & kHasFlags) != 0 ? registers.operation_flags : 0);
  if (trigger.status() != kOk) return a.answer(trigger.status());
  take_slot(&post, a.u32(1), Direction::Transmit, parts.blocks(), parts.count(), traits);
  if (post.status != kOk) return a.answer(post.status);
  trigger.arm(post);
  return a.answer(finish_post(post, call_provider(post, registers, parts, call, remote_count(a.u32(4)))));
}

}  // namespace

void register_rma_vector(Napi::Object exports, Environment* environment) {
  define_fast(exports, "rmaVector", rma_vector, environment);
}

}  // namespace ofi
