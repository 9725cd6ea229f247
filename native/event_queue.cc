#include "event_queue.h"

#include <unistd.h>

#include <algorithm>

#include "av_set.h"
#include "endpoint.h"
#include "handle.h"
#include "passive_endpoint.h"

namespace ofi {

namespace {

constexpr uint32_t kShortestPauseUs = 10;
constexpr uint32_t kLongestPauseUs = 1'000;

// openEventQueue(fabric, size, waitObject): fi_eq_open(3). Waits look again and again, which no provider gets wrong.
Napi::Value open_event_queue(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto fabric = environment.open_shared<FabricObject>(handle_argument(info, 0));
  if (fabric == nullptr) return resolved(info.Env(), kClosed);
  const uint32_t size = handle_argument(info, 1);
  auto object = std::make_shared<EventQueueObject>();
  object->fabric = fabric->fid;
  const auto wait = static_cast<fi_wait_obj>(handle_argument(info, 2));
  return environment.open_object(object, {fabric}, [object, size, wait] {
    EqAttributes attributes = zeroed<EqAttributes>();
    attributes.attr.size = size;
    attributes.attr.wait_obj = wait;
    // What fi_eq_write(3) needs; not every provider looks.
    attributes.attr.flags = FI_WRITE;
    const int status = fi_eq_open(object->fabric, &attributes.attr, &object->fid, nullptr);
    int fd = -1;
    if (status == 0 && wait == FI_WAIT_FD && fi_control(&object->fid->fid, FI_GETWAIT, &fd) == 0)
      object->fd = fd;
    return status;
  });
}

bool is_of_connection(uint32_t event) {
  return event == FI_CONNREQ || event == FI_CONNECTED || event == FI_SHUTDOWN;
}

// Written by fi_eq_write(3): what the program gave is all there is.
bool is_of_program(uint32_t event) { return event == FI_NOTIFY || event > FI_JOIN_COMPLETE; }

void read_failure(fid_eq* queue, FabricEvent* result) {
  EqErrorEntry entry = zeroed<EqErrorEntry>();
  const ssize_t read = fi_eq_readerr(queue, reinterpret_cast<fi_eq_err_entry*>(&entry), 0);
  if (read < 0) {
    result->status = static_cast<int32_t>(read);
    return;
  }
  std::array<char, 512> text{};
  const char* words = fi_eq_strerror(queue, entry.prov_errno, entry.err_data, text.data(), text.size());
  result->source = entry.fid;
  result->context = entry.context;
  result->error = entry.err != 0 ? std::abs(entry.err) : FI_EOTHER;
  result->provider_error = entry.prov_errno;
  result->text = words != nullptr ? words : "";
  const auto* data = static_cast<const uint8_t*>(entry.err_data);
  if (data != nullptr) result->data.assign(data, data + entry.err_data_size);
}

// The handle of the endpoint that an event is about; -1 where it is none of the queue's any more. What a connection
// became is known from now on.
int64_t handle_of(const EventQueueObject& queue, const FabricEvent& event) {
  for (Object* dependant : queue.dependants()) {
    if (dependant->kind == Kind::PassiveEndpoint &&
        &static_cast<PassiveEndpointObject*>(dependant)->fid->fid == event.source)
      return dependant->handle;
    if (dependant->kind == Kind::CollectiveGroup && event.context == dependant) {
      if (event.error == 0) static_cast<CollectiveGroupObject*>(dependant)->joined = true;
      return dependant->handle;
    }
    if (dependant->kind == Kind::MulticastGroup && event.context == dependant) return dependant->handle;
    if (dependant->kind != Kind::Endpoint) continue;
    auto* endpoint = static_cast<EndpointObject*>(dependant);
    if (endpoint->fid == nullptr || &endpoint->fid->fid != event.source) continue;
    if (event.error == 0 && event.event == FI_CONNECTED) endpoint->connected = true;
    return dependant->handle;
  }
  return -1;
}

Napi::Value event_value(Napi::Env env, const EventQueueObject& queue, const FabricEvent& event) {
  if (event.status < 0) return Napi::Number::New(env, event.status);
  auto result = Napi::Object::New(env);
  if (event.error == 0) result.Set("event", Napi::Number::New(env, event.event));
  result.Set("error", Napi::Number::New(env, event.error));
  result.Set("providerError", Napi::Number::New(env, event.provider_error));
  result.Set("text", Napi::String::New(env, event.text));
  result.Set("handle", Napi::Number::New(env, static_cast<double>(handle_of(queue, event))));
  auto data = Napi::ArrayBuffer::New(env, event.data.size());
  if (!event.data.empty()) std::memcpy(data.Data(), event.data.data(), event.data.size());
  result.Set("data", Napi::Uint8Array::New(env, event.data.size(), data, 0));
  if (event.info != nullptr) result.Set("info", info_object(env, event.info.get()));
  return result;
}

// readEvent(queue): fi_eq_read(3). A negative status, or { event, error, providerError, text, handle, data, info }.
Napi::Value read_event(const Napi::CallbackInfo& info) {
  auto* object = Environment::of(info).open<EventQueueObject>(handle_argument(info, 0));
  if (object == nullptr) return Napi::Number::New(info.Env(), kClosed);
  return event_value(info.Env(), *object, object->read());
}

// waitEvent(queue, timeoutMs): fi_eq_sread(3), off the JavaScript thread. Resolves as readEvent answers.
Napi::Value wait_event(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto object = environment.open_shared<EventQueueObject>(handle_argument(info, 0));
  if (object == nullptr) return resolved(info.Env(), kClosed);
  const auto timeout_ms = static_cast<uint64_t>(info[1].As<Napi::Number>().Int64Value());
  auto event = std::make_shared<FabricEvent>();
  auto deferred = std::make_shared<Napi::Promise::Deferred>(info.Env());
  environment.run_blocking(
      [object, event, timeout_ms] {
        *event = object->wait(timeout_ms);
        return 0;
      },
      [object, event, deferred](Environment& owner, int) {
        deferred->Resolve(event_value(owner.env(), *object, *event));
      });
  return deferred->Promise();
}

// eventQueueFd(queue): the descriptor, or -1.
Napi::Value event_queue_fd(const Napi::CallbackInfo& info) {
  auto* object = Environment::of(info).open<EventQueueObject>(handle_argument(info, 0));
  return Napi::Number::New(info.Env(), object == nullptr ? -1 : object->fd);
}

// writeEvent(queue, event, data): fi_eq_write(3). How many bytes, or a negative status.
Napi::Value write_event(const Napi::CallbackInfo& info) {
  auto* object = Environment::of(info).open<EventQueueObject>(handle_argument(info, 0));
  if (object == nullptr) return Napi::Number::New(info.Env(), kClosed);
  if (!OFI_HAS_OP(object->fid->ops, fi_ops_eq, write)) return Napi::Number::New(info.Env(), kUnsupported);
  const auto bytes = info[2].As<Napi::Uint8Array>();
  const std::vector<uint8_t> data(bytes.Data(), bytes.Data() + bytes.ByteLength());
  const ssize_t written = fi_eq_write(object->fid, handle_argument(info, 1), data.data(), data.size(), 0);
  return Napi::Number::New(info.Env(), static_cast<double>(written));
}

}  // namespace

FabricEvent EventQueueObject::read() {
  FabricEvent result;
  // Aligned as the structures that are written into it.
  alignas(16) std::array<uint8_t, 4096> buffer{};
  const ssize_t got = fi_eq_read(fid, &result.event, buffer.data(), buffer.size(), 0);
  if (got == -FI_EAVAIL) {
    read_failure(fid, &result);
    return result;
  }
  if (got < 0) {
    result.status = static_cast<int32_t>(got);
    return result;
  }
  const auto* entry = reinterpret_cast<const fi_eq_cm_entry*>(buffer.data());
  const auto length = static_cast<size_t>(got);
  if (is_of_program(result.event)) {
    result.data.assign(buffer.data(), buffer.data() + std::min(length, buffer.size()));
    return result;
  }
  if (length >= offsetof(fi_eq_cm_entry, info)) result.source = entry->fid;
  if (result.event == FI_JOIN_COMPLETE && length >= sizeof(fi_eq_entry))
    result.context = reinterpret_cast<const fi_eq_entry*>(buffer.data())->context;
  if (!is_of_connection(result.event) || length < sizeof(fi_eq_cm_entry)) return result;
  if (result.event == FI_CONNREQ) result.info.reset(entry->info);
  result.data.assign(buffer.data() + sizeof(fi_eq_cm_entry), buffer.data() + std::min(length, buffer.size()));
  return result;
}

FabricEvent EventQueueObject::wait(uint64_t timeout_ms) {
  const uint64_t deadline = monotonic_ns() + timeout_ms * 1'000'000;
  for (uint32_t pause_us = kShortestPauseUs;; pause_us = std::min(pause_us * 2, kLongestPauseUs)) {
    {
      const std::shared_lock<std::shared_mutex> held(use);
      FabricEvent event;
      event.status = kClosed;
      if (closing.load()) return event;
      event = read();
      if (event.status != -FI_EAGAIN || monotonic_ns() >= deadline) return event;
    }
    usleep(pause_us);
  }
}

int EventQueueObject::close_blocking() {
  const std::unique_lock<std::shared_mutex> alone(use);
  const int status = FidObject::close_blocking();
  // It may be tried again.
  if (status != 0) closing.store(false);
  return status;
}

void register_event_queue(Napi::Object exports, Environment* environment) {
  define(exports, "openEventQueue", open_event_queue, environment);
  define(exports, "eventQueueFd", event_queue_fd, environment);
  define(exports, "writeEvent", write_event, environment);
  define(exports, "readEvent", read_event, environment);
  define(exports, "waitEvent", wait_event, environment);
}

}  // namespace ofi
