#include "passive_endpoint.h"

#include <utility>

#include "handle.h"
#include "info.h"

namespace ofi {

namespace {

// openPassiveEndpoint(fabric, info): fi_passive_ep(3).
Napi::Value open_passive_endpoint(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto fabric = environment.open_shared<FabricObject>(handle_argument(info, 0));
  std::shared_ptr<fi_info> chosen = info_of(info[1]);
  if (fabric == nullptr || chosen == nullptr) return resolved(info.Env(), kClosed);
  auto object = std::make_shared<PassiveEndpointObject>();
  object->fabric = fabric->fid;
  return environment.open_object(object, {fabric}, [object, chosen]() -> int {
    if (!OFI_HAS_OP(object->fabric->ops, fi_ops_fabric, passive_ep)) return -FI_ENOSYS;
    return fi_passive_ep(object->fabric, chosen.get(), &object->fid, nullptr);
  });
}

// bindPassiveEndpoint(endpoint, eventQueue): fi_pep_bind(3). A status.
Napi::Value bind_passive_endpoint(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto endpoint = environment.open_shared<PassiveEndpointObject>(handle_argument(info, 0));
  auto events = environment.open_shared<EventQueueObject>(handle_argument(info, 1));
  if (endpoint == nullptr || events == nullptr) return Napi::Number::New(info.Env(), kClosed);
  const int status = fi_pep_bind(endpoint->fid, &events->fid->fid, 0);
  if (status == 0) {
    endpoint->events = events.get();
    endpoint->depend_on(events);
  }
  return Napi::Number::New(info.Env(), status);
}

// listen(endpoint): fi_listen(3). Resolves with a status.
Napi::Value listen(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto endpoint = environment.open_shared<PassiveEndpointObject>(handle_argument(info, 0));
  if (endpoint == nullptr) return resolved(info.Env(), kClosed);
  if (endpoint->events == nullptr) return resolved(info.Env(), -FI_ENOEQ);
  return environment.status_of(endpoint, [endpoint] { return endpoint->use(fi_listen); });
}

// passiveEndpointName(endpoint): fi_getname(3). The address bytes, or a negative status.
Napi::Value passive_endpoint_name(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto* endpoint = Environment::of(info).open<PassiveEndpointObject>(handle_argument(info, 0));
  if (endpoint == nullptr) return Napi::Number::New(env, kClosed);
  return address_value(env, [endpoint](uint8_t* bytes, size_t* length) {
    return fi_getname(&endpoint->fid->fid, bytes, length);
  });
}

// reject(endpoint, info, data): fi_reject(3). Resolves with a status.
Napi::Value reject(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto endpoint = environment.open_shared<PassiveEndpointObject>(handle_argument(info, 0));
  std::shared_ptr<fi_info> request = info_of(info[1]);
  if (endpoint == nullptr || request == nullptr) return resolved(info.Env(), kClosed);
  // Accepted or rejected already.
  if (request->handle == nullptr) return resolved(info.Env(), -FI_EOPBADSTATE);
  fid* handle = std::exchange(request->handle, nullptr);
  const auto bytes = info[2].As<Napi::Uint8Array>();
  std::vector<uint8_t> data(bytes.Data(), bytes.Data() + bytes.ByteLength());
  return environment.status_of(endpoint, [endpoint, handle, data = std::move(data)] {
    return endpoint->use([&](fid_pep* passive) {
      return fi_reject(passive, handle, data.empty() ? nullptr : data.data(), data.size());
    });
  });
}

}  // namespace

void register_passive_endpoint(Napi::Object exports, Environment* environment) {
  define(exports, "openPassiveEndpoint", open_passive_endpoint, environment);
  define(exports, "bindPassiveEndpoint", bind_passive_endpoint, environment);
  define(exports, "listen", listen, environment);
  define(exports, "passiveEndpointName", passive_endpoint_name, environment);
  define(exports, "reject", reject, environment);
}

}  // namespace ofi
