#include "message.h"

#include "handle.h"

namespace ofi {

int32_t check_datagram(const EndpointObject& endpoint, uint64_t length, Direction direction) {
  if (!endpoint.sends_datagrams) return kOk;
  const bool sends = direction == Direction::Transmit;
  const size_t prefix = sends ? endpoint.transmit_prefix : endpoint.receive_prefix;
  if (length < prefix) return kNoPrefix;
  return sends && length - prefix > endpoint.longest_message ? -FI_EMSGSIZE : kOk;
}

namespace {

// shm waits for the lock of whom it sends to, and for an endpoint's own where the message of a receive is there already.
bool may_enter(EndpointObject& endpoint, int32_t peer, Direction direction, LookAgain again) {
  return direction == Direction::Receive ? endpoint.own_lock->becomes_free(again)
                                         : endpoint.addresses->may_be_entered(peer, again);
}

}  // namespace

Post prepare_peer(Environment& environment, uint32_t handle, int32_t peer, Direction direction,
                  LookAgain again) {
  Post post;
  EndpointObject* endpoint = environment.open<EndpointObject>(handle);
  if (endpoint == nullptr || !endpoint->enabled) {
    post.status = kClosed;
    return post;
  }
  post.endpoint = endpoint;
  if (direction == Direction::Transmit ? !endpoint->transmits : !endpoint->receives) {
    post.status = kOtherDirection;
    return post;
  }
  const bool from_anybody = direction == Direction::Receive && peer == -1;
  if (endpoint->connects) {
    if (direction == Direction::Transmit && !endpoint->owner->connected) post.status = -FI_ENOTCONN;
  } else if (!from_anybody) {
    // A shared context without one: only of anybody.
    if (endpoint->addresses == nullptr || !endpoint->addresses->is_live(peer)) {
      post.status = kNoSuchPeer;
      return post;
    }
    post.address = endpoint->addresses->address_of(peer);
  }
  if (endpoint->own_lock != nullptr && !may_enter(*endpoint, peer, direction, again))
    post.status = -FI_EAGAIN;
  return post;
}

namespace {

// The memory of a call whose endpoint was found.
void locate(Environment& environment, uint32_t handle, uint64_t offset, uint64_t length, Post* post) {
  auto* memory = environment.open<MemoryObject>(handle);
  if (memory == nullptr) {
    post->status = kClosed;
  } else if (!memory->block.get()->contains(offset, length)) {
    post->status = kOutOfRange;
  }
  if (post->status != kOk) return;
  MemoryBlock* block = memory->block.get();
  post->block = block;
  post->data = block->data() + offset;
  post->length = length;
  if (!find_descriptor(*post->endpoint, *block, &post->descriptor)) post->status = kDeviceMemory;
}

}  // namespace

Post prepare_post(Environment& environment, const PostArguments& arguments, Direction direction) {
  Post post = prepare_peer(environment, arguments.endpoint, arguments.peer, direction);
  if (post.endpoint != nullptr)
    locate(environment, arguments.memory, arguments.offset, arguments.length, &post);
  return post;
}

void take_slot(Post* post, uint32_t context, Direction direction, MemoryBlock* const* blocks, uint32_t count,
               uint8_t traits) {
  const EndpointObject* endpoint = post->endpoint;
  CompletionQueueObject* queue =
      direction == Direction::Transmit ? endpoint->transmit_queue : endpoint->receive_queue;
  post->table = &queue->operations;
  post->operation = post->table->acquire(context, endpoint->owner, blocks, count, traits);
  if (post->operation == nullptr)
    post->status = (traits & kWasClaimed) != 0 ? kNotClaimed : kContextBusy;
  else if (endpoint->transmits_outlive && direction == Direction::Transmit)
    post->operation->marks = kInSharedTransmit;
  if (queue->engine != nullptr) queue->engine->note_activity();
}

namespace {

// The slot of an operation whose endpoint and memory were found.
void take_one_slot(Post* post, uint32_t context, Direction direction, uint8_t traits) {
  // efa-direct looks behind the descriptor whatever the length.
  if (post->endpoint->is_raw_efa && post->descriptor == nullptr) {
    post->status = kNotRegistered;
    return;
  }
  take_slot(post, context, direction, &post->block, 1, traits & post->endpoint->default_traits(direction));
}

}  // namespace

Post prepare_operation(Environment& environment, uint32_t context, const PostArguments& arguments,
                       Direction direction, uint8_t traits) {
  Post post = prepare_post(environment, arguments, direction);
  if (post.status == kOk) take_one_slot(&post, context, direction, traits);
  return post;
}

int32_t finish_post(const Post& post, ssize_t answer) {
  if (answer == 0) return kOk;
  if (post.operation != nullptr) post.table->abandon(post.operation);
  return answer > 0 ? kOk : static_cast<int32_t>(answer);
}

namespace {

template <Direction direction>
int32_t check_message(const Post& post) {
  const int32_t misfit = check_datagram(*post.endpoint, post.length, direction);
  if (misfit != kOk || direction == Direction::Transmit) return misfit;
  return check_shared_receive(post, kTakesAnyMessage, true);
}

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
  const Post post =
      prepare_operation(a.environment(), a.u32(1), {a.u32(0), a.u32(2), a.u53(3), a.u53(4), a.i32(5)},
                        Direction::Transmit, traits_of_post(a.u32(6)));
  if (post.status != kOk) return a.answer(post.status);
  const int32_t misfit = check_datagram(*post.endpoint, post.length, Direction::Transmit);
  if (misfit != kOk) return a.answer(finish_post(post, misfit));
  return a.answer(finish_post(post, call_send(a.environment(), post, a.u32(6))));
}

// For each of registers().batch, whose memory was found, `post_one(post, context)`, until one answers a status other than kOk.
// Answers how many did not, or the negative status of the first. Arguments: endpoint, count, peer.
template <Direction direction, typename PostOne>
napi_value post_each(const FastCall& a, PostOne post_one) {
  Environment& environment = a.environment();
  const uint32_t count = std::min(a.u32(1), Registers::kBatch);
  const Registers& registers = environment.registers();
  const Post peer = prepare_peer(environment, a.u32(0), a.i32(2), direction, LookAgain::Late);
  if (peer.status != kOk && count != 0) return a.answer(peer.status);
  for (uint32_t i = 0; i < count; ++i) {
    const Registers::BatchEntry& entry = registers.batch[i];
    Post post = peer;
    // Others may have taken it since the first.
    if (i != 0 && post.endpoint->own_lock != nullptr &&
        !may_enter(*post.endpoint, a.i32(2), direction, LookAgain::Late))
      post.status = -FI_EAGAIN;
    else
      locate(environment, static_cast<uint32_t>(entry.memory), static_cast<uint64_t>(entry.offset),
             static_cast<uint64_t>(entry.length), &post);
    const int32_t status =
        post.status == kOk ? post_one(post, static_cast<uint32_t>(entry.context)) : post.status;
    if (status != kOk) return a.answer(i == 0 ? status : static_cast<int32_t>(i));
  }
  return a.answer(static_cast<int32_t>(count));
}

// The same of operations with contexts: `call(post)` is fi_send(3) or fi_recv(3).
template <Direction direction, typename Call>
napi_value post_batch(const FastCall& a, Call call) {
  return post_each<direction>(a, [call](Post& post, uint32_t context) {
    take_one_slot(&post, context, direction, kSilent | kManyMessages);
    if (post.status != kOk) return post.status;
    const int32_t misfit = check_message<direction>(post);
    return finish_post(post, misfit != kOk ? misfit : call(post));
  });
}

// sendBatch: as many fi_send(3) as the queue takes.
napi_value send_batch(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  return post_batch<Direction::Transmit>(
      a, [&a](const Post& post) { return call_send(a.environment(), post, 0); });
}

ssize_t call_recv(const Post& post) {
  return fi_recv(post.endpoint->fid, post.data, post.length, post.descriptor, post.address,
                 &post.operation->context);
}

// recvBatch: as many fi_recv(3) as the queue takes.
napi_value recv_batch(napi_env env, napi_callback_info info) {
  return post_batch<Direction::Receive>(FastCall(env, info), call_recv);
}

int32_t check_injected(const Post& post) {
  const int32_t refusal = check_inject(*post.endpoint, *post.block, post.length);
  return refusal != kOk ? refusal : check_datagram(*post.endpoint, post.length, Direction::Transmit);
}

// inject: endpoint, memory, offset, length, peer, flags: fi_inject(3) or fi_injectdata(3). No completion.
napi_value inject(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  const Post post =
      prepare_post(a.environment(), {a.u32(0), a.u32(1), a.u53(2), a.u53(3), a.i32(4)}, Direction::Transmit);
  if (post.status != kOk) return a.answer(post.status);
  const int32_t refusal = check_injected(post);
  if (refusal != kOk) return a.answer(refusal);
  fid_ep* ep = post.endpoint->fid;
  const ssize_t answer =
      (a.u32(5) & kPostImmediate) != 0
          ? fi_injectdata(ep, post.data, post.length, a.environment().registers().immediate, post.address)
          : fi_inject(ep, post.data, post.length, post.address);
  return a.answer(finish_post(post, answer));
}

// injectBatch: as many fi_inject(3) as the provider takes.
napi_value inject_batch(napi_env env, napi_callback_info info) {
  return post_each<Direction::Transmit>(FastCall(env, info), [](const Post& post, uint32_t) {
    const int32_t refusal = check_injected(post);
    if (refusal != kOk) return refusal;
    return finish_post(post, fi_inject(post.endpoint->fid, post.data, post.length, post.address));
  });
}

int32_t post_receive(const FastCall& a, EndpointObject** endpoint) {
  const Post post =
      prepare_operation(a.environment(), a.u32(1), {a.u32(0), a.u32(2), a.u53(3), a.u53(4), a.i32(5)},
                        Direction::Receive, kSilent | kManyMessages);
  if (post.status != kOk) return post.status;
  const int32_t misfit = check_message<Direction::Receive>(post);
  if (misfit != kOk) return finish_post(post, misfit);
  *endpoint = post.endpoint;
  return finish_post(post, call_recv(post));
}

// recv: endpoint, context, memory, offset, length, peer | -1: fi_recv(3).
napi_value recv(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  EndpointObject* endpoint = nullptr;
  return a.answer(post_receive(a, &endpoint));
}

// recvThenPoll: as recv, then spinMicroseconds, consumed: fi_recv(3) and, where it was taken, a read of the endpoint's
// receive queue within the turn's budget, on and on while all that comes are sends. Also answers how many records wait
// in the ring.
napi_value recv_then_poll(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  const uint32_t spin_ns = a.u32(6) * 1'000;
  const uint32_t consumed = a.u32(7);
  EndpointObject* endpoint = nullptr;
  const int32_t status = post_receive(a, &endpoint);
  if (status != kOk) return a.answer(status);
  const uint32_t found = endpoint->receive_queue->poll(consumed, UINT32_MAX, spin_ns,
                                                       &a.environment().budget(), Until::Received);
  a.answer_also(1, static_cast<int32_t>(found));
  return a.answer(kOk);
}

// cancel: endpoint, context, receive: fi_cancel(3).
napi_value cancel(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  auto* endpoint = a.environment().open<EndpointObject>(a.u32(0));
  if (endpoint == nullptr || !endpoint->enabled) return a.answer(kClosed);
  if (!OFI_HAS_OP(endpoint->fid->ops, fi_ops_ep, cancel)) return a.answer(kUnsupported);
  CompletionQueueObject* queue = a.u32(2) != 0 ? endpoint->receive_queue : endpoint->transmit_queue;
  if (queue == nullptr) return a.answer(kOtherDirection);
  if (!endpoint->reports_cancelled) return a.answer(kUnsupported);
  void* context = queue->operations.in_flight(a.u32(1));
  if (context == nullptr) return a.answer(-FI_ENOENT);
  return a.answer(static_cast<int32_t>(fi_cancel(&endpoint->fid->fid, context)));
}

// retire: endpoint, context, receive. Ends an operation that completes only where it fails; kContextBusy where there is
// none. The reader frees slots too: not both at once.
napi_value retire(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  auto* endpoint = a.environment().open<EndpointObject>(a.u32(0));
  if (endpoint == nullptr || !endpoint->enabled) return a.answer(kClosed);
  CompletionQueueObject* queue = a.u32(2) != 0 ? endpoint->receive_queue : endpoint->transmit_queue;
  if (queue == nullptr) return a.answer(kOtherDirection);
  return a.answer(queue->retire(a.u32(1), endpoint->owner));
}

}  // namespace

void register_message(Napi::Object exports, Environment* environment) {
  define_fast(exports, "send", send, environment);
  define_fast(exports, "sendBatch", send_batch, environment);
  define_fast(exports, "inject", inject, environment);
  define_fast(exports, "injectBatch", inject_batch, environment);
  define_fast(exports, "recv", recv, environment);
  define_fast(exports, "recvBatch", recv_batch, environment);
  define_fast(exports, "recvThenPoll", recv_then_poll, environment);
  define_fast(exports, "cancel", cancel, environment);
  define_fast(exports, "retire", retire, environment);
}

}  // namespace ofi
