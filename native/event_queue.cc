#include "event_queue.h"

#include "handle.h"

namespace ofi {

namespace {

// openEventQueue(fabric, size): fi_eq_open(3). Without a wait object: it is read, never waited on, so far.
Napi::Value open_event_queue(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto fabric = environment.open_shared<FabricObject>(handle_argument(info, 0));
  if (fabric == nullptr) return resolved(info.Env(), kClosed);
  const uint32_t size = handle_argument(info, 1);
  auto object = std::make_shared<EventQueueObject>();
  object->fabric = fabric->fid;
  return environment.open_object(object, {fabric}, [object, size] {
    EqAttributes attributes = zeroed<EqAttributes>();
    attributes.attr.size = size;
    attributes.attr.wait_obj = FI_WAIT_NONE;
    return fi_eq_open(object->fabric, &attributes.attr, &object->fid, nullptr);
  });
}

// readEvent(queue): fi_eq_read(3). A negative status, or { event, error, providerError, text }.
Napi::Value read_event(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto* object = Environment::of(info).open<EventQueueObject>(handle_argument(info, 0));
  if (object == nullptr) return Napi::Number::New(env, kClosed);
  uint32_t event = 0;
  std::array<uint8_t, 1024> buffer{};
  const ssize_t got = fi_eq_read(object->fid, &event, buffer.data(), buffer.size(), 0);
  auto result = Napi::Object::New(env);
  if (got >= 0) {
    result.Set("event", Napi::Number::New(env, event));
    result.Set("error", Napi::Number::New(env, 0));
    return result;
  }
  if (got != -FI_EAVAIL) return Napi::Number::New(env, static_cast<int32_t>(got));
  EqErrorEntry entry = zeroed<EqErrorEntry>();
  const ssize_t read = fi_eq_readerr(object->fid, reinterpret_cast<fi_eq_err_entry*>(&entry), 0);
  if (read < 0) return Napi::Number::New(env, static_cast<int32_t>(read));
  std::array<char, 512> text{};
  const char* words = fi_eq_strerror(object->fid, entry.prov_errno, entry.err_data, text.data(), text.size());
  result.Set("error", Napi::Number::New(env, entry.err));
  result.Set("providerError", Napi::Number::New(env, entry.prov_errno));
  result.Set("text", Napi::String::New(env, words != nullptr ? words : ""));
  return result;
}

}  // namespace

void register_event_queue(Napi::Object exports, Environment* environment) {
  define(exports, "openEventQueue", open_event_queue, environment);
  define(exports, "readEvent", read_event, environment);
}

}  // namespace ofi
