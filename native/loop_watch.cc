#include "loop_watch.h"

#include <dlfcn.h>
#include <uv.h>

#include <algorithm>
#include <vector>

#include "environment.h"

namespace ofi {

namespace {

// How often in a row a queue's file descriptor may wake the loop for nothing before it is no longer watched.
constexpr uint32_t kVainWakesAllowed = 1'000;

struct UvFunctions {
  decltype(&::uv_prepare_init) prepare_init;
  decltype(&::uv_prepare_start) prepare_start;
  decltype(&::uv_idle_init) idle_init;
  decltype(&::uv_idle_start) idle_start;
  decltype(&::uv_idle_stop) idle_stop;
  decltype(&::uv_timer_init) timer_init;
  decltype(&::uv_timer_start) timer_start;
  decltype(&::uv_poll_init) poll_init;
  decltype(&::uv_poll_start) poll_start;
  decltype(&::uv_poll_stop) poll_stop;
  decltype(&::uv_close) close;
  decltype(&::uv_unref) unref;
  decltype(&::napi_get_uv_event_loop) get_loop;
};

template <typename Function>
bool look_up(const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
  return function != nullptr;
}

const UvFunctions* uv() {
  static UvFunctions functions;
  static const bool complete =
      look_up("uv_prepare_init", functions.prepare_init) &&
      look_up("uv_prepare_start", functions.prepare_start) && look_up("uv_idle_init", functions.idle_init) &&
      look_up("uv_idle_start", functions.idle_start) && look_up("uv_idle_stop", functions.idle_stop) &&
      look_up("uv_timer_init", functions.timer_init) && look_up("uv_timer_start", functions.timer_start) &&
      look_up("uv_poll_init", functions.poll_init) && look_up("uv_poll_start", functions.poll_start) &&
      look_up("uv_poll_stop", functions.poll_stop) && look_up("uv_close", functions.close) &&
      look_up("uv_unref", functions.unref) && look_up("napi_get_uv_event_loop", functions.get_loop);
  return complete ? &functions : nullptr;
}

template <typename Handle>
uv_handle_t* as_handle(Handle* handle) {
  return reinterpret_cast<uv_handle_t*>(handle);
}

}  // namespace

// Outlives the LoopWatch until libuv has closed the handles.
struct LoopWatch::State {
  struct Watched {
    uv_poll_t poll;
    Engine* engine;
    State* state;
    bool polling;
    uint32_t vain_wakes;
  };

  Environment* environment = nullptr;
  uv_loop_t* loop = nullptr;
  uv_prepare_t prepare;
  uv_idle_t idle;
  uv_timer_t timer;
  std::vector<Watched*> watched;
  bool idling = false;
  bool stopped = false;
  bool owned = true;
  int open_handles = 0;
  void (*done)(void*) = nullptr;
  void* done_data = nullptr;

  void close(uv_handle_t* handle, uv_close_cb callback) { uv()->close(handle, callback); }

  void handle_closed() {
    --open_handles;
    maybe_finish();
  }

  void maybe_finish() {
    if (open_handles != 0) return;
    if (done != nullptr) {
      auto* call = done;
      done = nullptr;
      call(done_data);  // may end in ~LoopWatch, which deletes this
      return;
    }
    if (!owned) delete this;
  }

  void set_idle(bool wanted) {
    if (wanted == idling) return;
    idling = wanted;
    // A running idle handle keeps the loop from blocking.
    if (wanted)
      uv()->idle_start(&idle, [](uv_idle_t*) {});
    else
      uv()->idle_stop(&idle);
  }

