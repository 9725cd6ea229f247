// fi_cm(3): groups of addresses that one message reaches.
#include "multicast.h"

#include "event_queue.h"
#include "handle.h"

namespace ofi {

namespace {

// Providers copy as many bytes as the address's family has.
constexpr size_t kRoomForAddress = 128;

int join_blocking(MulticastObject& group, const std::array<uint8_t, kRoomForAddress>& address,
                  uint64_t flags) {
  const std::lock_guard<std::mutex> held(group.endpoint->changing);
  if (group.endpoint->fid == nullptr) return kClosed;
  return fi_join(group.endpoint->fid, address.data(), flags, &group.fid, &group);
}

// joinMulticast(endpoint, address, flags): fi_join(3). A negative status, or { handle, opening }: the handle is known at
// once, since the event may come before `opening` resolves with a status or the handle.
Napi::Value join_multicast(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto refuse = [&info](int32_t status) { return Napi::Number::New(info.Env(), status); };
  auto endpoint = environment.open_shared<EndpointObject>(handle_argument(info, 0));
  const auto bytes = info[1].As<Napi::Uint8Array>();
  if (endpoint == nullptr || !endpoint->enabled) return refuse(kClosed);
  if ((endpoint->capabilities & FI_MULTICAST) == 0 || !OFI_HAS_OP(endpoint->fid->cm, fi_ops_cm, join))
    return refuse(kUnsupported);
  // Providers write into it without a look whether it is there.
  if (endpoint->events == nullptr) return refuse(-FI_ENOEQ);
  std::array<uint8_t, kRoomForAddress> address{};
  if (bytes.ByteLength() > address.size()) return refuse(-FI_EINVAL);
  std::copy_n(bytes.Data(), bytes.ByteLength(), address.begin());
  bool lossless = false;
  const uint64_t flags = info[2].As<Napi::BigInt>().Uint64Value(&lossless);
  auto events = environment.open_shared<EventQueueObject>(endpoint->events->handle);
  if (events == nullptr) return refuse(kClosed);
  auto object = std::make_shared<MulticastObject>();
  object->endpoint = endpoint;
  auto result = Napi::Object::New(info.Env());
  result.Set("handle", Napi::Number::New(info.Env(), environment.add(object)));
  result.Set("opening", environment.open_object(object, {endpoint, events}, [object, address, flags] {
    return join_blocking(*object, address, flags);
  }));
  return result;
}

}  // namespace

Post prepare_group(Environment& environment, uint32_t endpoint, uint32_t group) {
  Post post;
  post.status = kClosed;
  auto* of = environment.open<EndpointObject>(endpoint);
  auto* joined = environment.open<MulticastObject>(group);
  if (of == nullptr || !of->enabled || joined == nullptr) return post;
  post.endpoint = of;
  post.status = joined->endpoint.get() == of ? static_cast<int32_t>(kOk) : -FI_EINVAL;
  post.address = fi_mc_addr(joined->fid);
  return post;
}

int MulticastObject::close_blocking() {
  if (fid == nullptr) return 0;
  const std::lock_guard<std::mutex> held(endpoint->changing);
  return FidObject::close_blocking();
}

void register_multicast(Napi::Object exports, Environment* environment) {
  define(exports, "joinMulticast", join_multicast, environment);
}

}  // namespace ofi
