#include "counter.h"

#include <unistd.h>

#include <algorithm>

#include "handle.h"

namespace ofi {

namespace {

// How long to wait for those who read just now.
constexpr uint64_t kHoldMs = 1'000;
// A wait in the provider cannot be ended from outside: it is made in pieces, so that a close need not wait long.
constexpr uint64_t kSliceMs = 20;
constexpr uint32_t kShortestPauseUs = 10;
constexpr uint32_t kLongestPauseUs = 1'000;

// openCounter(domain, waitObject, sleeps): fi_cntr_open(3). `sleeps` is 0 where fi_cntr_wait(3) is not to be called. The counter's context is its object, which fi_poll(3) gives.
Napi::Value open_counter(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto domain = environment.open_shared<DomainObject>(handle_argument(info, 0));
  if (domain == nullptr) return resolved(info.Env(), kClosed);
  const auto wait = static_cast<fi_wait_obj>(handle_argument(info, 1));
  auto object = std::make_shared<CounterObject>();
  object->domain = domain->fid;
  object->waits = wait == FI_WAIT_FD && handle_argument(info, 2) != 0;
  return environment.open_object(object, {domain}, [object, wait] {
    CounterAttributes attributes = zeroed<CounterAttributes>();
    attributes.attr.events = FI_CNTR_EVENTS_COMP;
    attributes.attr.wait_obj = wait;
    if (!OFI_HAS_OP(object->domain->ops, fi_ops_domain, cntr_open)) return -FI_ENOSYS;
    return fi_cntr_open(object->domain, &attributes.attr, &object->fid, object.get());
  });
}

// readCounter(counter): [value, errors], or a negative status.
Napi::Value read_counter(const Napi::CallbackInfo& info) {
  auto* object = Environment::of(info).open<CounterObject>(handle_argument(info, 0));
  if (object == nullptr) return Napi::Number::New(info.Env(), kClosed);
  uint64_t value = 0;
  uint64_t errors = 0;
  object->read(&value, &errors);
  auto pair = Napi::Array::New(info.Env(), 2);
  pair.Set(0U, u64_value(info.Env(), value));
  pair.Set(1U, u64_value(info.Env(), errors));
  return pair;
}

// changeCounter(counter, what, value): 0 fi_cntr_add(3), 1 fi_cntr_set(3), 2 fi_cntr_adderr(3), 3 fi_cntr_seterr(3).
Napi::Value change_counter(const Napi::CallbackInfo& info) {
  auto* object = Environment::of(info).open<CounterObject>(handle_argument(info, 0));
  if (object == nullptr) return Napi::Number::New(info.Env(), kClosed);
  bool lossless = false;
  const uint64_t value = info[2].As<Napi::BigInt>().Uint64Value(&lossless);
  int status = -FI_ENOSYS;
  switch (handle_argument(info, 1)) {
    case 0: status = fi_cntr_add(object->fid, value); break;
    case 1: status = fi_cntr_set(object->fid, value); break;
    case 2: status = fi_cntr_adderr(object->fid, value); break;
    default: status = fi_cntr_seterr(object->fid, value); break;
  }
  return Napi::Number::New(info.Env(), status);
}

// waitCounter(counter, threshold, timeoutMs): fi_cntr_wait(3), off the JavaScript thread. Resolves with a status.
Napi::Value wait_counter(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto object = environment.open_shared<CounterObject>(handle_argument(info, 0));
  if (object == nullptr) return resolved(info.Env(), kClosed);
  bool lossless = false;
  const uint64_t threshold = info[1].As<Napi::BigInt>().Uint64Value(&lossless);
  const auto timeout_ms = static_cast<uint64_t>(info[2].As<Napi::Number>().Int64Value());
  return environment.status_of(
      object, [object, threshold, timeout_ms] { return object->wait(threshold, timeout_ms); });
}

}  // namespace

bool CounterObject::hold_reads() {
  holds_.fetch_add(1);
  // Whoever began before comes to an end, but for an endpoint whose close hangs in the provider.
  const uint64_t deadline = monotonic_ns() + kHoldMs * 1'000'000;
  while (!use.try_lock()) {
    if (monotonic_ns() >= deadline) {
      release_reads();
      return false;
    }
    usleep(kShortestPauseUs);
  }
  use.unlock();
  return true;
}

void CounterObject::read(uint64_t* value, uint64_t* errors) {
  const std::shared_lock<std::shared_mutex> held(use, std::try_to_lock);
  if (held.owns_lock() && holds_.load() == 0 && locks.are_free()) {
    last_value_.store(fi_cntr_read(fid));
    last_errors_.store(fi_cntr_readerr(fid));
  }
  *value = last_value_.load();
  *errors = last_errors_.load();
}

bool CounterObject::has_reached(uint64_t threshold) {
  uint64_t value = 0;
  uint64_t errors = 0;
  read(&value, &errors);
  if (value + errors < threshold) return false;
  // Whoever raised the counter may be about to start it: this waits for that.
  fi_cntr_add(fid, 0);
  return true;
}

// One look: -FI_EAGAIN where it did not suffice. Without a file descriptor fi_cntr_wait is not for use: shm 1.17 never comes
// back from it, and others crash where there is no wait object at all.
int CounterObject::look(uint64_t threshold, uint64_t errors_before, uint64_t left_ms) {
  const std::shared_lock<std::shared_mutex> held(use);
  if (closing.load()) return kClosed;
  if (holds_.load() != 0 || !locks.are_free()) return -FI_EAGAIN;
  if (fi_cntr_readerr(fid) != errors_before) return -FI_EAVAIL;
  if (fi_cntr_read(fid) >= threshold) return 0;
  if (!waits) return -FI_EAGAIN;
  const int status = fi_cntr_wait(fid, threshold, static_cast<int>(std::min(left_ms, kSliceMs)));
  // The next look decides. sockets 1.17 gives the end of the time as a positive number.
  const bool looks_again = status >= 0 || status == -FI_ETIMEDOUT || status == -FI_EINTR;
  return looks_again || status == -FI_EAVAIL ? -FI_EAGAIN : status;
}

// A look, and a pause where that did not suffice: -FI_EAGAIN.
int CounterObject::wait_slice(uint64_t threshold, uint64_t errors_before, uint64_t left_ms,
                              uint32_t* pause_us) {
  if (const int status = look(threshold, errors_before, left_ms); status != -FI_EAGAIN) return status;
  usleep(*pause_us);
  *pause_us = std::min(*pause_us * 2, kLongestPauseUs);
  return -FI_EAGAIN;
}

int CounterObject::wait(uint64_t threshold, uint64_t timeout_ms) {
  const uint64_t deadline = monotonic_ns() + timeout_ms * 1'000'000;
  uint32_t pause_us = kShortestPauseUs;
  uint64_t errors = 0;
  {
    const std::shared_lock<std::shared_mutex> held(use);
    if (closing.load()) return kClosed;
    errors = holds_.load() == 0 ? fi_cntr_readerr(fid) : last_errors_.load();
  }
  for (;;) {
    const uint64_t now = monotonic_ns();
    const uint64_t left_ms = now < deadline ? (deadline - now) / 1'000'000 : 0;
    const int status = wait_slice(threshold, errors, left_ms, &pause_us);
    if (status != -FI_EAGAIN) return status;
    if (monotonic_ns() >= deadline) return -FI_ETIMEDOUT;
  }
}

int CounterObject::close_blocking() {
  const std::unique_lock<std::shared_mutex> alone(use);
  const int status = FidObject::close_blocking();
  // It may be tried again.
  if (status != 0) closing.store(false);
  return status;
}

void register_counter(Napi::Object exports, Environment* environment) {
  define(exports, "openCounter", open_counter, environment);
  define(exports, "readCounter", read_counter, environment);
  define(exports, "changeCounter", change_counter, environment);
  define(exports, "waitCounter", wait_counter, environment);
}

}  // namespace ofi
