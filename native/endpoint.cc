#include "endpoint.h"

#include <unistd.h>

#include "handle.h"
#include "info.h"
#include "shm_files.h"

namespace ofi {

namespace {

// openEndpoint(domain, info): fi_endpoint(3).
Napi::Value open_endpoint(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto domain = environment.open_shared<DomainObject>(handle_argument(info, 0));
  std::shared_ptr<fi_info> chosen = info_of(info[1]);
  if (domain == nullptr || chosen == nullptr) return resolved(info.Env(), kClosed);
  auto object = std::make_shared<EndpointObject>();
  object->domain = domain->fid;
  object->needs_descriptor = (chosen->domain_attr->mr_mode & FI_MR_LOCAL) != 0;
  return environment.open_object(object, {domain}, [object, chosen] {
    const SignalGuard guard;
    return fi_endpoint(object->domain, chosen.get(), &object->fid, nullptr);
  });
}

int bind_to(EndpointObject& endpoint, const std::shared_ptr<Object>& other, uint64_t flags) {
  switch (other->kind) {
    case Kind::CompletionQueue: {
      auto* queue = static_cast<CompletionQueueObject*>(other.get());
      const int status = fi_ep_bind(endpoint.fid, &queue->fid->fid, flags);
      if (status != 0) return status;
      if (endpoint.transmit_queue != queue && endpoint.receive_queue != queue) queue->add_endpoint();
      if ((flags & FI_TRANSMIT) != 0) endpoint.transmit_queue = queue;
      if ((flags & FI_RECV) != 0) endpoint.receive_queue = queue;
      return 0;
    }
    case Kind::AddressVector: {
      auto* addresses = static_cast<AddressVectorObject*>(other.get());
      const int status = fi_ep_bind(endpoint.fid, &addresses->fid->fid, flags);
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
  // Not every provider checks: an endpoint without one of these crashes later.
  if (endpoint->transmit_queue == nullptr || endpoint->receive_queue == nullptr ||
      endpoint->addresses == nullptr)
    return resolved(info.Env(), kNotBound);
  auto deferred = std::make_shared<Napi::Promise::Deferred>(info.Env());
  environment.run_blocking(
      [endpoint] {
        const SignalGuard guard;
        return fi_enable(endpoint->fid);
      },
      [endpoint, deferred](Environment& owner, int status) {
        endpoint->enabled = status == 0;
        deferred->Resolve(Napi::Number::New(owner.env(), status));
      });
  return deferred->Promise();
}

// endpointName(endpoint): fi_getname(3). The address bytes, or a negative status.
Napi::Value endpoint_name(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto* endpoint = Environment::of(info).open<EndpointObject>(handle_argument(info, 0));
  if (endpoint == nullptr) return Napi::Number::New(env, kClosed);
  std::array<uint8_t, 1024> bytes{};
  size_t length = bytes.size();
  const int status = fi_getname(&endpoint->fid->fid, bytes.data(), &length);
  if (status != 0) return Napi::Number::New(env, status);
  length = std::min(length, bytes.size());
  auto buffer = Napi::ArrayBuffer::New(env, length);
  std::memcpy(buffer.Data(), bytes.data(), length);
  return Napi::Uint8Array::New(env, length, buffer, 0);
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

// Which of libfabric's data calls the provider has: bit 0 messages, bit 1 tagged messages, bit 2 cancel.
Napi::Value endpoint_calls(const Napi::CallbackInfo& info) {
  auto* endpoint = Environment::of(info).open<EndpointObject>(handle_argument(info, 0));
  if (endpoint == nullptr) return Napi::Number::New(info.Env(), kClosed);
  int32_t calls = 0;
  if (endpoint->fid->msg != nullptr) calls |= 1;
  if (endpoint->fid->tagged != nullptr) calls |= 2;
  if (OFI_HAS_OP(endpoint->fid->ops, fi_ops_ep, cancel)) calls |= 4;
  return Napi::Number::New(info.Env(), calls);
}

}  // namespace

std::vector<CompletionQueueObject*> EndpointObject::queues() const {
  std::vector<CompletionQueueObject*> bound;
  if (transmit_queue != nullptr) bound.push_back(transmit_queue);
  if (receive_queue != nullptr && receive_queue != transmit_queue) bound.push_back(receive_queue);
  return bound;
}

void EndpointObject::before_close() {
  enabled = false;
  for (CompletionQueueObject* queue : queues()) queue->begin_closing_endpoint();
}

int EndpointObject::close_blocking() {
  const std::vector<CompletionQueueObject*> bound = queues();
  // Whoever reads just now comes to an end; nobody begins.
  for (size_t locked = 0; locked < bound.size();) {
    if (bound[locked]->reader->try_lock()) {
      ++locked;
      continue;
    }
    bound[locked]->reader->wake();
    // Two endpoints may close that share two queues: wait without holding any.
    while (locked > 0) bound[--locked]->reader->unlock();
    usleep(20);
  }
  const int status = FidObject::close_blocking();
  for (CompletionQueueObject* queue : bound) {
    queue->end_closing_endpoint(status == 0);
    queue->reader->unlock();
  }
  if (status == 0) shm_release(kShmDirectory, shm_name, &shm_lock_fd);
  return status;
}

void EndpointObject::after_close() {
  for (CompletionQueueObject* queue : queues())
    for (uint32_t context : queue->drop_all_of(this)) dropped->push_back(context);
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
