// The addon's entry: one Environment per Node environment, its functions, and its ends.
#include <dlfcn.h>

#include <cstdlib>

#include "about.h"
#include "address_vector.h"
#include "av_set.h"
#include "completion_queue.h"
#include "contexts.h"
#include "counter.h"
#include "deferred_work.h"
#include "domain.h"
#include "efa_ops.h"
#include "endpoint.h"
#include "event_queue.h"
#include "fabric.h"
#include "handle.h"
#include "info.h"
#include "libfabric.h"
#include "log_import.h"
#include "loop_watch.h"
#include "memory.h"
#include "memory_region.h"
#include "message.h"
#include "multicast.h"
#include "options.h"
#include "passive_endpoint.h"
#include "poll_set.h"
#include "profile.h"
#include "rdma_core.h"
#include "shm_janitor.h"
#include "wait_set.h"

namespace ofi {

namespace {

// A detached thread may still run in the addon when the last worker that loaded it ends: it is never unloaded.
void stay_loaded() {
  Dl_info self{};
  if (dladdr(reinterpret_cast<void*>(&stay_loaded), &self) != 0)
    dlopen(self.dli_fname, RTLD_NOW | RTLD_NODELETE | RTLD_NOLOAD);
}

// process.exit() and a crash of the main thread run no cleanup hook. No thread may be in libfabric when its
// destructors run.
void stop_engines_at_exit() {
  static const bool registered = std::atexit([] { Engine::stop_all(500); }) == 0;
  static_cast<void>(registered);
}

// load(useLoop): what library was found, or why none.
Napi::Value load(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Environment& environment = Environment::of(info);
  const Library& found = library();
  auto result = Napi::Object::New(env);
  result.Set("available", Napi::Boolean::New(env, found.available));
  result.Set("path", Napi::String::New(env, found.path));
  result.Set("version", Napi::Number::New(env, found.version));
  result.Set("apiVersion", Napi::Number::New(env, found.api_version));
  result.Set("reason", Napi::String::New(env, found.reason));
  auto copies = Napi::Array::New(env);
  for (uint32_t i = 0; i < found.other_copies.size(); ++i)
    copies.Set(i, Napi::String::New(env, found.other_copies[i]));
  result.Set("otherCopies", copies);
  result.Set("forkNeedsSupport", Napi::Boolean::New(env, found.fork_needs_support));
  // After libfabric is loaded, so that this handler runs before the library's destructors.
  if (found.available) stop_engines_at_exit();
  if (found.available && environment.loop_watch() == nullptr && info[0].ToBoolean().Value())
    environment.loop_watch() = LoopWatch::create(env, &environment);
  return result;
}

// errorText(errno): fi_strerror(3).
Napi::Value error_text(const Napi::CallbackInfo& info) {
  const int32_t number = info[0].As<Napi::Number>().Int32Value();
  const char* text = library().available ? library().strerror(number) : nullptr;
  return Napi::String::New(info.Env(), text != nullptr ? text : "");
}

// environmentVariable(name): as C sees it. process.env of a worker is a copy.
Napi::Value environment_variable(const Napi::CallbackInfo& info) {
  const std::string name = info[0].As<Napi::String>().Utf8Value();
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? info.Env().Undefined() : Napi::String::New(info.Env(), value);
}

// efaReadsRemoteMemory(): undefined where there is no EFA device.
Napi::Value efa_reads_remote_memory(const Napi::CallbackInfo& info) {
  const RdmaRead answer =
      library().available ? rdma_read_of_efa_device(library().handle) : RdmaRead::kNoDevice;
  if (answer == RdmaRead::kNoDevice) return info.Env().Undefined();
  return Napi::Boolean::New(info.Env(), answer == RdmaRead::kYes);
}

// close(handle): resolves with a status.
Napi::Value close(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  return environment.close_object(environment.any(handle_argument(info, 0)));
}

// forget(handle): JavaScript lost it without closing it.
Napi::Value forget(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  const std::shared_ptr<Object> object = environment.any(handle_argument(info, 0));
  if (object != nullptr) environment.forget_object(object);
  return info.Env().Undefined();
}

// abandon(handle): its close, where one is under way, may never return.
Napi::Value abandon(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  const std::shared_ptr<Object> object = environment.any(handle_argument(info, 0));
  if (object != nullptr) environment.abandon_object(object);
  return info.Env().Undefined();
}

// dependants(handle): the kinds of the open objects that depend on it.
Napi::Value dependants(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Object> object = Environment::of(info).any(handle_argument(info, 0));
  auto list = Napi::Array::New(info.Env());
  if (object == nullptr) return list;
  uint32_t index = 0;
  for (const Object* dependant : object->dependants())
    list.Set(index++, Napi::String::New(info.Env(), dependant->name));
  return list;
}

Napi::Value set_wake(const Napi::CallbackInfo& info) {
  Environment::of(info).set_wake(info[0].As<Napi::Function>());
  return info.Env().Undefined();
}

// keepAlive(references): how many open endpoints keep the process from ending.
Napi::Value keep_alive(const Napi::CallbackInfo& info) {
  Environment::of(info).set_keep_alive(info[0].As<Napi::Number>().Int32Value());
  return info.Env().Undefined();
}

Napi::Value shut_down(const Napi::CallbackInfo& info) {
  Environment::of(info).shut_down();
  return info.Env().Undefined();
}

struct Teardown {
  Environment* environment;
  napi_async_cleanup_hook_handle hook = nullptr;
};

// Closes everything, then waits for libuv to let go of the loop's handles: a worker whose loop still has some aborts.
void clean_up(napi_async_cleanup_hook_handle hook, void* data) {
  auto* teardown = static_cast<Teardown*>(data);
  teardown->hook = hook;
  teardown->environment->shut_down();
  auto finish = [](void* argument) {
    auto* done = static_cast<Teardown*>(argument);
    const napi_async_cleanup_hook_handle handle = done->hook;
    delete done->environment;
    delete done;
    napi_remove_async_cleanup_hook(handle);
  };
  if (teardown->environment->loop_watch() != nullptr)
    teardown->environment->loop_watch()->when_closed(finish, teardown);
  else
    finish(teardown);
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  stay_loaded();
  auto* environment = new Environment(env);
  napi_add_async_cleanup_hook(env, clean_up, new Teardown{environment}, nullptr);
  define(exports, "load", load, environment);
  define(exports, "errorText", error_text, environment);
  define(exports, "environmentVariable", environment_variable, environment);
  define(exports, "efaReadsRemoteMemory", efa_reads_remote_memory, environment);
  define(exports, "close", close, environment);
  define(exports, "forget", forget, environment);
  define(exports, "abandon", abandon, environment);
  define(exports, "dependants", dependants, environment);
  define(exports, "setWake", set_wake, environment);
  define(exports, "keepAlive", keep_alive, environment);
  define(exports, "shutDown", shut_down, environment);
  register_info(exports, environment);
  register_about(exports, environment);
  register_log_import(exports, environment);
  register_fabric(exports, environment);
  register_domain(exports, environment);
  register_event_queue(exports, environment);
  register_completion_queue(exports, environment);
  register_counter(exports, environment);
  register_wait_set(exports, environment);
  register_av_set(exports, environment);
  register_collective(exports, environment);
  register_poll_set(exports, environment);
  register_address_vector(exports, environment);
  register_memory(exports, environment);
  register_memory_region(exports, environment);
  register_endpoint(exports, environment);
  register_contexts(exports, environment);
  register_options(exports, environment);
  register_efa_ops(exports, environment);
  register_passive_endpoint(exports, environment);
  register_connection(exports, environment);
  register_message(exports, environment);
  register_message_vector(exports, environment);
  register_tagged(exports, environment);
  register_rma(exports, environment);
  register_rma_vector(exports, environment);
  register_atomic(exports, environment);
  register_atomic_vector(exports, environment);
  register_deferred_work(exports, environment);
  register_multicast(exports, environment);
  register_profile(exports, environment);
  register_shm_janitor(exports, environment);
  return exports;
}

}  // namespace

NODE_API_MODULE(libfabric, initialize)

}  // namespace ofi
