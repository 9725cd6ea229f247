#include "shm_janitor.h"

#include "endpoint.h"
#include "handle.h"
#include "shm_files.h"
#include "shm_neighbours.h"

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

// shmEnter(endpoint, contact): the endpoint shares memory with others of the process.
Napi::Value shm_enter(const Napi::CallbackInfo& info) {
  auto* endpoint = Environment::of(info).open<EndpointObject>(handle_argument(info, 0));
  if (endpoint != nullptr && endpoint->neighbour == 0)
    endpoint->neighbour = ShmNeighbours::of_process().enter(info[1].As<Napi::String>().Utf8Value());
  return info.Env().Undefined();
}

// shmKnows(endpoint, contact): it was told the contact of another.
Napi::Value shm_knows(const Napi::CallbackInfo& info) {
  auto* endpoint = Environment::of(info).open<EndpointObject>(handle_argument(info, 0));
  if (endpoint != nullptr)
    ShmNeighbours::of_process().knows(endpoint->neighbour, info[1].As<Napi::String>().Utf8Value());
  return info.Env().Undefined();
}

// shmRests(endpoint): it is to be closed, and nobody reads it any more. Whether it must stay open for others.
Napi::Value shm_rests(const Napi::CallbackInfo& info) {
  auto* endpoint = Environment::of(info).open<EndpointObject>(handle_argument(info, 0));
  if (endpoint == nullptr) return Napi::Boolean::New(info.Env(), false);
  ShmNeighbours::of_process().rest(endpoint->neighbour);
  return Napi::Boolean::New(info.Env(), endpoint->is_needed());
}

}  // namespace

void register_shm_janitor(Napi::Object exports, Environment* environment) {
  define(exports, "shmPrepare", shm_prepare, environment);
  define(exports, "shmClaim", shm_claim, environment);
  define(exports, "shmAbandon", shm_abandon, environment);
  define(exports, "shmEnter", shm_enter, environment);
  define(exports, "shmKnows", shm_knows, environment);
  define(exports, "shmRests", shm_rests, environment);
}

}  // namespace ofi
