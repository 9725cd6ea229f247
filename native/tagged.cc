#include "handle.h"
#include "message.h"

namespace ofi {

namespace {

ssize_t call_tsend(Environment& environment, const Post& post, uint32_t flags) {
  const Registers& registers = environment.registers();
  fid_ep* ep = post.endpoint->fid;
  void* context = &post.operation->context;
  if (flags == 0)
    return fi_tsend(ep, post.data, post.length, post.descriptor, post.address, registers.tag, context);
  if (flags == kPostImmediate)
    return fi_tsenddata(ep, post.data, post.length, post.descriptor, registers.immediate, post.address,
                        registers.tag, context);
  iovec vector{post.data, post.length};
  void* descriptor = post.descriptor;
  fi_msg_tagged message{
      &vector,       &descriptor, 1,       post.address,
      registers.tag, 0,           context, (flags & kPostImmediate) != 0 ? registers.immediate : 0};
  return fi_tsendmsg(ep, &message, operation_flags(flags));
}

// A provider without tagged messages has no table for them (EFA's efa-direct and DGRAM).
bool lacks_tagged(const Post& post) { return post.endpoint->fid->tagged == nullptr; }

// sendTagged: endpoint, context, memory, offset, length, peer, flags; registers().tag: fi_tsend(3), fi_tsenddata(3)
// or fi_tsendmsg(3).
napi_value send_tagged(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  const Post post =
      prepare_operation(a.environment(), a.u32(1), {a.u32(0), a.u32(2), a.u53(3), a.u53(4), a.i32(5)},
                        Direction::Transmit, traits_of_post(a.u32(6)));
  if (post.status != kOk) return a.answer(post.status);
  if (lacks_tagged(post)) return a.answer(refuse(post));
  return a.answer(finish_post(post, call_tsend(a.environment(), post, a.u32(6))));
}

// injectTagged: endpoint, memory, offset, length, peer, flags; registers().tag: fi_tinject(3) or fi_tinjectdata(3).
napi_value inject_tagged(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  const Post post =
      prepare_post(a.environment(), {a.u32(0), a.u32(1), a.u53(2), a.u53(3), a.i32(4)}, Direction::Transmit);
  if (post.status != kOk) return a.answer(post.status);
  const int32_t refusal = check_inject(*post.endpoint, *post.block, post.length);
  if (refusal != kOk) return a.answer(refusal);
  if (lacks_tagged(post)) return a.answer(refuse(post));
  const Registers& registers = a.environment().registers();
  fid_ep* ep = post.endpoint->fid;
  const ssize_t answer =
      (a.u32(5) & kPostImmediate) != 0
          ? fi_tinjectdata(ep, post.data, post.length, registers.immediate, post.address, registers.tag)
          : fi_tinject(ep, post.data, post.length, post.address, registers.tag);
  return a.answer(finish_post(post, answer));
}

// recvTagged: endpoint, context, memory, offset, length, peer | -1; registers().tag and ignore: fi_trecv(3).
napi_value recv_tagged(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  const Post post = prepare_operation(a.environment(), a.u32(1),
                                      {a.u32(0), a.u32(2), a.u53(3), a.u53(4), a.i32(5)}, Direction::Receive);
  if (post.status != kOk) return a.answer(post.status);
  if (lacks_tagged(post)) return a.answer(refuse(post));
  const Registers& registers = a.environment().registers();
  const int32_t refusal = check_shared_receive(post, kTakesAnyTagged, registers.ignore == UINT64_MAX);
  if (refusal != kOk) return a.answer(finish_post(post, refusal));
  return a.answer(
      finish_post(post, fi_trecv(post.endpoint->fid, post.data, post.length, post.descriptor, post.address,
                                 registers.tag, registers.ignore, &post.operation->context)));
}

}  // namespace

void register_tagged(Napi::Object exports, Environment* environment) {
  define_fast(exports, "sendTagged", send_tagged, environment);
  define_fast(exports, "injectTagged", inject_tagged, environment);
  define_fast(exports, "recvTagged", recv_tagged, environment);
}

}  // namespace ofi
