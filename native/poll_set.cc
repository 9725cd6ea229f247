#include "poll_set.h"

#include <algorithm>

#include "completion_queue.h"
#include "counter.h"
#include "handle.h"
#include "wait_set.h"

// libfabric 2's headers call poll sets deprecated.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

namespace ofi {

namespace {

// openPollSet(domain): fi_poll_open(3).
Napi::Value open_poll_set(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto domain = environment.open_shared<DomainObject>(handle_argument(info, 0));
  if (domain == nullptr) return resolved(info.Env(), kClosed);
  auto object = std::make_shared<PollSetObject>();
  object->domain = domain->fid;
  return environment.open_object(object, {domain}, [object] {
    if (!OFI_HAS_OP(object->domain->ops, fi_ops_domain, poll_open)) return -FI_ENOSYS;
    auto attributes = zeroed<fi_poll_attr>();
    return fi_poll_open(object->domain, &attributes, &object->fid);
  });
}

fid* pollable(Object* object) {
  if (object->kind == Kind::CompletionQueue) return &static_cast<CompletionQueueObject*>(object)->fid->fid;
  if (object->kind == Kind::Counter) return &static_cast<CounterObject*>(object)->fid->fid;
  return nullptr;
}

// changePollSet(set, object, adds): fi_poll_add(3) or fi_poll_del(3). A status.
Napi::Value change_poll_set(const Napi::CallbackInfo& info) {
  const Environment& environment = Environment::of(info);
  auto* set = environment.open<PollSetObject>(handle_argument(info, 0));
  const std::shared_ptr<Object> object = environment.any(handle_argument(info, 1));
  if (set == nullptr || object == nullptr || object->phase != Phase::Open)
    return Napi::Number::New(info.Env(), kClosed);
  fid* member = pollable(object.get());
  if (member == nullptr) return Napi::Number::New(info.Env(), -FI_EINVAL);
  const auto found = std::find(set->members.begin(), set->members.end(), object.get());
  const bool adds = info[2].ToBoolean().Value();
  if (adds == (found != set->members.end()))
    return Napi::Number::New(info.Env(), adds ? -FI_EALREADY : -FI_ENOENT);
  const int status = adds ? fi_poll_add(set->fid, member, 0) : fi_poll_del(set->fid, member, 0);
  if (status != 0) return Napi::Number::New(info.Env(), status);
  if (adds) {
    set->members.push_back(object.get());
    set->depend_on(object);
  } else {
    set->members.erase(found);
    set->stop_depending_on(object);
  }
  return Napi::Number::New(info.Env(), kOk);
}

// poll(set): fi_poll(3). The handles of the members that have something, or a negative status.
Napi::Value poll(const Napi::CallbackInfo& info) {
  auto* set = Environment::of(info).open<PollSetObject>(handle_argument(info, 0));
  if (set == nullptr) return Napi::Number::New(info.Env(), kClosed);
  auto list = Napi::Array::New(info.Env());
  if (set->members.empty()) return list;
  std::vector<void*> contexts(set->members.size(), nullptr);
  int count = 0;
  {
    const MemberLocks locks(set->members);
    // Where somebody reads one of them just now it tells what it has the next time.
    if (locks.locked) count = fi_poll(set->fid, contexts.data(), static_cast<int>(contexts.size()));
  }
  if (count < 0 && count != -FI_EAGAIN) return Napi::Number::New(info.Env(), count);
  const auto end = contexts.begin() + std::max(count, 0);
  uint32_t index = 0;
  for (Object* member : set->members)
    if (has_unseen(member) || std::find(contexts.begin(), end, member) != end)
      list.Set(index++, Napi::Number::New(info.Env(), member->handle));
  return list;
}

}  // namespace

void register_poll_set(Napi::Object exports, Environment* environment) {
  define(exports, "openPollSet", open_poll_set, environment);
  define(exports, "changePollSet", change_poll_set, environment);
  define(exports, "poll", poll, environment);
}

}  // namespace ofi
