#include "contexts.h"

#include <algorithm>

#include "handle.h"
#include "info.h"

namespace ofi {

namespace {

// openSharedReceive(domain, info, queue): fi_srx_context(3). The receives' contexts are numbers of the queue.
Napi::Value open_shared_receive(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto domain = environment.open_shared<DomainObject>(handle_argument(info, 0));
  const std::shared_ptr<fi_info> chosen = info_of(info[1]);
  auto queue = environment.open_shared<CompletionQueueObject>(handle_argument(info, 2));
  if (domain == nullptr || chosen == nullptr || queue == nullptr) return resolved(info.Env(), kClosed);
  // Others may give a context that is for providers only (shm).
  if (chosen->ep_attr->rx_ctx_cnt != FI_SHARED_CONTEXT ||
      !OFI_HAS_OP(domain->fid->ops, fi_ops_domain, srx_ctx))
    return resolved(info.Env(), kUnsupported);
  auto object = std::make_shared<EndpointObject>(Role::SharedReceive, "SharedReceiveContext");
  object->take_info(*chosen, *domain);
  object->transmits = false;
  object->enabled = true;
  object->receive_queue = queue.get();
  return environment.open_object(object, {domain, queue}, [object, chosen, queue] {
    const int status = fi_srx_context(object->domain, chosen->rx_attr, &object->fid, nullptr);
    if (status != 0) return status;
    queue->add_endpoint(false);
    // tcp looks for it there, in vain where it was not bound; sockets takes none.
    object->reports_cancelled = fi_ep_bind(object->fid, &queue->fid->fid, FI_RECV) == 0;
    return 0;
  });
}

// openSharedTransmit(domain, info): fi_stx_context(3).
Napi::Value open_shared_transmit(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto domain = environment.open_shared<DomainObject>(handle_argument(info, 0));
  const std::shared_ptr<fi_info> chosen = info_of(info[1]);
  if (domain == nullptr || chosen == nullptr) return resolved(info.Env(), kClosed);
  if (chosen->ep_attr->tx_ctx_cnt != FI_SHARED_CONTEXT ||
      !OFI_HAS_OP(domain->fid->ops, fi_ops_domain, stx_ctx))
    return resolved(info.Env(), kUnsupported);
  auto object = std::make_shared<SharedTransmitObject>();
  object->domain = domain->fid;
  return environment.open_object(object, {domain}, [object, chosen] {
    return fi_stx_context(object->domain, chosen->tx_attr, &object->fid, nullptr);
  });
}

// openScalable(domain, info): fi_scalable_ep(3).
Napi::Value open_scalable(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto domain = environment.open_shared<DomainObject>(handle_argument(info, 0));
  const std::shared_ptr<fi_info> chosen = info_of(info[1]);
  if (domain == nullptr || chosen == nullptr) return resolved(info.Env(), kClosed);
  if (!OFI_HAS_OP(domain->fid->ops, fi_ops_domain, scalable_ep)) return resolved(info.Env(), kUnsupported);
  auto object = std::make_shared<EndpointObject>(Role::Scalable, "ScalableEndpoint");
  object->take_info(*chosen, *domain);
  object->transmits = false;
  object->receives = false;
  const auto most = [](size_t count) { return static_cast<uint32_t>(std::min<size_t>(count, 1024)); };
  object->context_count = {most(chosen->ep_attr->tx_ctx_cnt), most(chosen->ep_attr->rx_ctx_cnt)};
  return environment.open_object(object, {domain}, [object, chosen] {
    const SignalGuard guard;
    return fi_scalable_ep(object->domain, chosen.get(), &object->fid, nullptr);
  });
}

bool is_taken(const EndpointObject& scalable, Role role, uint32_t index) {
  const auto& contexts = scalable.dependants();
  return std::any_of(contexts.begin(), contexts.end(), [&](const Object* other) {
    if (other->kind != Kind::Endpoint) return false;
    const auto& context = static_cast<const EndpointObject&>(*other);
    return context.role == role && context.index == index;
  });
}

// Why a scalable endpoint has no such context to give; kOk: it has. Providers give one twice, and look at its address
// vector without a look whether it is there.
int32_t context_refusal(const EndpointObject& scalable, Role role, uint32_t index) {
  if (scalable.role != Role::Scalable) return kClosed;
  if (scalable.addresses == nullptr) return kNotBound;
  if (index >= scalable.context_count[role == Role::Receive ? 1 : 0]) return -FI_EINVAL;
  return is_taken(scalable, role, index) ? kBusy : kOk;
}

// openContext(scalable, index, receives): fi_tx_context(3) or fi_rx_context(3).
Napi::Value open_context(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto scalable = environment.open_shared<EndpointObject>(handle_argument(info, 0));
  if (scalable == nullptr) return resolved(info.Env(), kClosed);
  const uint32_t index = handle_argument(info, 1);
  const bool receives = info[2].ToBoolean().Value();
  const Role role = receives ? Role::Receive : Role::Transmit;
  if (const int32_t refusal = context_refusal(*scalable, role, index); refusal != kOk)
    return resolved(info.Env(), refusal);
  auto object = std::make_shared<EndpointObject>(role, receives ? "ReceiveContext" : "TransmitContext");
  static_cast<DataTraits&>(*object) = *scalable;
  object->enabled = false;
  object->transmits = !receives;
  object->receives = receives;
  object->scalable = scalable.get();
  object->index = index;
  return environment.open_object(object, {scalable}, [object, scalable, index, receives] {
    const std::lock_guard<std::mutex> held(scalable->changing);
    const auto place = static_cast<int>(index);
    return receives ? fi_rx_context(scalable->fid, place, nullptr, &object->fid, nullptr)
                    : fi_tx_context(scalable->fid, place, nullptr, &object->fid, nullptr);
  });
}

// openAlias(endpoint, flags): fi_ep_alias(3).
Napi::Value open_alias(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto endpoint = environment.open_shared<EndpointObject>(handle_argument(info, 0));
  if (endpoint == nullptr || !endpoint->enabled) return resolved(info.Env(), kClosed);
  if (endpoint->role != Role::Whole) return resolved(info.Env(), kUnsupported);
  bool lossless = false;
  const uint64_t flags = info[1].As<Napi::BigInt>().Uint64Value(&lossless);
  auto object = std::make_shared<EndpointObject>(Role::Alias, "Endpoint (an alias)");
  static_cast<DataTraits&>(*object) = *endpoint;
  object->owner = endpoint.get();
  object->reports_cancelled = endpoint->reports_cancelled;
  object->note_flags(flags);
  return environment.open_object(object, {endpoint}, [object, endpoint, flags] {
    const std::lock_guard<std::mutex> held(endpoint->changing);
    return fi_ep_alias(endpoint->fid, &object->fid, flags);
  });
}

int32_t lack_of_shared(EndpointObject& endpoint) {
  if (endpoint.needs_transmit_context && endpoint.transmit_context == nullptr) return kNotShared;
  if (!endpoint.needs_receive_context) return kOk;
  EndpointObject* shared = endpoint.receive_context;
  // The slots of its receives are one queue's.
  if (shared == nullptr || shared->receive_queue != endpoint.receive_queue) return kNotShared;
  if (endpoint.connects || shared->addresses == endpoint.addresses) return kOk;
  // Connectionless endpoints that share it have one address vector (fi_endpoint(3)).
  if (shared->addresses != nullptr) return kNotShared;
  shared->addresses = endpoint.addresses;
  shared->depend_on(endpoint.addresses->shared_from_this());
  return kOk;
}

}  // namespace

int32_t binding_refusal(const EndpointObject& endpoint, const Object& other) {
  switch (endpoint.role) {
    case Role::Whole: return kOk;
    case Role::Scalable:
      if (other.kind != Kind::AddressVector) return kUnsupported;
      return endpoint.lost_context ? -FI_EOPBADSTATE : kOk;
    case Role::Transmit:
    case Role::Receive:
      return other.kind == Kind::CompletionQueue || other.kind == Kind::Counter ? kOk : kUnsupported;
    default: return kUnsupported;
  }
}

// sockets takes it whatever the endpoint was opened for, and does not forget it when the endpoint closes.
int bind_shared_context(EndpointObject& endpoint, Object& other) {
  if (other.kind == Kind::SharedTransmit) {
    if (!endpoint.needs_transmit_context) return kNotShared;
    if (endpoint.transmit_context != nullptr) return kBusy;
    const int status = fi_ep_bind(endpoint.fid, &static_cast<SharedTransmitObject&>(other).fid->fid, 0);
    if (status == 0) endpoint.transmit_context = &other;
    return status;
  }
  auto& shared = static_cast<EndpointObject&>(other);
  if (shared.role != Role::SharedReceive) return kUnsupported;
  if (!endpoint.needs_receive_context) return kNotShared;
  if (endpoint.receive_context != nullptr) return kBusy;
  const int status = fi_ep_bind(endpoint.fid, &shared.fid->fid, 0);
  if (status == 0) endpoint.receive_context = &shared;
  return status;
}

int32_t lack_of(EndpointObject& endpoint) {
  if (endpoint.role == Role::Alias || endpoint.role == Role::SharedReceive || endpoint.lost_context)
    return -FI_EOPBADSTATE;
  if (endpoint.role == Role::Scalable) return endpoint.addresses == nullptr ? kNotBound : kOk;
  const bool sends = endpoint.role != Role::Receive;
  const bool takes = endpoint.role != Role::Transmit;
  if ((sends && endpoint.transmit_queue == nullptr) || (takes && endpoint.receive_queue == nullptr))
    return kNotBound;
  if (endpoint.connects ? endpoint.events == nullptr : endpoint.addresses == nullptr) return kNotBound;
  return lack_of_shared(endpoint);
}

void register_contexts(Napi::Object exports, Environment* environment) {
  define(exports, "openSharedReceive", open_shared_receive, environment);
  define(exports, "openSharedTransmit", open_shared_transmit, environment);
  define(exports, "openScalable", open_scalable, environment);
  define(exports, "openContext", open_context, environment);
  define(exports, "openAlias", open_alias, environment);
}

}  // namespace ofi