  void before_block() {
    environment->budget().refill();
    bool run_script = false;
    bool stay_awake = false;
    uint64_t timed_ms = 0;
    const uint64_t now = monotonic_ns();
    for (Watched* entry : watched) {
      switch (entry->engine->before_sleep(now)) {
        case Rest::HasRecords: run_script = true; break;
        case Rest::StayAwake: stay_awake = true; break;
        case Rest::SleepTimed:
          timed_ms = std::max<uint64_t>(1, entry->engine->options().max_sleep_ns / 1'000'000);
          break;
        case Rest::Sleep: break;
      }
    }
    set_idle(run_script || stay_awake);
    if (timed_ms != 0) uv()->timer_start(&timer, [](uv_timer_t*) {}, timed_ms, 0);
    // Last: the script may open and close engines.
    if (run_script) environment->notify_script();
  }
};

std::unique_ptr<LoopWatch> LoopWatch::create(napi_env env, Environment* environment) {
  if (uv() == nullptr) return nullptr;
  uv_loop_t* loop = nullptr;
  if (uv()->get_loop(env, &loop) != napi_ok || loop == nullptr) return nullptr;
  auto* state = new State();
  state->environment = environment;
  state->loop = loop;
  uv()->prepare_init(loop, &state->prepare);
  uv()->idle_init(loop, &state->idle);
  uv()->timer_init(loop, &state->timer);
  state->prepare.data = state->idle.data = state->timer.data = state;
  state->open_handles = 3;
  uv()->prepare_start(&state->prepare,
                      [](uv_prepare_t* handle) { static_cast<State*>(handle->data)->before_block(); });
  // What keeps the process alive is the program's open endpoints (Environment::set_keep_alive), not these.
  for (uv_handle_t* handle : {as_handle(&state->prepare), as_handle(&state->idle), as_handle(&state->timer)})
    uv()->unref(handle);
  return std::unique_ptr<LoopWatch>(new LoopWatch(state));
}

LoopWatch::~LoopWatch() {
  stop();
  state_->owned = false;
  state_->environment = nullptr;
  if (state_->open_handles == 0) delete state_;
}

void LoopWatch::add(Engine* engine) {
  auto* entry = new State::Watched{};
  entry->engine = engine;
  entry->state = state_;
  entry->poll.data = entry;
  if (engine->loop_watches_fd() && uv()->poll_init(state_->loop, &entry->poll, engine->wait_fd()) == 0) {
    entry->polling = true;
    ++state_->open_handles;
    uv()->poll_start(&entry->poll, UV_READABLE, [](uv_poll_t* handle, int, int) {
      auto* self = static_cast<State::Watched*>(handle->data);
      if (self->engine == nullptr) return;
      if (self->engine->poll(0, nullptr) != 0) {
        self->vain_wakes = 0;
        self->state->environment->notify_script();
      } else if (++self->vain_wakes == kVainWakesAllowed) {
        // A file descriptor that stays readable would keep the loop from ever sleeping: the thread looks instead.
        uv()->poll_stop(handle);
        self->engine->distrust_fd();
      }
    });
    uv()->unref(as_handle(&entry->poll));
  }
  state_->watched.push_back(entry);
}

void LoopWatch::remove(Engine* engine) {
  auto& watched = state_->watched;
  const auto found =
      std::find_if(watched.begin(), watched.end(), [engine](auto* entry) { return entry->engine == engine; });
  if (found == watched.end()) return;
  State::Watched* entry = *found;
  watched.erase(found);
  entry->engine = nullptr;
  if (!entry->polling) {
    delete entry;
    return;
  }
  state_->close(as_handle(&entry->poll), [](uv_handle_t* handle) {
    auto* self = static_cast<State::Watched*>(handle->data);
    State* state = self->state;
    delete self;
    state->handle_closed();
  });
}

void LoopWatch::stop() {
  if (state_->stopped) return;
  state_->stopped = true;
  while (!state_->watched.empty()) remove(state_->watched.back()->engine);
  for (uv_handle_t* handle :
       {as_handle(&state_->prepare), as_handle(&state_->idle), as_handle(&state_->timer)})
    state_->close(handle, [](uv_handle_t* closed) { static_cast<State*>(closed->data)->handle_closed(); });
}

void LoopWatch::when_closed(void (*done)(void*), void* data) {
  state_->done = done;
  state_->done_data = data;
  if (state_->open_handles == 0) state_->maybe_finish();
}

}  // namespace ofi
