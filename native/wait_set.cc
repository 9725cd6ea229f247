#include "wait_set.h"

#include <unistd.h>

#include <algorithm>
#include <set>

#include "completion_queue.h"
#include "counter.h"
#include "event_queue.h"
#include "handle.h"

// libfabric 2's headers call wait sets deprecated.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

namespace ofi {

namespace {

constexpr uint32_t kShortestPauseUs = 10;
constexpr uint32_t kLongestPauseUs = 1'000;

// openWaitSet(fabric, waitObject): fi_wait_open(3).
Napi::Value open_wait_set(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto fabric = environment.open_shared<FabricObject>(handle_argument(info, 0));
  if (fabric == nullptr) return resolved(info.Env(), kClosed);
  const auto wait = static_cast<fi_wait_obj>(handle_argument(info, 1));
  auto object = std::make_shared<WaitSetObject>();
  object->fabric = fabric->fid;
  return environment.open_object(object, {fabric}, [object, wait] {
    if (!OFI_HAS_OP(object->fabric->ops, fi_ops_fabric, wait_open)) return -FI_ENOSYS;
    auto attributes = zeroed<fi_wait_attr>();
    attributes.wait_obj = wait;
    const int status = fi_wait_open(object->fabric, &attributes, &object->fid);
    int fd = -1;
    if (status == 0 && wait == FI_WAIT_FD && fi_control(&object->fid->fid, FI_GETWAIT, &fd) == 0)
      object->fd = fd;
    return status;
  });
}

// waitSetFd(set): the descriptor, or -1.
Napi::Value wait_set_fd(const Napi::CallbackInfo& info) {
  auto* object = Environment::of(info).open<WaitSetObject>(handle_argument(info, 0));
  return Napi::Number::New(info.Env(), object == nullptr ? -1 : object->fd);
}

// waitOnSet(set, timeoutMs): as fi_wait(3), off the JavaScript thread. Resolves with a status.
Napi::Value wait_on_set(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto object = environment.open_shared<WaitSetObject>(handle_argument(info, 0));
  if (object == nullptr) return resolved(info.Env(), kClosed);
  const auto timeout_ms = static_cast<uint64_t>(info[1].As<Napi::Number>().Int64Value());
  return environment.status_of(object, [object, timeout_ms] { return object->wait(timeout_ms); });
}

// What fi_trywait(3) looks at; null where it has no wait object, for which providers are not made.
fid* waitable(Object* object) {
  switch (object->kind) {
    case Kind::CompletionQueue: {
      auto* queue = static_cast<CompletionQueueObject*>(object);
      return queue->wait_object == FI_WAIT_NONE ? nullptr : &queue->fid->fid;
    }
    case Kind::Counter: {
      auto* counter = static_cast<CounterObject*>(object);
      return counter->waits ? &counter->fid->fid : nullptr;
    }
    case Kind::EventQueue: {
      auto* events = static_cast<EventQueueObject*>(object);
      return events->fd >= 0 ? &events->fid->fid : nullptr;
    }
    case Kind::WaitSet: return &static_cast<WaitSetObject*>(object)->fid->fid;
    default: return nullptr;
  }
}

// What fi_trywait(3) looks at: the objects themselves, and the queues of wait sets.
using Looked = std::vector<std::shared_ptr<Object>>;

void add_looked(Looked& looked, const std::shared_ptr<Object>& object) {
  looked.push_back(object);
  if (object->kind != Kind::WaitSet) return;
  const auto members = static_cast<WaitSetObject*>(object.get())->members();
  looked.insert(looked.end(), members.begin(), members.end());
}

// tryWait(fabric, objects): fi_trywait(3). A status.
Napi::Value try_wait(const Napi::CallbackInfo& info) {
  const Environment& environment = Environment::of(info);
  auto* fabric = environment.open<FabricObject>(handle_argument(info, 0));
  if (fabric == nullptr) return Napi::Number::New(info.Env(), kClosed);
  if (!OFI_HAS_OP(fabric->fid->ops, fi_ops_fabric, trywait))
    return Napi::Number::New(info.Env(), kUnsupported);
  const auto handles = info[1].As<Napi::Array>();
  Looked looked;
  std::vector<fid*> fids;
  for (uint32_t index = 0; index < handles.Length(); ++index) {
    const std::shared_ptr<Object> object =
        environment.any(handles.Get(index).As<Napi::Number>().Uint32Value());
    if (object == nullptr || object->phase != Phase::Open) return Napi::Number::New(info.Env(), kClosed);
    fid* found = waitable(object.get());
    if (found == nullptr) return Napi::Number::New(info.Env(), -FI_EINVAL);
    add_looked(looked, object);
    fids.push_back(found);
  }
  std::vector<Object*> objects;
  for (const auto& object : looked) objects.push_back(object.get());
  const MemberLocks locks(objects);
  if (!locks.locked || std::any_of(objects.begin(), objects.end(), has_unseen))
    return Napi::Number::New(info.Env(), -FI_EAGAIN);
  return Napi::Number::New(info.Env(), fi_trywait(fabric->fid, fids.data(), static_cast<int>(fids.size())));
}

}  // namespace

bool has_unseen(const Object* member) {
  return member->kind == Kind::CompletionQueue &&
         static_cast<const CompletionQueueObject*>(member)->ring->has_unseen();
}

MemberLocks::MemberLocks(const std::vector<Object*>& members) {
  // Each once: a second lock of the same would wait for the first.
  const std::set<Object*> different(members.begin(), members.end());
  for (Object* member : different)
    if (!lock(member)) {
      locked = false;
      return;
    }
}

bool MemberLocks::lock(Object* member) {
  switch (member->kind) {
    case Kind::CompletionQueue: {
      auto* queue = static_cast<CompletionQueueObject*>(member);
      if (!queue->may_be_read() || !queue->reader->try_lock()) return false;
      readers_.push_back(queue);
      return queue->reader->locks.are_free();
    }
    case Kind::Counter:
      shared_.emplace_back(static_cast<CounterObject*>(member)->use, std::try_to_lock);
      return shared_.back().owns_lock() && static_cast<CounterObject*>(member)->locks.are_free();
    case Kind::EventQueue:
      shared_.emplace_back(static_cast<EventQueueObject*>(member)->use, std::try_to_lock);
      return shared_.back().owns_lock();
    default: return true;
  }
}

MemberLocks::~MemberLocks() {
  for (Object* queue : readers_) static_cast<CompletionQueueObject*>(queue)->reader->unlock();
}

void WaitSetObject::add(const std::shared_ptr<CompletionQueueObject>& queue) {
  const std::lock_guard<std::mutex> held(members_lock_);
  members_.erase(
      std::remove_if(members_.begin(), members_.end(), [](const auto& member) { return member.expired(); }),
      members_.end());
  members_.push_back(queue);
}

std::vector<std::shared_ptr<CompletionQueueObject>> WaitSetObject::members() {
  const std::lock_guard<std::mutex> held(members_lock_);
  std::vector<std::shared_ptr<CompletionQueueObject>> living;
  for (const auto& member : members_)
    if (auto queue = member.lock(); queue != nullptr) living.push_back(std::move(queue));
  return living;
}

int WaitSetObject::look() {
  if (closing.load()) return kClosed;
  for (const auto& queue : members())
    if (queue->look_for_waiter() == kOk) return kOk;
  return -FI_EAGAIN;
}

// Not by fi_wait: the provider would look at queues that are being opened or closed, some without a lock.
int WaitSetObject::wait(uint64_t timeout_ms) {
  const uint64_t deadline = monotonic_ns() + timeout_ms * 1'000'000;
  for (uint32_t pause_us = kShortestPauseUs;; pause_us = std::min(pause_us * 2, kLongestPauseUs)) {
    const int status = look();
    if (status != -FI_EAGAIN) return status;
    if (monotonic_ns() >= deadline) return -FI_ETIMEDOUT;
    usleep(pause_us);
  }
}

int WaitSetObject::close_blocking() {
  const int status = FidObject::close_blocking();
  // It may be tried again.
  if (status != 0) closing.store(false);
  return status;
}

void register_wait_set(Napi::Object exports, Environment* environment) {
  define(exports, "openWaitSet", open_wait_set, environment);
  define(exports, "waitSetFd", wait_set_fd, environment);
  define(exports, "waitOnSet", wait_on_set, environment);
  define(exports, "tryWait", try_wait, environment);
}

}  // namespace ofi
