#include "completion_queue.h"

#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "event_queue.h"
#include "handle.h"
#include "loop_watch.h"
#include "memory.h"

namespace ofi {

namespace {

constexpr uint32_t kEngineStopMs = 2'000;
// Between two looks at the clock.
constexpr uint32_t kLooksOfSpin = 8;

// The wait object that was really granted: what was asked for may have been ignored.
void ask_wait_object(CompletionQueueObject& object) {
  fi_wait_obj granted = FI_WAIT_NONE;
  if (object.wait_set != nullptr)
    granted = FI_WAIT_SET;
  else if (fi_control(&object.fid->fid, FI_GETWAITOBJ, &granted) != 0)
    granted = object.wait_object;
  object.wait_object = granted;
  if (object.wait_object == FI_WAIT_NONE) return;
  int fd = -1;
  fid* source = object.wait_set != nullptr ? &object.wait_set->fid : &object.fid->fid;
  if (fi_control(source, FI_GETWAIT, &fd) == 0) object.wait_fd = fd;
}

// A wait set of the fabric's, for FI_WAIT_SET (fi_wait_open(3)).
int open_wait_set(CompletionQueueObject& object, CqAttributes& attributes) {
  if (!OFI_HAS_OP(object.fabric->ops, fi_ops_fabric, wait_open)) return -FI_ENOSYS;
  if (object.shared_wait_set != nullptr) {
    object.wait_set = object.shared_wait_set->fid;
    attributes.attr.wait_set = object.wait_set;
    return 0;
  }
  auto wait = zeroed<fi_wait_attr>();
  wait.wait_obj = FI_WAIT_FD;
  const int status = fi_wait_open(object.fabric, &wait, &object.wait_set);
  if (status != 0) return status;
  attributes.attr.wait_set = object.wait_set;
  return 0;
}

int open_queue(CompletionQueueObject& object, uint32_t size, fi_cq_format format, fi_wait_obj wait) {
  CqAttributes attributes = zeroed<CqAttributes>();
  attributes.attr.size = size;
  attributes.attr.format = format;
  attributes.attr.wait_obj = wait;
  int status = wait == FI_WAIT_SET ? open_wait_set(object, attributes) : 0;
  if (status == 0) status = fi_cq_open(object.domain, &attributes.attr, &object.fid, &object);
  if (status != 0) {
    object.close_wait_set();
    return status;
  }
  object.wait_object = wait;
  if (wait != FI_WAIT_NONE) ask_wait_object(object);
  object.ring = std::make_unique<CompletionRing>(object.ring_block.get(), object.operations.capacity());
  object.reader = std::make_unique<CompletionReader>(object.fid, format, object.operations, *object.ring);
  return 0;
}

// openCompletionQueue(domain, capacity, format, waitObject, waitSet | -1): fi_cq_open(3). The queue's context is its object,
// which fi_poll(3) gives.
Napi::Value open_completion_queue(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto domain = environment.open_shared<DomainObject>(handle_argument(info, 0));
  if (domain == nullptr) return resolved(info.Env(), kClosed);
  const uint32_t capacity = handle_argument(info, 1);
  const auto format = static_cast<fi_cq_format>(handle_argument(info, 2));
  const auto wait = static_cast<fi_wait_obj>(handle_argument(info, 3));
  auto object = std::make_shared<CompletionQueueObject>(capacity);
  if (!object->ring_block) return resolved(info.Env(), -FI_ENOMEM);
  object->domain = domain->fid;
  object->fabric = domain->fabric;
  object->lent_regions = domain->lent_regions;
  object->shared_wait_set = environment.open_shared<WaitSetObject>(handle_argument(info, 4));
  std::vector<std::shared_ptr<Object>> parents{domain};
  if (object->shared_wait_set != nullptr) parents.emplace_back(object->shared_wait_set);
  return environment.open_object(object, parents, [object, capacity, format, wait] {
    const int status = open_queue(*object, capacity, format, wait);
    if (status == 0 && object->shared_wait_set != nullptr) object->shared_wait_set->add(object);
    return status;
  });
}

// completionQueueMemory(queue): the ring's records as one ArrayBuffer.
Napi::Value completion_queue_memory(const Napi::CallbackInfo& info) {
  auto* object = Environment::of(info).open<CompletionQueueObject>(handle_argument(info, 0));
  return object == nullptr ? info.Env().Undefined() : block_buffer(info.Env(), object->ring_block.get());
}

// completionQueueWait(queue): { object, fd } as granted.
Napi::Value completion_queue_wait(const Napi::CallbackInfo& info) {
  auto* object = Environment::of(info).open<CompletionQueueObject>(handle_argument(info, 0));
  if (object == nullptr) return info.Env().Undefined();
  auto result = Napi::Object::New(info.Env());
  result.Set("object", Napi::Number::New(info.Env(), object->wait_object));
  result.Set("fd", Napi::Number::New(info.Env(), object->wait_fd));
  return result;
}

// completionText(queue, number): the provider's words for an error record.
Napi::Value completion_text(const Napi::CallbackInfo& info) {
  auto* object = Environment::of(info).open<CompletionQueueObject>(handle_argument(info, 0));
  const int32_t number = info[1].As<Napi::Number>().Int32Value();
  return Napi::String::New(info.Env(), object == nullptr ? "" : object->reader->take_text(number));
}

}  // namespace

uint32_t CompletionQueueObject::poll(uint32_t consumed, uint32_t max, uint32_t spin_ns, TurnBudget* budget,
                                     Until until) {
  ring->consume(consumed);
  if (!is_held()) read_for_program(spin_ns, budget, until);
  return ring->show(max);
}

void CompletionQueueObject::read_for_program(uint32_t spin_ns, TurnBudget* budget, Until until) {
  if (engine != nullptr) {
    engine->poll(spin_ns, budget, until);
    return;
  }
  look();
  if (spin_ns == 0 || ring->available() != 0) return;
  const uint64_t deadline = monotonic_ns() + spin_ns;
  while (ring->available() == 0 && monotonic_ns() < deadline) {
    pause_between_looks();
    look(kLooksOfSpin);
  }
}

// Where somebody else reads just now, such as the thread of a wait, that puts it into the ring too. Locked once for all looks,
// since locking costs as much as a look does.
void CompletionQueueObject::look(uint32_t times) {
  if (is_held() || !reader->try_lock()) return;
  for (uint32_t i = 0; i < times && !is_held(); ++i) {
    if (i != 0) pause_between_looks();
    reader->read(ring->room());
    if (ring->available() != 0) break;
  }
  reader->unlock();
}

int CompletionQueueObject::look_for_waiter() {
  const std::shared_lock<std::shared_mutex> held(use, std::try_to_lock);
  if (!held.owns_lock() || closing.load()) return kClosed;
  look();
  return ring->has_unseen() ? kOk : -FI_EAGAIN;
}

int CompletionQueueObject::wait(uint64_t timeout_ms) {
  constexpr uint32_t kShortestPauseUs = 10;
  constexpr uint32_t kLongestPauseUs = 1'000;
  const uint64_t deadline = monotonic_ns() + timeout_ms * 1'000'000;
  const uint32_t before = signals.load();
  for (uint32_t pause_us = kShortestPauseUs;; pause_us = std::min(pause_us * 2, kLongestPauseUs)) {
    const int status = look_for_waiter();
    if (status != -FI_EAGAIN) return status;
    if (signals.load() != before) return -FI_ECANCELED;
    if (monotonic_ns() >= deadline) return -FI_ETIMEDOUT;
    usleep(pause_us);
  }
}

namespace {

// pollQueue: queue, consumed, max, spinMicroseconds, budgeted. Gives back the records consumed since the last call, reads
// the queue, and answers how many records wait in the ring; the program looks at up to max of them.
napi_value poll_queue(napi_env env, napi_callback_info info) {
  const FastCall call(env, info);
  auto* object = call.environment().open<CompletionQueueObject>(call.u32(0));
  if (object == nullptr) return call.answer(kClosed);
  TurnBudget* budget = call.u32(4) != 0 ? &call.environment().budget() : nullptr;
  const uint32_t waiting = object->poll(call.u32(1), call.u32(2), call.u32(3) * 1'000, budget);
  return call.answer(static_cast<int32_t>(waiting));
}

// waitForCompletion(queue, timeoutMs): waits as fi_cq_sreadfrom(3), off the JavaScript thread. Resolves with a status.
Napi::Value wait_for_completion(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto object = environment.open_shared<CompletionQueueObject>(handle_argument(info, 0));
  if (object == nullptr) return resolved(info.Env(), kClosed);
  const auto timeout_ms = static_cast<uint64_t>(info[1].As<Napi::Number>().Int64Value());
  return environment.status_of(object, [object, timeout_ms] { return object->wait(timeout_ms); });
}

// signalCompletionQueue(queue): fi_cq_signal(3). A status.
Napi::Value signal_completion_queue(const Napi::CallbackInfo& info) {
  auto* object = Environment::of(info).open<CompletionQueueObject>(handle_argument(info, 0));
  if (object == nullptr) return Napi::Number::New(info.Env(), kClosed);
  object->signals.fetch_add(1);
  if (object->wait_object == FI_WAIT_NONE || !OFI_HAS_OP(object->fid->ops, fi_ops_cq, signal))
    return Napi::Number::New(info.Env(), kOk);
  const int status = fi_cq_signal(object->fid);
  return Napi::Number::New(info.Env(), status == -FI_ENOSYS ? kOk : status);
}

// startEngine(queue, eventQueue | -1, mode, sleepBy, spinMicroseconds, maxSleepMicroseconds): a status.
Napi::Value start_engine(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto object = environment.open_shared<CompletionQueueObject>(handle_argument(info, 0));
  if (object == nullptr) return Napi::Number::New(info.Env(), kClosed);
  if (object->engine != nullptr) return Napi::Number::New(info.Env(), kBusy);
  if (auto* events = environment.open<EventQueueObject>(handle_argument(info, 1)); events != nullptr)
    object->reader->set_event_queue(events->fid);
  EngineOptions options;
  options.mode = static_cast<EngineMode>(handle_argument(info, 2));
  options.sleep_by = static_cast<SleepBy>(handle_argument(info, 3));
  options.spin_ns = handle_argument(info, 4) * 1'000;
  options.max_sleep_ns = handle_argument(info, 5) * 1'000;
  options.lent_regions = object->lent_regions;
  options.loop_tells = environment.loop_watch() != nullptr;
  // Wait calls on a queue without a wait object crash in several providers.
  if (object->wait_fd < 0 && options.sleep_by == SleepBy::WaitFd) options.sleep_by = SleepBy::Backoff;
  // A wait on a set of several queues would look at others than this one, which are others' to read.
  const bool wait_is_shared = object->shared_wait_set != nullptr;
  if (object->wait_object == FI_WAIT_NONE || object->wait_is_lost || wait_is_shared)
    options.sleep_by = SleepBy::Backoff;
  const WaitFd wait{object->fabric, &object->fid->fid, object->wait_set, object->wait_fd};
  object->engine = std::make_unique<Engine>(*object->reader, wait, options,
                                            [mailbox = environment.mailbox()] { mailbox->wake(); });
  try {
    object->engine->start();
  } catch (const std::system_error&) {
    object->engine.reset();  // the system gives no thread
    return Napi::Number::New(info.Env(), -FI_EAGAIN);
  }
  if (environment.loop_watch() != nullptr) {
    object->watch = environment.loop_watch().get();
    object->watch->add(object->engine.get());
  }
  return Napi::Number::New(info.Env(), kOk);
}

// stopEngine(queue): a status. After it nothing of the engine's is in libfabric.
Napi::Value stop_engine(const Napi::CallbackInfo& info) {
  auto* object = Environment::of(info).open<CompletionQueueObject>(handle_argument(info, 0));
  if (object == nullptr) return Napi::Number::New(info.Env(), kClosed);
  object->stop_engine();
  // So that another may be started. One whose thread hangs in the provider stays.
  if (!object->leaked) object->engine.reset();
  return Napi::Number::New(info.Env(), kOk);
}

// engineCounters(queue): { threadReads, spinsMissed }.
Napi::Value engine_counters(const Napi::CallbackInfo& info) {
  auto* object = Environment::of(info).open<CompletionQueueObject>(handle_argument(info, 0));
  if (object == nullptr || object->engine == nullptr) return info.Env().Undefined();
  auto result = Napi::Object::New(info.Env());
  result.Set("threadReads",
             Napi::Number::New(info.Env(), static_cast<double>(object->engine->thread_reads())));
  result.Set("spinsMissed",
             Napi::Number::New(info.Env(), static_cast<double>(object->engine->loop_spins_missed())));
  return result;
}

}  // namespace

CompletionQueueObject::~CompletionQueueObject() {
  // A leaked object is never destroyed; anything else was stopped by before_close.
  if (engine != nullptr) engine->stop(0);
}

void CompletionQueueObject::before_close() {
  closing.store(true);
  stop_engine();
}

void CompletionQueueObject::stop_engine() {
  if (engine == nullptr) return;
  if (watch != nullptr) watch->remove(engine.get());
  watch = nullptr;
  if (!engine->stop(kEngineStopMs)) {
    // The thread hangs in the provider: all that it uses must stay.
    leaked = true;
    static_cast<void>(new std::shared_ptr<Object>(shared_from_this()));
  }
}

void CompletionQueueObject::count_endpoints(int32_t more) {
  endpoints_ += more;
  reader->allow_texts(endpoints_ != 0);
  reader->allow_reads(holds_ == 0 && (endpoints_ != 0 || !needs_endpoint_));
}

bool CompletionQueueObject::hold_reads() {
  {
    const std::lock_guard<std::mutex> guard(endpoints_mutex_);
    ++holds_;
    count_endpoints(0);
  }
  // Whoever began before comes to an end.
  if (!lock_reader()) {
    release_reads();
    return false;
  }
  reader->unlock();
  return true;
}

void CompletionQueueObject::release_reads() {
  const std::lock_guard<std::mutex> guard(endpoints_mutex_);
  --holds_;
  count_endpoints(0);
}

void CompletionQueueObject::add_endpoint(bool needs_it) {
  const std::lock_guard<std::mutex> guard(endpoints_mutex_);
  needs_endpoint_ = needs_endpoint_ || needs_it;
  count_endpoints(1);
}

void CompletionQueueObject::begin_closing_endpoint() {
  endpoints_closing.fetch_add(1);
  wait_is_lost = true;
  if (engine != nullptr) engine->give_up_waiting();
}

void CompletionQueueObject::end_closing_endpoint(bool closed) {
  if (closed) {
    const std::lock_guard<std::mutex> guard(endpoints_mutex_);
    count_endpoints(-1);
  }
  endpoints_closing.fetch_sub(1);
}

int CompletionQueueObject::close_blocking() {
  if (leaked) return -FI_EBUSY;
  if (reader != nullptr) reader->set_event_queue(nullptr);
  const std::unique_lock<std::shared_mutex> alone(use);
  const int status = FidObject::close_blocking();
  if (status == 0) close_wait_set();
  // It may be tried again.
  if (status != 0) closing.store(false);
  return status;
}

// After the queue: it is busy while the queue uses it.
void CompletionQueueObject::close_wait_set() {
  if (wait_set != nullptr && shared_wait_set == nullptr) fi_close(&wait_set->fid);
  wait_set = nullptr;
}

void CompletionQueueObject::read_all() {
  // A read ends early where an error is in the way.
  while (reader->read(ring->room()) != 0) {
  }
}

// Its lock is held for one batch, or a sleep that wake() ends.
bool CompletionQueueObject::lock_reader() {
  const uint64_t deadline = monotonic_ns() + kEngineStopMs * 1'000'000ULL;
  bool locked = reader->try_lock();
  while (!locked && monotonic_ns() < deadline) {
    reader->wake();
    locked = reader->try_lock();
  }
  return locked;
}

std::vector<uint32_t> CompletionQueueObject::drop_all_of(const void* endpoint, bool reads) {
  std::vector<uint32_t> dropped;
  // The reader frees slots too: not both at once.
  if (!lock_reader()) return dropped;
  // What was completed before the close is no loss.
  if (reads) read_all();
  operations.drop_all_of(endpoint, [&dropped](uint32_t index) { dropped.push_back(index); });
  reader->unlock();
  return dropped;
}

int32_t CompletionQueueObject::retire(uint32_t context, const void* endpoint) {
  if (!reader->try_lock()) {
    reader->wake();
    return -FI_EAGAIN;
  }
  const bool was_there = operations.retire(context, endpoint);
  reader->unlock();
  return was_there ? kOk : kContextBusy;
}

void register_completion_queue(Napi::Object exports, Environment* environment) {
  define(exports, "openCompletionQueue", open_completion_queue, environment);
  define(exports, "completionQueueMemory", completion_queue_memory, environment);
  define(exports, "completionQueueWait", completion_queue_wait, environment);
  define(exports, "waitForCompletion", wait_for_completion, environment);
  define(exports, "signalCompletionQueue", signal_completion_queue, environment);
  define(exports, "completionText", completion_text, environment);
  define_fast(exports, "pollQueue", poll_queue, environment);
  define(exports, "startEngine", start_engine, environment);
  define(exports, "stopEngine", stop_engine, environment);
  define(exports, "engineCounters", engine_counters, environment);
}

}  // namespace ofi
