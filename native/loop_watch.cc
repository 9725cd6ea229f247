#include "loop_watch.h"

#include <dlfcn.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <uv.h>

#include <algorithm>
#include <vector>

#include "environment.h"

namespace ofi {

namespace {

// How often in a row a queue's file descriptor may wake the loop for nothing before its state is no longer believed.
constexpr uint32_t kVainWakesAllowed = 100;
// For how long it is not believed then. It may well have told the truth otherwise: a connection that is being made keeps
// the one of net and rxm readable. So it is tried again, more and more rarely where that is in vain. One that told the
// truth for longer than it was last not believed lied for a new reason.
constexpr uint64_t kShortestDistrustNs = 10'000'000;
constexpr uint64_t kLongestDistrustNs = 2'000'000'000;

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
  decltype(&::uv_backend_timeout) backend_timeout;
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
      look_up("uv_unref", functions.unref) && look_up("uv_backend_timeout", functions.backend_timeout) &&
      look_up("napi_get_uv_event_loop", functions.get_loop);
  return complete ? &functions : nullptr;
}

bool is_quiet(int fd) {
  pollfd state{fd, POLLIN, 0};
  return ::poll(&state, 1, 0) == 0;
}

template <typename Handle>
uv_handle_t* as_handle(Handle* handle) {
  return reinterpret_cast<uv_handle_t*>(handle);
}

}  // namespace

// Outlives the LoopWatch until libuv has closed the handles.
struct LoopWatch::State {
  struct Watched {
    Watched(Engine* engine, State* state) : engine(engine), state(state) {}
    Watched(const Watched&) = delete;
    Watched& operator=(const Watched&) = delete;
    ~Watched() {
      if (events_fd >= 0) ::close(events_fd);
    }
    Engine* engine;
    State* state;
    // What libuv watches: the queue's file descriptor, or, in its stead, an epoll that tells its events alone.
    uv_poll_t poll{};
    uv_poll_t events{};
    int events_fd = -1;
    int open_handles = 0;
    uint32_t vain_wakes = 0;
    uint64_t distrust_ns = kShortestDistrustNs;
    uint64_t believed_again_ns = 0;  // 0 while it is believed
    uint64_t believed_since_ns = 0;

    bool watch(uv_poll_t* handle, int fd);
    static void start(uv_poll_t* handle);
    void watch_events();
    void believe_again();
    void woken(uv_poll_t* handle);
    void close();
  };

  Environment* environment = nullptr;
  uv_loop_t* loop = nullptr;
  uv_prepare_t prepare;
  uv_idle_t idle;
  uv_timer_t timer;
  std::vector<Watched*> watched;
  bool idling = false;
  // Whether the engines let the loop block this time.
  bool may_block = false;
  bool stopped = false;
  bool owned = true;
  int open_handles = 0;
  void (*done)(void*) = nullptr;
  void* done_data = nullptr;

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

  // Whether the loop turns on at once whatever the engines say: immediates wait, or handles close. Also said where libuv has
  // something to watch from now on, so that it is no promise.
  bool turns_anyway() {
    set_idle(false);
    return uv()->backend_timeout(loop) == 0;
  }

  void before_block() {
    environment->budget().refill();
    const bool turns = turns_anyway();
    bool run_script = false;
    bool stay_awake = false;
    uint64_t timed_ms = UINT64_MAX;
    const uint64_t now = monotonic_ns();
    for (Watched* entry : watched) {
      if (now >= entry->believed_again_ns) entry->believe_again();
      switch (entry->engine->before_sleep(now, turns)) {
        case Rest::HasRecords: run_script = true; break;
        case Rest::StayAwake: stay_awake = true; break;
        case Rest::SleepTimed:
          timed_ms = std::min(timed_ms, std::max<uint64_t>(1, entry->engine->longest_pause_ns() / 1'000'000));
          break;
        case Rest::Sleep: break;
      }
    }
    may_block = !run_script && !stay_awake;
    set_idle(!may_block);
    if (timed_ms != UINT64_MAX) uv()->timer_start(&timer, [](uv_timer_t*) {}, timed_ms, 0);
    // Last: the script may open and close engines.
    if (run_script) environment->notify_script();
  }
};

bool LoopWatch::State::Watched::watch(uv_poll_t* handle, int fd) {
  if (uv()->poll_init(state->loop, handle, fd) != 0) return false;
  handle->data = this;
  ++open_handles;
  ++state->open_handles;
  start(handle);
  uv()->unref(as_handle(handle));
  return true;
}

