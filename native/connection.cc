// fi_cm(3) for endpoints of type FI_EP_MSG: who they are connected to.
#include "endpoint.h"
#include "handle.h"
#include "passive_endpoint.h"

namespace ofi {

namespace {

std::vector<uint8_t> bytes_argument(const Napi::CallbackInfo& info, size_t index) {
  const auto bytes = info[index].As<Napi::Uint8Array>();
  return {bytes.Data(), bytes.Data() + bytes.ByteLength()};
}

// How much connection data the provider takes: not every one checks.
int check_data(fid_ep* ep, const std::vector<uint8_t>& data) {
  if (data.empty()) return 0;
  size_t limit = 0;
  size_t length = sizeof(limit);
  const int status = fi_getopt(&ep->fid, FI_OPT_ENDPOINT, FI_OPT_CM_DATA_SIZE, &limit, &length);
  return status == 0 && data.size() > limit ? -FI_EMSGSIZE : 0;
}

// Calls that are for enabled endpoints of this type only: others have no table, or one whose calls crash.
int32_t refusal(const EndpointObject& endpoint) {
  if (!endpoint.enabled) return kClosed;
  return endpoint.connects && endpoint.fid->cm != nullptr ? kOk : kUnsupported;
}

template <typename Work>
Napi::Value on_thread(Environment& environment, const std::shared_ptr<EndpointObject>& endpoint, Work work) {
  return environment.status_of(endpoint, [endpoint, work = std::move(work)] {
    const std::lock_guard<std::mutex> held(endpoint->changing);
    return endpoint->fid == nullptr ? static_cast<int>(kClosed) : work(endpoint->fid);
  });
}

// Connects or accepts: once, and only what was opened for it.
template <typename Work>
Napi::Value begin_connection(const Napi::CallbackInfo& info, bool accepts, const std::vector<uint8_t>& data,
                             Work work) {
  Environment& environment = Environment::of(info);
  auto endpoint = environment.open_shared<EndpointObject>(handle_argument(info, 0));
  if (endpoint == nullptr) return resolved(info.Env(), kClosed);
  int32_t status = refusal(*endpoint);
  if (status == kOk && (endpoint->connecting || endpoint->has_request != accepts)) status = -FI_EOPBADSTATE;
  if (status == kOk) status = check_data(endpoint->fid, data);
  if (status != kOk) return resolved(info.Env(), status);
  endpoint->connecting = true;
  return on_thread(environment, endpoint, std::move(work));
}

// connect(endpoint, address, data): fi_connect(3). Resolves with a status; the event queue tells what came of it.
Napi::Value connect(const Napi::CallbackInfo& info) {
  std::vector<uint8_t> address = bytes_argument(info, 1);
  // Providers read as much as the longest address of the format has.
  address.resize(std::max<size_t>(address.size(), 128), 0);
  const std::vector<uint8_t> data = bytes_argument(info, 2);
  return begin_connection(info, false, data, [address = std::move(address), data](fid_ep* ep) {
    return fi_connect(ep, address.data(), data.empty() ? nullptr : data.data(), data.size());
  });
}

// accept(endpoint, data): fi_accept(3). Resolves with a status; the event queue tells what came of it.
Napi::Value accept(const Napi::CallbackInfo& info) {
  const std::vector<uint8_t> data = bytes_argument(info, 1);
  return begin_connection(info, true, data, [data](fid_ep* ep) {
    return fi_accept(ep, data.empty() ? nullptr : data.data(), data.size());
  });
}

// shutDownEndpoint(endpoint): fi_shutdown(3). Resolves with a status.
Napi::Value shut_down_endpoint(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto endpoint = environment.open_shared<EndpointObject>(handle_argument(info, 0));
  if (endpoint == nullptr) return resolved(info.Env(), kClosed);
  int32_t status = refusal(*endpoint);
  if (status == kOk && !endpoint->connected) status = -FI_ENOTCONN;
  if (status != kOk) return resolved(info.Env(), status);
  return on_thread(environment, endpoint, [](fid_ep* ep) { return fi_shutdown(ep, 0); });
}

// endpointPeer(endpoint): fi_getpeer(3). The address bytes, or a negative status.
Napi::Value endpoint_peer(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto* endpoint = Environment::of(info).open<EndpointObject>(handle_argument(info, 0));
  if (endpoint == nullptr) return Napi::Number::New(env, kClosed);
  if (!endpoint->connects || endpoint->fid->cm == nullptr) return Napi::Number::New(env, kUnsupported);
  if (!endpoint->connected) return Napi::Number::New(env, -FI_ENOTCONN);
  return address_value(
      env, [endpoint](uint8_t* bytes, size_t* length) { return fi_getpeer(endpoint->fid, bytes, length); });
}

}  // namespace

void register_connection(Napi::Object exports, Environment* environment) {
  define(exports, "connect", connect, environment);
  define(exports, "accept", accept, environment);
  define(exports, "shutDownEndpoint", shut_down_endpoint, environment);
  define(exports, "endpointPeer", endpoint_peer, environment);
}

}  // namespace ofi
