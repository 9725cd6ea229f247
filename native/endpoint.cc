#include "endpoint.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "contexts.h"
#include "handle.h"
#include "info.h"
#include "shm_files.h"
#include "shm_neighbours.h"

namespace ofi {

namespace {

// Of an shm endpoint with queues of the usual length; longer ones need as many times more, at most.
constexpr uint64_t kShmBytes = 18ULL << 20;
constexpr uint64_t kShmQueue = 1024;

// What a datagram needs beside its own bytes (fi_getinfo(3), FI_MSG_PREFIX). The prefix counts toward no limit, that of
// injected messages included.
size_t prefix_of(const fi_info& info, uint64_t mode) {
  return (mode & FI_MSG_PREFIX) != 0 ? info.ep_attr->msg_prefix_size : 0;
}

uint64_t shm_bytes_of(const fi_info& info) {
  const uint64_t longest = std::max(info.tx_attr->size, info.rx_attr->size);
  return kShmBytes * std::max<uint64_t>(1, (longest + kShmQueue - 1) / kShmQueue);
}

// Endpoints whose completions are the device's own. (enum fi_ep_type, and libfabric's name of the fabric.)
bool completes_by_device(const fi_info& info) {
  if (info.addr_format != FI_ADDR_EFA) return false;
  const char* fabric = info.fabric_attr->name;
  return info.ep_attr->type == FI_EP_DGRAM || (fabric != nullptr && std::strcmp(fabric, "efa-direct") == 0);
}

// openEndpoint(domain, info): fi_endpoint(3).
Napi::Value open_endpoint(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto domain = environment.open_shared<DomainObject>(handle_argument(info, 0));
  std::shared_ptr<fi_info> chosen = info_of(info[1]);
  if (domain == nullptr || chosen == nullptr) return resolved(info.Env(), kClosed);
  auto object = std::make_shared<EndpointObject>();
  object->take_info(*chosen, *domain);
  object->needs_transmit_context = chosen->ep_attr->tx_ctx_cnt == FI_SHARED_CONTEXT;
  object->needs_receive_context = chosen->ep_attr->rx_ctx_cnt == FI_SHARED_CONTEXT;
  object->receives = !object->needs_receive_context;
  if (chosen->handle != nullptr) {
    // The request behind the Info is this endpoint's alone: providers would use it again after it is gone.
    std::shared_ptr<fi_info> own(library().dupinfo(chosen.get()), InfoDeleter());
    if (own == nullptr) return resolved(info.Env(), -FI_ENOMEM);
    object->has_request = true;
    chosen->handle = nullptr;
    chosen = std::move(own);
  }
  object->shm_bytes = shm_bytes_of(*chosen);
  const char* name = chosen->fabric_attr->prov_name;
  const std::string provider = name == nullptr ? "" : name;
  object->has_late_options = provider == "shm";
  const bool listens = chosen->ep_attr->type == FI_EP_RDM && (provider == "net" || provider == "tcp");
  object->is_read_before_close = object->is_raw_efa || listens;
  object->transmits_outlive = object->needs_transmit_context && provider == "sockets";
  object->leaves_messages = object->needs_receive_context && provider == "sockets";
  return environment.open_object(object, {domain}, [object, chosen] {
    const SignalGuard guard;
    return fi_endpoint(object->domain, chosen.get(), &object->fid, nullptr);
  });
}

int bind_queue(EndpointObject& endpoint, CompletionQueueObject* queue, uint64_t flags) {
  const bool is_new = endpoint.transmit_queue != queue && endpoint.receive_queue != queue;
  const bool holds = is_new && endpoint.is_read_enabled;
  if (holds && !queue->hold_reads()) return -FI_EAGAIN;
  const int status = fi_ep_bind(endpoint.fid, &queue->fid->fid, flags);
  if (status != 0) {
    if (holds) queue->release_reads();
    return status;
  }
  if (holds) endpoint.held_queues.push_back(queue);
  if (is_new) queue->add_endpoint(endpoint.is_read_before_close);
  const bool selects = (flags & FI_SELECTIVE_COMPLETION) != 0;
  if ((flags & FI_TRANSMIT) != 0) {
    endpoint.transmit_queue = queue;
    endpoint.selects_transmits = selects;
  }
  if ((flags & FI_RECV) != 0) {
    endpoint.receive_queue = queue;
    endpoint.selects_receives = selects;
  }
  endpoint.update_traits();
  return 0;
}

int bind_counter(EndpointObject& endpoint, CounterObject* counter, uint64_t flags) {
  auto& counters = endpoint.counters;
  const auto place = std::lower_bound(counters.begin(), counters.end(), counter);
  const bool is_new = place == counters.end() || *place != counter;
  const bool holds = is_new && endpoint.is_read_enabled;
  if (holds && !counter->hold_reads()) return -FI_EAGAIN;
  const int status = fi_ep_bind(endpoint.fid, &counter->fid->fid, flags);
  if (status == 0 && is_new) counters.insert(place, counter);
  if (status == 0 && holds) endpoint.held_counters.push_back(counter);
  if (status != 0 && holds) counter->release_reads();
  return status;
}

int bind_to(EndpointObject& endpoint, const std::shared_ptr<Object>& other, uint64_t flags) {
  if (const int32_t refusal = binding_refusal(endpoint, *other); refusal != kOk) return refusal;
  switch (other->kind) {
    case Kind::CompletionQueue:
      return bind_queue(endpoint, static_cast<CompletionQueueObject*>(other.get()), flags);
    case Kind::AddressVector: {
      auto* addresses = static_cast<AddressVectorObject*>(other.get());
      const int status = endpoint.role == Role::Scalable
                             ? fi_scalable_ep_bind(endpoint.fid, &addresses->fid->fid, flags)
                             : fi_ep_bind(endpoint.fid, &addresses->fid->fid, flags);
      if (status == 0) endpoint.addresses = addresses;
      return status;
    }
    case Kind::EventQueue: {
      auto* events = static_cast<EventQueueObject*>(other.get());
      const int status = fi_ep_bind(endpoint.fid, &events->fid->fid, flags);
      // A provider without events for its endpoints says so; EFA, which aborts without one, takes it.
      if (status == 0) endpoint.events = events;
      return status;
    }
    case Kind::Counter: return bind_counter(endpoint, static_cast<CounterObject*>(other.get()), flags);
    case Kind::Endpoint:
    case Kind::SharedTransmit: return bind_shared_context(endpoint, *other);
    default: return kClosed;
  }
}

// bindEndpoint(endpoint, other, flags): fi_ep_bind(3). A status.
Napi::Value bind_endpoint(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto endpoint = environment.open_shared<EndpointObject>(handle_argument(info, 0));
  const std::shared_ptr<Object> other = environment.any(handle_argument(info, 1));
  if (endpoint == nullptr || other == nullptr || other->phase != Phase::Open)
    return Napi::Number::New(info.Env(), kClosed);
  bool lossless = false;
  const uint64_t flags = info[2].As<Napi::BigInt>().Uint64Value(&lossless);
  const int status = bind_to(*endpoint, other, flags);
  if (status == 0) endpoint->depend_on(other);
  return Napi::Number::New(info.Env(), status);
}

// enableEndpoint(endpoint): fi_enable(3). Resolves with a status.
Napi::Value enable_endpoint(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto endpoint = environment.open_shared<EndpointObject>(handle_argument(info, 0));
  if (endpoint == nullptr) return resolved(info.Env(), kClosed);
  // Not every provider checks: an endpoint that lacks something crashes later.
  if (const int32_t refusal = lack_of(*endpoint); refusal != kOk) return resolved(info.Env(), refusal);
  endpoint->was_enabled = true;
  if (endpoint->addresses != nullptr && endpoint->receive_queue != nullptr)
    endpoint->receive_queue->reader->name_senders(endpoint->addresses->senders);
  auto deferred = std::make_shared<Napi::Promise::Deferred>(info.Env());
  environment.run_blocking([endpoint, name = endpoint->shm_name] { return endpoint->enable_blocking(name); },
                           [endpoint, deferred](Environment& owner, int status) {
                             // Its close has begun meanwhile, or is over.
                             if (status == 0 && endpoint->phase != Phase::Open) status = kClosed;
                             if (status == 0) status = endpoint->set_late_options();
                             endpoint->enabled = status == 0;
                             if (status == 0) endpoint->guard_memory();
                             if (status == 0) endpoint->release_reads();
                             deferred->Resolve(Napi::Number::New(owner.env(), status));
                           });
  return deferred->Promise();
}

// endpointName(endpoint): fi_getname(3). The address bytes, or a negative status.
Napi::Value endpoint_name(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto* endpoint = Environment::of(info).open<EndpointObject>(handle_argument(info, 0));
  if (endpoint == nullptr) return Napi::Number::New(env, kClosed);
  if (!OFI_HAS_OP(endpoint->fid->cm, fi_ops_cm, getname)) return Napi::Number::New(env, kUnsupported);
  return address_value(env, [endpoint](uint8_t* bytes, size_t* length) {
    return fi_getname(&endpoint->fid->fid, bytes, length);
  });
}

// closeEndpoint(endpoint): fi_close(3). Resolves with a status, or with the contexts of the operations that the
// provider dropped without a completion.
Napi::Value close_endpoint(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto endpoint = std::static_pointer_cast<EndpointObject>(environment.any(handle_argument(info, 0)));
  Napi::Value closing = environment.close_object(endpoint);
  if (endpoint == nullptr) return closing;
  auto result = Napi::Object::New(info.Env());
  result.Set("closing", closing);
  result.Set("dropped",
             Napi::Function::New(info.Env(), [list = endpoint->dropped](const Napi::CallbackInfo& call) {
               auto array = Napi::Array::New(call.Env(), list->size());
               for (uint32_t i = 0; i < list->size(); ++i)
                 array.Set(i, Napi::Number::New(call.Env(), (*list)[i]));
               return array;
             }));
  return result;
}

// Which of libfabric's data calls the provider has: bit 0 messages, bit 1 tagged messages, bit 2 cancel, bit 3
// one-sided reads and writes, bit 4 atomics.
Napi::Value endpoint_calls(const Napi::CallbackInfo& info) {
  auto* endpoint = Environment::of(info).open<EndpointObject>(handle_argument(info, 0));
  if (endpoint == nullptr) return Napi::Number::New(info.Env(), kClosed);
  int32_t calls = 0;
  if (endpoint->fid->msg != nullptr) calls |= 1;
  if (endpoint->fid->tagged != nullptr) calls |= 2;
  if (OFI_HAS_OP(endpoint->fid->ops, fi_ops_ep, cancel)) calls |= 4;
  if (endpoint->fid->rma != nullptr && (endpoint->capabilities & FI_RMA) != 0) calls |= 8;
  if (endpoint->fid->atomic != nullptr && (endpoint->capabilities & FI_ATOMIC) != 0) calls |= 16;
  return Napi::Number::New(info.Env(), calls);
}

}  // namespace

void EndpointObject::take_info(const fi_info& info, const DomainObject& of) {
  fabric = of.fabric;
  domain = of.fid;
  needs_descriptor = (info.domain_attr->mr_mode & (FI_MR_LOCAL | FI_MR_HMEM)) != 0;
  transmit_prefix = prefix_of(info, info.tx_attr->mode);
  receive_prefix = prefix_of(info, info.rx_attr->mode);
  inject_size = info.tx_attr->inject_size + transmit_prefix;
  sends_datagrams = info.ep_attr->type == FI_EP_DGRAM;
  longest_message = info.ep_attr->max_msg_size;
  capabilities = info.caps;
  transmit_flags = info.tx_attr->op_flags;
  receive_flags = info.rx_attr->op_flags;
  update_traits();
  connects = info.ep_attr->type == FI_EP_MSG;
  is_raw_efa = completes_by_device(info);
  is_read_enabled = role == Role::Whole && !connects;
}

void EndpointObject::guard_memory() {
  std::array<char, 256> name{};
  size_t length = name.size() - 1;
  if (!has_late_options || !is_read_enabled || fi_getname(&fid->fid, name.data(), &length) != 0) return;
  own_lock = ShmLock::of(kShmDirectory, name.data());
  if (own_lock == nullptr) return;
  for (CompletionQueueObject* queue : held_queues) queue->reader->locks.add(own_lock);
  for (CounterObject* counter : held_counters) counter->locks.add(own_lock);
}

void EndpointObject::release_reads() {
  for (CompletionQueueObject* queue : held_queues) queue->release_reads();
  for (CounterObject* counter : held_counters) counter->release_reads();
  held_queues.clear();
  held_counters.clear();
}

std::vector<CompletionQueueObject*> EndpointObject::queues() const {
  std::vector<CompletionQueueObject*> bound;
  if (transmit_queue != nullptr) bound.push_back(transmit_queue);
  if (receive_queue != nullptr && receive_queue != transmit_queue) bound.push_back(receive_queue);
  return bound;
}

int EndpointObject::set_late_options() {
  if (min_multi_recv == 0) return 0;
  return fi_setopt(&fid->fid, FI_OPT_ENDPOINT, FI_OPT_MIN_MULTI_RECV, &min_multi_recv,
                   sizeof(min_multi_recv));
}

bool EndpointObject::try_lock_readers() {
  if (transmit_queue != nullptr && !transmit_queue->reader->try_lock()) {
    transmit_queue->reader->wake();
    return false;
  }
  if (receive_queue == nullptr || receive_queue == transmit_queue || receive_queue->reader->try_lock())
    return true;
  receive_queue->reader->wake();
  if (transmit_queue != nullptr) transmit_queue->reader->unlock();
  return false;
}

void EndpointObject::unlock_readers() {
  if (transmit_queue != nullptr) transmit_queue->reader->unlock();
  if (receive_queue != nullptr && receive_queue != transmit_queue) receive_queue->reader->unlock();
}

bool EndpointObject::try_lock_progress() {
  if (!try_lock_readers()) return false;
  for (auto counter = counters.begin(); counter != counters.end(); ++counter) {
    if ((*counter)->use.try_lock()) continue;
    while (counter != counters.begin()) (*--counter)->use.unlock();
    unlock_readers();
    return false;
  }
  return true;
}

void EndpointObject::lock_progress() {
  // Two endpoints may share two queues: wait without holding any.
  while (!try_lock_readers()) usleep(20);
  for (CounterObject* counter : counters) counter->use.lock();
}

void EndpointObject::unlock_progress() {
  for (CounterObject* counter : counters) counter->use.unlock();
  unlock_readers();
}

void EndpointObject::note_flags(uint64_t flags) {
  if ((flags & FI_TRANSMIT) != 0) transmit_flags = flags;
  if ((flags & FI_RECV) != 0) receive_flags = flags;
  update_traits();
}

void EndpointObject::update_traits() {
  const bool silent_transmits = selects_transmits && (transmit_flags & FI_COMPLETION) == 0;
  const bool silent_receives = selects_receives && (receive_flags & FI_COMPLETION) == 0;
  transmit_traits = silent_transmits ? kSilent : 0;
  receive_traits = silent_receives ? kSilent : 0;
  if ((receive_flags & FI_MULTI_RECV) != 0) receive_traits |= kManyMessages;
}

// sockets keeps an operation whose counter is there, but for which its queue has no room, until the counter changes again.
bool EndpointObject::is_full() const {
  constexpr ssize_t kRoomForAny = 8;
  if (!transmits || !OFI_HAS_OP(fid->ops, fi_ops_ep, tx_size_left)) return false;
  const ssize_t left = fid->ops->tx_size_left(fid);
  return left >= 0 && left < kRoomForAny;
}

int EndpointObject::refuse_close() {
  for (const Triggered& entry : triggered)
    if (!entry.is_over(this) && (!entry.counter->has_reached(entry.threshold) || is_full())) return kWaiting;
  const bool is_sending = transmits_outlive && role != Role::Alias && transmit_queue != nullptr &&
                          transmit_queue->operations.has_marked(this, kInSharedTransmit);
  return is_sending ? kUnfinished : kOk;
}

// A message that no receive was there for waits in the shared context, with a pointer into its endpoint, at which sockets
// looks when a receive takes it. There is none while a receive is waiting that would have taken it.
void EndpointObject::note_lost_messages() {
  for (const uint8_t mark : {kTakesAnyMessage, kTakesAnyTagged})
    if (!receive_queue->operations.has_marked(receive_context, mark)) receive_context->lost |= mark;
}

void EndpointObject::before_close() {
  enabled = false;
  if (role == Role::Alias) return;
  if (neighbour != 0) ShmNeighbours::of_process().rest(neighbour);
  for (CompletionQueueObject* queue : queues()) queue->begin_closing_endpoint();
}

bool EndpointObject::is_needed() const {
  return neighbour != 0 && ShmNeighbours::of_process().is_needed(neighbour);
}

EndpointObject::~EndpointObject() {
  if (fid != nullptr && !leaked) close_blocking();
}

// net and tcp;ofi_rxm of libfabric 1.17 crash in the close of an endpoint that no address vector was bound to.
void EndpointObject::bind_stand_in() {
  if (role != Role::Whole || fid == nullptr || connects || addresses != nullptr || stand_in_ != nullptr)
    return;
  AvAttributes attributes = zeroed<AvAttributes>();
  attributes.attr.type = FI_AV_TABLE;
  if (fi_av_open(domain, &attributes.attr, &stand_in_, nullptr) == 0) fi_ep_bind(fid, &stand_in_->fid, 0);
}

// EFA ends the process where an error that belongs to no operation finds no event queue. What it has to say is then read
// with the completions.
void EndpointObject::bind_event_queue() {
  if (role != Role::Whole || connects || events != nullptr || own_events_ != nullptr) return;
  EqAttributes attributes = zeroed<EqAttributes>();
  attributes.attr.wait_obj = FI_WAIT_NONE;
  if (fi_eq_open(fabric, &attributes.attr, &own_events_, nullptr) != 0) {
    own_events_ = nullptr;
  } else if (fi_ep_bind(fid, &own_events_->fid, 0) != 0) {
    // A provider that has no events for its endpoints.
    fi_close(&own_events_->fid);
    own_events_ = nullptr;
  } else {
    receive_queue->reader->offer_event_queue(own_events_);
  }
}

// A full /dev/shm is an error, before the provider writes there and dies of it.
int EndpointObject::enable_blocking(const std::string& name) {
  const std::lock_guard<std::mutex> held(changing);
  if (fid == nullptr) return kClosed;
  const SignalGuard guard;
  bind_event_queue();
  if (name.empty()) return fi_enable(fid);
  const ShmTurn turn(kShmDirectory);
  if (!shm_has_room(kShmDirectory, shm_bytes)) return -FI_ENOSPC;
  const int status = fi_enable(fid);
  return status != 0 ? status : shm_reserve(kShmDirectory, name);
}

void EndpointObject::close_stand_ins() {
  if (stand_in_ != nullptr) fi_close(&stand_in_->fid);
  stand_in_ = nullptr;
  if (own_events_ == nullptr) return;
  // The queue's reader is locked: nobody is reading events.
  receive_queue->reader->withdraw_event_queue(own_events_);
  fi_close(&own_events_->fid);
  own_events_ = nullptr;
}

int EndpointObject::close_blocking() {
  const std::lock_guard<std::mutex> held(changing);
  // Its operations are its endpoint's, and go on.
  if (role == Role::Alias) return FidObject::close_blocking();
  const std::vector<CompletionQueueObject*> bound = queues();
  // Whoever reads just now comes to an end; nobody begins.
  lock_progress();
  bind_stand_in();
  if (is_read_before_close)
    for (CompletionQueueObject* queue : bound) queue->read_all();
  const int status = is_needed() ? -FI_EBUSY : FidObject::close_blocking();
  if (status == 0) close_stand_ins();
  if (status == 0) release_reads();
  if (status == 0) {
    for (CompletionQueueObject* queue : bound) queue->reader->locks.remove(own_lock);
    for (CounterObject* counter : counters) counter->locks.remove(own_lock);
  }
  for (CompletionQueueObject* queue : bound) queue->end_closing_endpoint(status == 0);
  unlock_progress();
  if (status == 0) {
    shm_release(kShmDirectory, shm_name, &shm_lock_fd);
    if (neighbour != 0) ShmNeighbours::of_process().leave(neighbour);
  }
  return status;
}

void EndpointObject::after_close() {
  if (role == Role::Alias) return;
  if (scalable != nullptr) scalable->lost_context = true;
  for (CompletionQueueObject* queue : queues())
    for (uint32_t context : queue->drop_all_of(this, !is_read_before_close)) dropped->push_back(context);
  if (leaves_messages && receive_context != nullptr && was_enabled) note_lost_messages();
}

void register_endpoint(Napi::Object exports, Environment* environment) {
  define(exports, "openEndpoint", open_endpoint, environment);
  define(exports, "bindEndpoint", bind_endpoint, environment);
  define(exports, "enableEndpoint", enable_endpoint, environment);
  define(exports, "endpointName", endpoint_name, environment);
  define(exports, "closeEndpoint", close_endpoint, environment);
  define(exports, "endpointCalls", endpoint_calls, environment);
}

}  // namespace ofi
