#include "message.h"

#include "handle.h"

namespace ofi {

Post prepare_post(Environment& environment, const PostArguments& arguments, Direction direction) {
  Post post;
  EndpointObject* endpoint = environment.open<EndpointObject>(arguments.endpoint);
  if (endpoint == nullptr || !endpoint->enabled) {
    post.status = kClosed;
    return post;
  }
  post.endpoint = endpoint;
  if (arguments.peer >= 0) {
    if (!endpoint->addresses->is_live(arguments.peer)) post.status = kNoSuchPeer;
    post.address = static_cast<fi_addr_t>(arguments.peer);
  } else if (direction == Direction::Transmit) {
    post.status = kNoSuchPeer;
  }
  auto* memory = environment.open<MemoryObject>(arguments.memory);
  if (memory == nullptr) {
    post.status = kClosed;
  } else if (!memory->block.get()->contains(arguments.offset, arguments.length)) {
    post.status = kOutOfRange;
  }
  if (post.status != kOk) return post;
  MemoryBlock* block = memory->block.get();
  post.data = block->data() + arguments.offset;
  post.length = arguments.length;
  if (endpoint->needs_descriptor) post.descriptor = block->descriptor(endpoint->domain);
  if (arguments.context < 0) return post;
  CompletionQueueObject* queue =
      direction == Direction::Transmit ? endpoint->transmit_queue : endpoint->receive_queue;
  post.table = &queue->operations;
  post.operation = post.table->acquire(static_cast<uint32_t>(arguments.context), endpoint, block);
  if (post.operation == nullptr) post.status = kContextBusy;
  if (queue->engine != nullptr) queue->engine->note_activity();
  return post;
}

int32_t finish_post(const Post& post, ssize_t answer) {
  if (answer == 0) return kOk;
  if (post.operation != nullptr) post.table->abandon(post.operation);
  return answer > 0 ? kOk : static_cast<int32_t>(answer);
}

namespace {

ssize_t call_send(Environment& environment, const Post& post, uint32_t flags) {
  fid_ep* ep = post.endpoint->fid;
  void* context = &post.operation->context;
  if (flags == 0) return fi_send(ep, post.data, post.length, post.descriptor, post.address, context);
  if (flags == kPostImmediate)
    return fi_senddata(ep, post.data, post.length, post.descriptor, environment.registers().immediate,
                       post.address, context);
  iovec vector{post.data, post.length};
  void* descriptor = post.descriptor;
  fi_msg message{&vector, &descriptor,
                 1,       post.address,
                 context, (flags & kPostImmediate) != 0 ? environment.registers().immediate : 0};
  return fi_sendmsg(ep, &message, operation_flags(flags));
}

// send: endpoint, context, memory, offset, length, peer, flags: fi_send(3), fi_senddata(3) or fi_sendmsg(3).
napi_value send(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  const Post post = prepare_post(
      a.environment(), {a.u32(0), a.i32(1), a.u32(2), a.u53(3), a.u53(4), a.i32(5)}, Direction::Transmit);
  if (post.status != kOk) return a.answer(post.status);
  return a.answer(finish_post(post, call_send(a.environment(), post, a.u32(6))));
}

// sendBatch: endpoint, count, peer: as many fi_send(3) of registers().batch as the queue takes; how many, or the
// negative status of the first.
napi_value send_batch(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  const uint32_t count = std::min(a.u32(1), Registers::kBatch);
  const Registers& registers = a.environment().registers();
  for (uint32_t i = 0; i < count; ++i) {
    const Registers::BatchEntry& entry = registers.batch[i];
    const Post post =
        prepare_post(a.environment(),
                     {a.u32(0), entry.context, static_cast<uint32_t>(entry.memory),
                      static_cast<uint64_t>(entry.offset), static_cast<uint64_t>(entry.length), a.i32(2)},
                     Direction::Transmit);
    int32_t status = post.status;
    if (status == kOk) status = finish_post(post, call_send(a.environment(), post, 0));
    if (status != kOk) return a.answer(i == 0 ? status : static_cast<int32_t>(i));
  }
  return a.answer(static_cast<int32_t>(count));
}

// inject: endpoint, memory, offset, length, peer, flags: fi_inject(3) or fi_injectdata(3). No completion.
napi_value inject(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  const Post post = prepare_post(a.environment(), {a.u32(0), -1, a.u32(1), a.u53(2), a.u53(3), a.i32(4)},
                                 Direction::Transmit);
  if (post.status != kOk) return a.answer(post.status);
  fid_ep* ep = post.endpoint->fid;
  const ssize_t answer =
      (a.u32(5) & kPostImmediate) != 0
          ? fi_injectdata(ep, post.data, post.length, a.environment().registers().immediate, post.address)
          : fi_inject(ep, post.data, post.length, post.address);
  return a.answer(finish_post(post, answer));
}

// recv: endpoint, context, memory, offset, length, peer | -1: fi_recv(3).
napi_value recv(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  const Post post = prepare_post(
      a.environment(), {a.u32(0), a.i32(1), a.u32(2), a.u53(3), a.u53(4), a.i32(5)}, Direction::Receive);
  if (post.status != kOk) return a.answer(post.status);
  return a.answer(finish_post(post, fi_recv(post.endpoint->fid, post.data, post.length, post.descriptor,
                                            post.address, &post.operation->context)));
}

// recvThenPoll: as recv, then spinMicroseconds, consumed: fi_recv(3) and, where it was taken, a read of the endpoint's
// receive queue within the turn's budget. Also answers how many records wait in the ring.
napi_value recv_then_poll(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  const uint32_t spin_ns = a.u32(6) * 1'000;
  const uint32_t consumed = a.u32(7);
  recv(env, info);
  a.answer_also(1, 0);
  if (a.i32(0) != kOk) return nullptr;
  // A post that succeeded has looked the endpoint up; its handle was overwritten by the answer.
  auto* endpoint = a.environment().open<EndpointObject>(a.u32(8));
  if (endpoint == nullptr) return nullptr;
  const uint32_t found = endpoint->receive_queue->poll(consumed, spin_ns, &a.environment().budget());
  a.answer_also(1, static_cast<int32_t>(found));
  return nullptr;
}

// cancel: endpoint, context, receive: fi_cancel(3).
napi_value cancel(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  auto* endpoint = a.environment().open<EndpointObject>(a.u32(0));
  if (endpoint == nullptr || !endpoint->enabled) return a.answer(kClosed);
  if (!OFI_HAS_OP(endpoint->fid->ops, fi_ops_ep, cancel)) return a.answer(kUnsupported);
  CompletionQueueObject* queue = a.u32(2) != 0 ? endpoint->receive_queue : endpoint->transmit_queue;
  void* context = queue->operations.in_flight(a.u32(1));
  if (context == nullptr) return a.answer(-FI_ENOENT);
  return a.answer(static_cast<int32_t>(fi_cancel(&endpoint->fid->fid, context)));
}

}  // namespace

void register_message(Napi::Object exports, Environment* environment) {
  define_fast(exports, "send", send, environment);
  define_fast(exports, "sendBatch", send_batch, environment);
  define_fast(exports, "inject", inject, environment);
  define_fast(exports, "recv", recv, environment);
  define_fast(exports, "recvThenPoll", recv_then_poll, environment);
  define_fast(exports, "cancel", cancel, environment);
}

}  // namespace ofi
