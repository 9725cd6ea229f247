// Options of endpoints, active and passive: fi_getopt(3), fi_setopt(3), fi_control(3), fi_setname(3).
#include "options.h"

#include "endpoint.h"
#include "handle.h"
#include "libfabric.h"
#include "passive_endpoint.h"

namespace ofi {

namespace {

// Longer than any option's value.
constexpr size_t kLongestOption = 4096;

// An endpoint of either type: both begin with the same tables.
struct Target {
  fid* of = nullptr;
  fi_ops_ep* ops = nullptr;
  fi_ops_cm* cm = nullptr;
  bool enabled = false;
  EndpointObject* late = nullptr;  // where the option has to wait until it is enabled
};

// sockets takes a context that sends for one that receives, and a scalable endpoint goes on telling contexts that are gone.
bool has_options(const EndpointObject& endpoint) {
  return endpoint.role != Role::Transmit && !endpoint.lost_context;
}

Target target_of(const Napi::CallbackInfo& info) {
  const Environment& environment = Environment::of(info);
  const uint32_t handle = handle_argument(info, 0);
  if (auto* endpoint = environment.open<EndpointObject>(handle); endpoint != nullptr)
    return {&endpoint->fid->fid, has_options(*endpoint) ? endpoint->fid->ops : nullptr, endpoint->fid->cm,
            endpoint->enabled, endpoint->has_late_options && !endpoint->enabled ? endpoint : nullptr};
  if (auto* passive = environment.open<PassiveEndpointObject>(handle); passive != nullptr)
    return {&passive->fid->fid, passive->fid->ops, passive->fid->cm};
  return {};
}

bool waits(const Target& target, int level, int name) {
  return target.late != nullptr && level == FI_OPT_ENDPOINT && name == FI_OPT_MIN_MULTI_RECV;
}

Napi::Value status_value(const Napi::CallbackInfo& info, int64_t status) {
  return Napi::Number::New(info.Env(), static_cast<double>(status));
}

// getOption(endpoint, level, name, length): fi_getopt(3). The bytes, or a negative status.
Napi::Value get_option(const Napi::CallbackInfo& info) {
  const Target target = target_of(info);
  if (target.of == nullptr) return status_value(info, kClosed);
  if (!OFI_HAS_OP(target.ops, fi_ops_ep, getopt)) return status_value(info, kUnsupported);
  const int level = info[1].As<Napi::Number>().Int32Value();
  const int name = info[2].As<Napi::Number>().Int32Value();
  if (target.late != nullptr && !waits(target, level, name)) return status_value(info, -FI_ENOPROTOOPT);
  if (waits(target, level, name) && target.late->min_multi_recv == 0)
    return status_value(info, -FI_EOPBADSTATE);
  // Providers that do not look at the length write as much as the value has.
  alignas(16) std::array<uint8_t, kLongestOption> value{};
  const size_t wanted = std::min<size_t>(handle_argument(info, 3), value.size());
  size_t length = wanted;
  int status = 0;
  if (waits(target, level, name))
    std::memcpy(value.data(), &target.late->min_multi_recv, sizeof(size_t));
  else
    status = fi_getopt(target.of, level, name, value.data(), &length);
  if (status != 0) return status_value(info, status);
  auto buffer = Napi::ArrayBuffer::New(info.Env(), wanted);
  std::memcpy(buffer.Data(), value.data(), wanted);
  return Napi::Uint8Array::New(info.Env(), wanted, buffer, 0);
}

// setOption(endpoint, level, name, bytes): fi_setopt(3). A status.
Napi::Value set_option(const Napi::CallbackInfo& info) {
  const Target target = target_of(info);
  if (target.of == nullptr) return status_value(info, kClosed);
  if (!OFI_HAS_OP(target.ops, fi_ops_ep, setopt)) return status_value(info, kUnsupported);
  const int level = info[1].As<Napi::Number>().Int32Value();
  const int name = info[2].As<Napi::Number>().Int32Value();
  const auto bytes = info[3].As<Napi::Uint8Array>();
  // Aligned as any type needs it, and longer than what a provider reads that does not look at the length.
  alignas(16) std::array<uint8_t, kLongestOption> value{};
  const size_t length = std::min<size_t>(bytes.ByteLength(), value.size());
  std::memcpy(value.data(), bytes.Data(), length);
  if (waits(target, level, name)) {
    std::memcpy(&target.late->min_multi_recv, value.data(), sizeof(size_t));
    if (library().version < FI_VERSION(2, 0)) return status_value(info, kOk);
  }
  return status_value(info, fi_setopt(target.of, level, name, value.data(), length));
}

// controlValue(endpoint, command, value): fi_control(3) with a 64-bit value, which it may change: the value afterwards,
// or a negative status.
Napi::Value control_value(const Napi::CallbackInfo& info) {
  const Target target = target_of(info);
  if (target.of == nullptr) return status_value(info, kClosed);
  if (!OFI_HAS_OP(target.of->ops, fi_ops, control)) return status_value(info, kUnsupported);
  bool lossless = false;
  // An int for some commands: its bytes come first, and the rest is room.
  uint64_t value = info[2].As<Napi::BigInt>().Uint64Value(&lossless);
  const int32_t command = info[1].As<Napi::Number>().Int32Value();
  const int status = fi_control(target.of, command, &value);
  if (status == 0 && command == FI_SETOPSFLAG)
    if (auto* endpoint = Environment::of(info).open<EndpointObject>(handle_argument(info, 0));
        endpoint != nullptr)
      endpoint->note_flags(value);
  return status < 0 ? status_value(info, status) : u64_value(info.Env(), value);
}

// sizeLeft(endpoint, receive): fi_rx_size_left(3) or fi_tx_size_left(3).
Napi::Value size_left(const Napi::CallbackInfo& info) {
  auto* endpoint = Environment::of(info).open<EndpointObject>(handle_argument(info, 0));
  if (endpoint == nullptr || !endpoint->enabled) return status_value(info, kClosed);
  fi_ops_ep* ops = endpoint->fid->ops;
// libfabric 2's headers call these deprecated.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  if (info[1].ToBoolean().Value())
    return status_value(info, OFI_HAS_OP(ops, fi_ops_ep, rx_size_left) ? fi_rx_size_left(endpoint->fid)
                                                                       : static_cast<ssize_t>(kUnsupported));
  return status_value(info, OFI_HAS_OP(ops, fi_ops_ep, tx_size_left) ? fi_tx_size_left(endpoint->fid)
                                                                     : static_cast<ssize_t>(kUnsupported));
#pragma GCC diagnostic pop
}

// setName(endpoint, address): fi_setname(3). A status.
Napi::Value set_name(const Napi::CallbackInfo& info) {
  const Target target = target_of(info);
  if (target.of == nullptr) return status_value(info, kClosed);
  if (!OFI_HAS_OP(target.cm, fi_ops_cm, setname)) return status_value(info, kUnsupported);
  // Some take it and go on with the old one.
  if (target.enabled) return status_value(info, -FI_EOPBADSTATE);
  const auto bytes = info[1].As<Napi::Uint8Array>();
  // Providers read as much as the longest address of the format has.
  std::array<uint8_t, 512> address{};
  const size_t length = std::min<size_t>(bytes.ByteLength(), address.size());
  std::memcpy(address.data(), bytes.Data(), length);
  return status_value(info, fi_setname(target.of, address.data(), length));
}

// queryAtomic(domain, datatype, operation, flags): fi_query_atomic(3). [count, size], or a negative status.
Napi::Value query_atomic(const Napi::CallbackInfo& info) {
  auto* domain = Environment::of(info).open<DomainObject>(handle_argument(info, 0));
  if (domain == nullptr) return status_value(info, kClosed);
  if (!OFI_HAS_OP(domain->fid->ops, fi_ops_domain, query_atomic)) return status_value(info, kUnsupported);
  bool lossless = false;
  const uint64_t flags = info[3].As<Napi::BigInt>().Uint64Value(&lossless);
  auto attributes = zeroed<fi_atomic_attr>();
  const int status = fi_query_atomic(domain->fid, static_cast<fi_datatype>(handle_argument(info, 1)),
                                     static_cast<fi_op>(handle_argument(info, 2)), &attributes, flags);
  if (status != 0) return status_value(info, status);
  auto pair = Napi::Array::New(info.Env(), 2);
  pair.Set(0U, size_value(info.Env(), attributes.count));
  pair.Set(1U, size_value(info.Env(), attributes.size));
  return pair;
}

// bindDomain(domain, eventQueue, flags): fi_domain_bind(3). A status.
Napi::Value bind_domain(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto domain = environment.open_shared<DomainObject>(handle_argument(info, 0));
  auto events = environment.open_shared<EventQueueObject>(handle_argument(info, 1));
  if (domain == nullptr || events == nullptr) return status_value(info, kClosed);
  bool lossless = false;
  const uint64_t flags = info[2].As<Napi::BigInt>().Uint64Value(&lossless);
  const int status = fi_domain_bind(domain->fid, &events->fid->fid, flags);
  if (status == 0) domain->depend_on(events);
  return status_value(info, status);
}

}  // namespace

void register_options(Napi::Object exports, Environment* environment) {
  define(exports, "getOption", get_option, environment);
  define(exports, "setOption", set_option, environment);
  define(exports, "controlValue", control_value, environment);
  define(exports, "sizeLeft", size_left, environment);
  define(exports, "setName", set_name, environment);
  define(exports, "queryAtomic", query_atomic, environment);
  define(exports, "bindDomain", bind_domain, environment);
}

}  // namespace ofi
