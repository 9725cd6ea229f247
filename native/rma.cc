#include "handle.h"
#include "message.h"

namespace ofi {

namespace {

// A provider without one-sided calls has no table for them, and some that have one leave out calls. One that has them
// may lack what they need where the endpoint was not opened for them.
#define OFI_LACKS_RMA(post, call) \
  (((post).endpoint->capabilities & FI_RMA) == 0 || !OFI_HAS_OP((post).endpoint->fid->rma, fi_ops_rma, call))

// All that a call with flags needs, at addresses that last as long as the call.
struct RmaMessage {
  RmaMessage(const Post& post, const Registers& registers, uint32_t flags)
      : vector{post.data, post.length},
        descriptor(post.descriptor),
        remote{registers.remote_address, post.length, registers.remote_key},
        message{&vector,
                &descriptor,
                1,
                post.address,
                &remote,
                1,
                &post.operation->context,
                (flags & kPostImmediate) != 0 ? registers.immediate : 0} {}
  RmaMessage(const RmaMessage&) = delete;
  RmaMessage& operator=(const RmaMessage&) = delete;

  iovec vector;
  void* descriptor;
  fi_rma_iov remote;
  fi_msg_rma message;
};

ssize_t call_write(const Registers& registers, const Post& post, uint32_t flags) {
  fid_ep* ep = post.endpoint->fid;
  void* context = &post.operation->context;
  if (flags == 0)
    return fi_write(ep, post.data, post.length, post.descriptor, post.address, registers.remote_address,
                    registers.remote_key, context);
  if (flags == kPostImmediate)
    return fi_writedata(ep, post.data, post.length, post.descriptor, registers.immediate, post.address,
                        registers.remote_address, registers.remote_key, context);
  const RmaMessage message(post, registers, flags);
  return fi_writemsg(ep, &message.message, operation_flags(flags));
}

// read: endpoint, context, memory, offset, length, peer; registers().remote_address and remote_key: fi_read(3).
napi_value read(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  const Post post = prepare_operation(
      a.environment(), a.u32(1), {a.u32(0), a.u32(2), a.u53(3), a.u53(4), a.i32(5)}, Direction::Transmit);
  if (post.status != kOk) return a.answer(post.status);
  if (OFI_LACKS_RMA(post, read)) return a.answer(refuse(post));
  const Registers& registers = a.environment().registers();
  return a.answer(
      finish_post(post, fi_read(post.endpoint->fid, post.data, post.length, post.descriptor, post.address,
                                registers.remote_address, registers.remote_key, &post.operation->context)));
}

// write: endpoint, context, memory, offset, length, peer, flags; registers().remote_address and remote_key:
// fi_write(3), fi_writedata(3) or fi_writemsg(3).
napi_value write(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  const Post post =
      prepare_operation(a.environment(), a.u32(1), {a.u32(0), a.u32(2), a.u53(3), a.u53(4), a.i32(5)},
                        Direction::Transmit, traits_of_post(a.u32(6)));
  if (post.status != kOk) return a.answer(post.status);
  if (OFI_LACKS_RMA(post, writemsg)) return a.answer(refuse(post));
  return a.answer(finish_post(post, call_write(a.environment().registers(), post, a.u32(6))));
}

// injectWrite: endpoint, memory, offset, length, peer, flags; registers().remote_address and remote_key:
// fi_inject_write(3) or fi_inject_writedata(3). No completion.
napi_value inject_write(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  const Post post =
      prepare_post(a.environment(), {a.u32(0), a.u32(1), a.u53(2), a.u53(3), a.i32(4)}, Direction::Transmit);
  if (post.status != kOk) return a.answer(post.status);
  const int32_t refusal = check_inject(*post.endpoint, *post.block, post.length);
  if (refusal != kOk) return a.answer(refusal);
  const bool has_data = (a.u32(5) & kPostImmediate) != 0;
  if (has_data ? OFI_LACKS_RMA(post, injectdata) : OFI_LACKS_RMA(post, inject)) return a.answer(kUnsupported);
  const Registers& registers = a.environment().registers();
  fid_ep* ep = post.endpoint->fid;
  const ssize_t answer =
      has_data ? fi_inject_writedata(ep, post.data, post.length, registers.immediate, post.address,
                                     registers.remote_address, registers.remote_key)
               : fi_inject_write(ep, post.data, post.length, post.address, registers.remote_address,
                                 registers.remote_key);
  return a.answer(finish_post(post, answer));
}

}  // namespace

void register_rma(Napi::Object exports, Environment* environment) {
  define_fast(exports, "read", read, environment);
  define_fast(exports, "write", write, environment);
  define_fast(exports, "injectWrite", inject_write, environment);
}

}  // namespace ofi
