#include "shm_janitor.h"

#include "endpoint.h"
#include "handle.h"
#include "shm_files.h"

namespace ofi {

namespace {

// shmPrepare(name): removes what dead processes left and locks the name. The lock's descriptor, or a negative errno.
Napi::Value shm_prepare(const Napi::CallbackInfo& info) {
  shm_remove_stale(kShmDirectory);
  return Napi::Number::New(info.Env(), shm_lock(kShmDirectory, info[0].As<Napi::String>().Utf8Value()));
}

// shmClaim(endpoint, name, lock): the endpoint owns the lock from now on. 0, or a negative errno where /dev/shm is full.
Napi::Value shm_claim(const Napi::CallbackInfo& info) {
  auto* endpoint = Environment::of(info).open<EndpointObject>(handle_argument(info, 0));
  if (endpoint == nullptr) return Napi::Number::New(info.Env(), kClosed);
  endpoint->shm_name = info[1].As<Napi::String>().Utf8Value();
  endpoint->shm_lock_fd = info[2].As<Napi::Number>().Int32Value();
  return Napi::Number::New(info.Env(), shm_reserve(kShmDirectory, endpoint->shm_name));
}

// shmAbandon(name, lock): no endpoint came of it.
Napi::Value shm_abandon(const Napi::CallbackInfo& info) {
  int lock = info[1].As<Napi::Number>().Int32Value();
  shm_release(kShmDirectory, info[0].As<Napi::String>().Utf8Value(), &lock);
  return info.Env().Undefined();
}

}  // namespace

void register_shm_janitor(Napi::Object exports, Environment* environment) {
  define(exports, "shmPrepare", shm_prepare, environment);
  define(exports, "shmClaim", shm_claim, environment);
  define(exports, "shmAbandon", shm_abandon, environment);
}

}  // namespace ofi
