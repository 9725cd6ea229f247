#include "environment.h"

#include <unistd.h>

#include <algorithm>
#include <system_error>
#include <thread>

#include "descriptors.h"
#include "endpoint.h"
#include "log_sink.h"
#include "loop_watch.h"
#include "signal_mask.h"

namespace ofi {

namespace {
// The bound on everything that the end of an environment waits for.
constexpr uint32_t kShutDownMs = 3'000;
}  // namespace

Environment::Environment(Napi::Env env)
    : env_(env), mailbox_(std::make_shared<Mailbox>()), registers_(MemoryBlock::allocate(sizeof(Registers))) {
  if (!registers_) throw Napi::Error::New(env, "libfabric: no memory for the addon's registers");
  mailbox_->open(env, this);
  budget_.refill();
}

Environment::~Environment() { shut_down(); }

// ---- handles

uint32_t Environment::add(const std::shared_ptr<Object>& object) {
  if (any(object->handle) == object) return object->handle;
  uint32_t index = 0;
  if (free_entries_.empty()) {
    index = static_cast<uint32_t>(entries_.size());
    if (index > kIndexMask) throw Napi::Error::New(env_, "libfabric: more than 262143 objects are open");
    entries_.emplace_back();
    entries_[index].handle = index;
  } else {
    index = free_entries_.back();
    free_entries_.pop_back();
  }
  Entry& entry = entries_[index];
  // The generation changes with each use of an entry, so that a stale handle finds nothing.
  const uint32_t generation = ((entry.handle >> kIndexBits) + 1) % kGenerations;
  entry.handle = (generation << kIndexBits) | index;
  entry.kind = object->kind;
  entry.object = object;
  object->handle = entry.handle;
  return entry.handle;
}

void Environment::remove(const std::shared_ptr<Object>& object) {
  const uint32_t index = object->handle & kIndexMask;
  if (index >= entries_.size() || entries_[index].object != object) return;
  entries_[index].object.reset();
  entries_[index].kind = Kind::None;
  free_entries_.push_back(index);
}

std::shared_ptr<Object> Environment::any(uint32_t handle) const {
  const uint32_t index = handle & kIndexMask;
  if (index >= entries_.size() || entries_[index].handle != handle) return nullptr;
  return entries_[index].object;
}

// ---- blocking calls

std::shared_ptr<BlockingCall> Environment::run_blocking(std::function<int()> work,
                                                        std::function<void(Environment&, int)> done) {
  auto call = std::make_shared<BlockingCall>();
  ++blocking_calls_;
  update_keep_alive();
  auto threads = blocking_threads_;
  threads->fetch_add(1);
  auto returned = [call](Environment& environment) {
    if (!call->keeps_alive) return;
    call->keeps_alive = false;
    --environment.blocking_calls_;
    environment.update_keep_alive();
  };
  auto body = [mailbox = mailbox_, work = std::move(work), done, threads, call, returned]() mutable {
    const int status = work();
    work = nullptr;
    close_descriptors_on_exec();
    mailbox->post([done = std::move(done), status, returned](Environment& environment) {
      returned(environment);
      done(environment, status);
    });
    if (call->waited_for.exchange(false)) threads->fetch_sub(1);
  };
  const SignalsBlocked blocked;
  try {
    std::thread(std::move(body)).detach();
  } catch (const std::system_error&) {
    if (call->waited_for.exchange(false)) threads->fetch_sub(1);
    mailbox_->post([done = std::move(done), returned](Environment& environment) {
      returned(environment);
      done(environment, -FI_ENOMEM);
    });
  }
  return call;
}

Napi::Value Environment::status_of(const std::shared_ptr<Object>& held, std::function<int()> work) {
  auto deferred = std::make_shared<Napi::Promise::Deferred>(env_);
  run_blocking(std::move(work), [held, deferred](Environment& environment, int status) {
    deferred->Resolve(Napi::Number::New(environment.env(), status));
  });
  return deferred->Promise();
}

Napi::Value Environment::open_object(const std::shared_ptr<Object>& object,
                                     const std::vector<std::shared_ptr<Object>>& parents,
                                     std::function<int()> work) {
  auto deferred = std::make_shared<Napi::Promise::Deferred>(env_);
  if (shut_down_) {
    deferred->Resolve(Napi::Number::New(env_, kClosed));
    return deferred->Promise();
  }
  for (const auto& parent : parents) object->depend_on(parent);
  run_blocking(std::move(work), [object, deferred](Environment& environment, int status) {
    if (status == 0) {
      object->phase = Phase::Open;
      deferred->Resolve(Napi::Number::New(environment.env(), environment.add(object)));
      return;
    }
    object->phase = Phase::Closed;
    object->detach_all();
    environment.remove(object);
    deferred->Resolve(Napi::Number::New(environment.env(), status));
  });
  return deferred->Promise();
}

void Environment::begin_close(const std::shared_ptr<Object>& object,
                              std::function<void(Environment&, int)> done) {
  object->phase = Phase::Closing;
  object->before_close();
  auto work = [object] {
    const int status = object->close_blocking();
    return status;
  };
  object->closing =
      run_blocking(work, [object, done = std::move(done)](Environment& environment, int status) {
        environment.finish_close(object, status);
        if (done) done(environment, status);
      });
}

void Environment::finish_close(const std::shared_ptr<Object>& object, int status) {
  object->closing = nullptr;
  if (status != 0) {
    // The provider kept it (EBUSY after a peer died): it may be tried again.
    object->phase = Phase::Open;
    object->after_failed_close();
    return;
  }
  object->after_close();
  object->phase = Phase::Closed;
  const std::vector<std::shared_ptr<Object>> parents = object->parents();
  object->detach_all();
  remove(object);
  for (const auto& parent : parents)
    if (parent->forgotten) forget_object(parent);
}

Napi::Value Environment::close_object(const std::shared_ptr<Object>& object) {
  auto deferred = std::make_shared<Napi::Promise::Deferred>(env_);
  auto answer = [deferred](Environment& environment, int status) {
    deferred->Resolve(Napi::Number::New(environment.env(), status));
  };
  if (object == nullptr || object->phase == Phase::Closed || shut_down_) {
    answer(*this, kOk);
  } else if (object->phase != Phase::Open) {
    answer(*this, kClosed);
  } else if (!object->dependants().empty()) {
    answer(*this, kBusy);
  } else if (const int refusal = object->refuse_close(); refusal != 0) {
    answer(*this, refusal);
  } else {
    begin_close(object, answer);
  }
  return deferred->Promise();
}

void Environment::forget_object(const std::shared_ptr<Object>& object) {
  object->forgotten = true;
  if (shut_down_ || object->phase != Phase::Open || !object->dependants().empty()) return;
  if (object->refuse_close() != 0) return;
  begin_close(object, nullptr);
}

void Environment::abandon_object(const std::shared_ptr<Object>& object) {
  object->leaked = true;
  const std::shared_ptr<BlockingCall> call = object->closing;
  if (call == nullptr) return;
  if (call->waited_for.exchange(false)) blocking_threads_->fetch_sub(1);
  if (!call->keeps_alive) return;
  call->keeps_alive = false;
  --blocking_calls_;
  update_keep_alive();
}

// ---- script

void Environment::set_wake(Napi::Function wake) { wake_ = Napi::Persistent(wake); }

void Environment::notify_script() { call_script(wake_); }

void Environment::set_log_listener(Napi::Function listener) { log_listener_ = Napi::Persistent(listener); }

void Environment::notify_log() { call_script(log_listener_); }

void Environment::call_script(const Napi::FunctionReference& function) {
  if (function.IsEmpty() || shut_down_) return;
  const Napi::HandleScope scope(env_);
  // MakeCallback, so that microtasks run after it. An exception of the program's own goes where Node sends it.
  napi_value result = nullptr;
  napi_make_callback(env_, nullptr, env_.Global(), function.Value(), 0, nullptr, &result);
}

void Environment::set_keep_alive(int32_t references) {
  script_references_ = references;
  update_keep_alive();
}

void Environment::update_keep_alive() {
  const bool wanted = script_references_ > 0 || blocking_calls_ > 0;
  if (wanted == keeping_alive_) return;
  keeping_alive_ = wanted;
  mailbox_->set_keep_alive(wanted);
}

// ---- the end

namespace {

void leave(Object& object) {
  object.leaked = true;
  for (const auto& parent : object.parents())
    if (!parent->leaked) leave(*parent);
}

// An endpoint whose memory another thread's endpoint may look at stays for the life of the process, and so does what the
// provider would use later.
void leave_needed(const std::vector<std::shared_ptr<Object>>& objects) {
  // sockets looks at a null pointer where the peer of such an operation ends, which may be any of these.
  const bool stays_sending = std::any_of(objects.begin(), objects.end(), [](const auto& object) {
    return object->phase == Phase::Open && object->refuse_close() == kUnfinished;
  });
  for (const auto& object : objects) {
    const bool is_needed = object->kind == Kind::Endpoint &&
                           (stays_sending || static_cast<const EndpointObject&>(*object).is_needed());
    if (is_needed || (object->phase == Phase::Open && object->refuse_close() != 0)) leave(*object);
  }
}

}  // namespace

void Environment::shut_down() {
  if (shut_down_) return;
  shut_down_ = true;
  mailbox_->close();
  LogSink::instance().stop(this);
  if (loop_watch_) loop_watch_->stop();
  std::vector<std::shared_ptr<Object>> objects;
  for (const Entry& entry : entries_)
    if (entry.object != nullptr) objects.push_back(entry.object);
  for (const auto& object : objects) object->before_close();
  // Endpoints first, since the provider writes into memory through them; then whatever depends on nothing else.
  auto rank = [](const std::shared_ptr<Object>& object) {
    switch (object->kind) {
      // These close before the endpoint that they are of.
      case Kind::MulticastGroup:
      case Kind::Profile: return -2;
      case Kind::PassiveEndpoint: return 0;
      // Parts of one before it, and what several share after them.
      case Kind::Endpoint: return static_cast<const EndpointObject&>(*object).rank_at_end();
      case Kind::SharedTransmit:
      case Kind::CollectiveGroup:
      case Kind::PollSet:
      case Kind::MemoryRegion: return 1;
      case Kind::AvSet:
      case Kind::CompletionQueue: return 2;
      case Kind::Counter:
      case Kind::AddressVector: return 3;
      case Kind::WaitSet:
      case Kind::Domain: return 4;
      case Kind::EventQueue: return 5;
      case Kind::Fabric: return 6;
      default: return 7;
    }
  };
  std::stable_sort(objects.begin(), objects.end(),
                   [rank](const auto& left, const auto& right) { return rank(left) < rank(right); });
  leave_needed(objects);
  const uint64_t deadline = monotonic_ns() + kShutDownMs * 1'000'000ULL;
  auto finished = std::make_shared<std::atomic<bool>>(false);
  auto threads = blocking_threads_;
  const SignalsBlocked blocked;
  // On a thread, because the provider may never return. Calls that were under way come first: they own what they open.
  std::thread closer([objects, finished, threads, deadline] {
    while (threads->load() > 0 && monotonic_ns() < deadline) usleep(100);
    // What is still opening has opened by then, or failed: only nobody was told.
    if (threads->load() == 0)
      for (const auto& object : objects)
        if (object->phase <= Phase::Open && !object->leaked) object->close_blocking();
    finished->store(true);
  });
  while (!finished->load() && monotonic_ns() < deadline) usleep(100);
  if (finished->load() && threads->load() == 0) {
    closer.join();
  } else {
    closer.detach();
    for (const auto& object : objects) object->leaked = true;
  }
  // What hangs in the provider stays, with everything it uses, until the process ends.
  for (const auto& object : objects)
    if (object->leaked) new std::shared_ptr<Object>(object);
  for (const auto& object : objects) {
    object->phase = Phase::Closed;
    if (!object->leaked) object->detach_all();
  }
  entries_.clear();
  free_entries_.clear();
}

}  // namespace ofi