void LoopWatch::State::Watched::start(uv_poll_t* handle) {
  uv()->poll_start(handle, UV_READABLE, [](uv_poll_t* readable, int, int) {
    static_cast<Watched*>(readable->data)->woken(readable);
  });
}

// A file descriptor that stays readable would keep the loop from ever sleeping. Its state told nothing; that something
// happens at it still does.
void LoopWatch::State::Watched::watch_events() {
  engine->trust_fd(false);
  const uint64_t now = monotonic_ns();
  const bool was_in_vain = now - believed_since_ns < distrust_ns;
  distrust_ns = was_in_vain ? std::min(distrust_ns * 2, kLongestDistrustNs) : kShortestDistrustNs;
  believed_again_ns = now + distrust_ns;
  uv()->poll_stop(&poll);
  if (open_handles == 2) start(&events);
  if (events_fd >= 0) return;
  events_fd = epoll_create1(EPOLL_CLOEXEC);
  if (events_fd < 0) return;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  if (epoll_ctl(events_fd, EPOLL_CTL_ADD, engine->wait_fd(), &event) == 0) watch(&events, events_fd);
}

void LoopWatch::State::Watched::believe_again() {
  if (believed_again_ns == 0) return;
  believed_again_ns = 0;
  believed_since_ns = monotonic_ns();
  vain_wakes = 0;
  engine->trust_fd(true);
  if (open_handles == 2) uv()->poll_stop(&events);
  start(&poll);
}

void LoopWatch::State::Watched::woken(uv_poll_t* handle) {
  if (engine == nullptr) return;
  if (handle == &events) {
    // Before the queue is read: what happens afterwards wakes again.
    epoll_event event{};
    epoll_wait(events_fd, &event, 1, 0);
  }
  if (engine->poll(0, nullptr) != 0) {
    vain_wakes = 0;
    state->environment->notify_script();
  } else if (handle == &poll && state->may_block) {
    // A loop that stays awake does not clear the file descriptor: only one that wakes a sleeper is to blame.
    if (is_quiet(engine->wait_fd())) {
      // What woke it was dealt with, and brings no completion: peers read or write this process's memory, or connect.
      vain_wakes = 0;
      engine->note_traffic();
    } else if (++vain_wakes == kVainWakesAllowed) {
      watch_events();
    }
  } else if (handle == &events && engine->lends_memory()) {
    // Peers may keep it readable for as long as they read and write; then events go on too.
    believe_again();
    engine->note_traffic();
  }
}

void LoopWatch::State::Watched::close() {
  engine = nullptr;
  const uv_close_cb closed = [](uv_handle_t* handle) {
    auto* self = static_cast<Watched*>(handle->data);
    State* of = self->state;
    if (--self->open_handles == 0) delete self;
    of->handle_closed();
  };
  switch (open_handles) {
    case 0: delete this; return;
    case 2: uv()->close(as_handle(&events), closed); [[fallthrough]];
    default: uv()->close(as_handle(&poll), closed);
  }
}

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
  auto* entry = new State::Watched(engine, state_);
  if (engine->loop_watches_fd() && !entry->watch(&entry->poll, engine->wait_fd())) engine->trust_fd(false);
  state_->watched.push_back(entry);
}

void LoopWatch::remove(Engine* engine) {
  auto& watched = state_->watched;
  const auto found =
      std::find_if(watched.begin(), watched.end(), [engine](auto* entry) { return entry->engine == engine; });
  if (found == watched.end()) return;
  State::Watched* entry = *found;
  watched.erase(found);
  entry->close();
}

void LoopWatch::stop() {
  if (state_->stopped) return;
  state_->stopped = true;
  while (!state_->watched.empty()) remove(state_->watched.back()->engine);
  for (uv_handle_t* handle :
       {as_handle(&state_->prepare), as_handle(&state_->idle), as_handle(&state_->timer)})
    uv()->close(handle, [](uv_handle_t* closed) { static_cast<State*>(closed->data)->handle_closed(); });
}

void LoopWatch::when_closed(void (*done)(void*), void* data) {
  state_->done = done;
  state_->done_data = data;
  if (state_->open_handles == 0) state_->maybe_finish();
}

}  // namespace ofi
