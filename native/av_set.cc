#include "av_set.h"

#include <algorithm>

#include "endpoint.h"
#include "handle.h"

namespace ofi {

namespace {

Napi::Value status_value(const Napi::CallbackInfo& info, int64_t status) {
  return Napi::Number::New(info.Env(), static_cast<double>(status));
}

// How many addresses there were when the first set was opened: providers look no further for a range of them.
int32_t range_limit(AddressVectorObject& addresses) {
  if (addresses.range_limit < 0)
    addresses.range_limit =
        static_cast<int32_t>(std::count(addresses.live.begin(), addresses.live.end(), uint8_t{1}));
  return addresses.range_limit;
}

// openAvSet(av, start, end, stride): fi_av_set(3). end -1: none at all.
Napi::Value open_av_set(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto av = environment.open_shared<AddressVectorObject>(handle_argument(info, 0));
  if (av == nullptr) return resolved(info.Env(), kClosed);
  if (!OFI_HAS_OP(av->fid->ops, fi_ops_av, av_set)) return resolved(info.Env(), kUnsupported);
  const int32_t start = info[1].As<Napi::Number>().Int32Value();
  const int32_t end = info[2].As<Napi::Number>().Int32Value();
  const int32_t stride = std::max(1, info[3].As<Napi::Number>().Int32Value());
  auto object = std::make_shared<AvSetObject>();
  object->addresses = av.get();
  if (end >= range_limit(*av)) return resolved(info.Env(), kNoSuchPeer);
  for (int32_t address = start; address <= end; address += stride) {
    if (!av->is_index(address)) return resolved(info.Env(), kNoSuchPeer);
    object->members.push_back(address);
  }
  const bool is_empty = object->members.empty();
  auto attributes = zeroed<fi_av_set_attr>();
  attributes.count = std::max<size_t>(1, av->live.size());
  // A start beyond the end is how to ask for none.
  attributes.start_addr = is_empty ? 1 : static_cast<fi_addr_t>(start);
  attributes.end_addr = is_empty ? 0 : static_cast<fi_addr_t>(end);
  attributes.stride = static_cast<uint64_t>(stride);
  return environment.open_object(object, {av}, [object, av, attributes]() mutable {
    return fi_av_set(av->fid, &attributes, &object->fid, nullptr);
  });
}

// A set whose group is there does not change: providers count its members in each operation.
bool is_joined(const AvSetObject& set) { return !set.dependants().empty(); }

// Gives a set these members in this order, by fi_av_set_insert(3) and fi_av_set_remove(3). Only the last is ever removed,
// since a provider puts it into the place of any other. A status.
int set_members(AvSetObject& set, const Members& wanted) {
  Members& members = set.members;
  const size_t common = std::min(members.size(), wanted.size());
  const auto first = members.begin();
  const auto kept = static_cast<size_t>(
      std::mismatch(first, first + static_cast<ptrdiff_t>(common), wanted.begin()).first - first);
  while (members.size() > kept) {
    const int status = fi_av_set_remove(set.fid, static_cast<fi_addr_t>(members.back()));
    if (status != 0) return status;
    members.pop_back();
  }
  while (members.size() < wanted.size()) {
    const int32_t address = wanted[members.size()];
    const int status = fi_av_set_insert(set.fid, static_cast<fi_addr_t>(address));
    if (status != 0) return status;
    members.push_back(address);
  }
  return kOk;
}

// As above, or nothing at all.
int change_members(AvSetObject& set, const Members& wanted) {
  const Members before = set.members;
  const int status = set_members(set, wanted);
  if (status != kOk) static_cast<void>(set_members(set, before));
  return status;
}

enum class Change : uint8_t { Union, Intersect, Diff };

// The members that are left keep their order.
Members combined(Change change, const Members& members, const Members& other) {
  Members result;
  for (const int32_t address : members)
    if (change == Change::Union || (rank_of(other, address) >= 0) == (change == Change::Intersect))
      result.push_back(address);
  if (change != Change::Union) return result;
  for (const int32_t address : other)
    if (rank_of(members, address) < 0) result.push_back(address);
  return result;
}

// combineAvSets(set, other, how): what fi_av_set_union(3), fi_av_set_intersect(3) and fi_av_set_diff(3) are for. Of these the
// latter two are wrong in libfabric, up to 2.6 at least: they write over members that should stay. `how`: Change. A status.
Napi::Value combine_av_sets(const Napi::CallbackInfo& info) {
  const Environment& environment = Environment::of(info);
  auto* set = environment.open<AvSetObject>(handle_argument(info, 0));
  auto* other = environment.open<AvSetObject>(handle_argument(info, 1));
  if (set == nullptr || other == nullptr) return status_value(info, kClosed);
  if (set->addresses != other->addresses) return status_value(info, -FI_EINVAL);
  if (is_joined(*set)) return status_value(info, kBusy);
  const auto change = static_cast<Change>(handle_argument(info, 2));
  return status_value(info, change_members(*set, combined(change, set->members, other->members)));
}

// changeAvSet(set, address, inserts): fi_av_set_insert(3) or fi_av_set_remove(3). A status.
Napi::Value change_av_set(const Napi::CallbackInfo& info) {
  auto* set = Environment::of(info).open<AvSetObject>(handle_argument(info, 0));
  if (set == nullptr) return status_value(info, kClosed);
  if (is_joined(*set)) return status_value(info, kBusy);
  const int32_t address = info[1].As<Napi::Number>().Int32Value();
  const bool inserts = info[2].ToBoolean().Value();
  if (inserts && !set->addresses->is_index(address)) return status_value(info, kNoSuchPeer);
  if (inserts == (rank_of(set->members, address) >= 0)) return status_value(info, -FI_EINVAL);
  const Members one{address};
  return status_value(
      info, change_members(*set, combined(inserts ? Change::Union : Change::Diff, set->members, one)));
}

// avSetMembers(set): the addresses, by rank.
Napi::Value av_set_members(const Napi::CallbackInfo& info) {
  auto* set = Environment::of(info).open<AvSetObject>(handle_argument(info, 0));
  if (set == nullptr) return status_value(info, kClosed);
  auto list = Napi::Array::New(info.Env(), set->members.size());
  uint32_t index = 0;
  for (const int32_t member : set->members) list.Set(index++, Napi::Number::New(info.Env(), member));
  return list;
}

// Providers crash where the endpoint is none of the set.
bool has(const AvSetObject& set, EndpointObject& endpoint) {
  std::array<uint8_t, 512> own{};
  std::array<uint8_t, 512> member{};
  size_t own_length = own.size();
  if (fi_getname(&endpoint.fid->fid, own.data(), &own_length) != 0) return false;
  for (const int32_t address : set.members) {
    size_t length = member.size();
    if (!set.addresses->is_index(address)) return false;
    if (fi_av_lookup(set.addresses->fid, static_cast<fi_addr_t>(address), member.data(), &length) != 0)
      continue;
    if (length == own_length && std::memcmp(own.data(), member.data(), length) == 0) return true;
  }
  return false;
}

// Why an endpoint cannot join the members of a set.
int32_t join_refusal(EndpointObject& endpoint, const AvSetObject& set, const CollectiveGroupObject* parent) {
  if ((endpoint.capabilities & FI_COLLECTIVE) == 0 || !OFI_HAS_OP(endpoint.fid->cm, fi_ops_cm, join))
    return kUnsupported;
  // Providers write into it when all have joined, without a look whether it is there.
  if (endpoint.events == nullptr) return -FI_ENOEQ;
  if (endpoint.addresses != set.addresses || !has(set, endpoint)) return kNoSuchPeer;
  if (parent != nullptr && (!parent->joined || parent->endpoint.lock().get() != &endpoint)) return -FI_EINVAL;
  return kOk;
}

int join_blocking(EndpointObject& endpoint, const AvSetObject& set, const CollectiveGroupObject* parent,
                  CollectiveGroupObject& group) {
  const std::lock_guard<std::mutex> held(endpoint.changing);
  if (endpoint.fid == nullptr) return kClosed;
  fi_addr_t of = FI_ADDR_NOTAVAIL;
  if (parent != nullptr)
    of = fi_mc_addr(parent->fid);
  else if (const int status = fi_av_set_addr(set.fid, &of); status != 0)
    return status;
  // As every collective operation (collective.cc).
  endpoint.lock_progress();
  const int status = fi_join_collective(endpoint.fid, of, set.fid, 0, &group.fid, &group);
  endpoint.unlock_progress();
  return status;
}

// joinCollective(endpoint, set, group | -1): fi_join_collective(3), in the name of what the group's members are. A negative
// status, or { handle, opening }: the handle is known at once, since the event that tells that all have joined may come
// before `opening` resolves, with a status or the handle.
Napi::Value join_collective(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto endpoint = environment.open_shared<EndpointObject>(handle_argument(info, 0));
  auto set = environment.open_shared<AvSetObject>(handle_argument(info, 1));
  auto parent = environment.open_shared<CollectiveGroupObject>(handle_argument(info, 2));
  if (endpoint == nullptr || !endpoint->enabled || set == nullptr) return status_value(info, kClosed);
  if (const int32_t refusal = join_refusal(*endpoint, *set, parent.get()); refusal != kOk)
    return status_value(info, refusal);
  auto events = environment.open_shared<EventQueueObject>(endpoint->events->handle);
  if (events == nullptr) return status_value(info, kClosed);
  auto object = std::make_shared<CollectiveGroupObject>();
  object->endpoint = endpoint;
  object->members = set->members;
  std::vector<std::shared_ptr<Object>> parents{set, events};
  if (parent != nullptr) parents.emplace_back(parent);
  auto result = Napi::Object::New(info.Env());
  result.Set("handle", Napi::Number::New(info.Env(), environment.add(object)));
  result.Set("opening", environment.open_object(object, parents, [object, endpoint, set, parent] {
    return join_blocking(*endpoint, *set, parent.get(), *object);
  }));
  return result;
}

}  // namespace

void CollectiveGroupObject::note(Operation* operation) {
  if (operations_.size() >= 64) static_cast<void>(is_in_use());
  operations_.emplace_back(operation, operation->generation);
}

bool CollectiveGroupObject::is_in_use() {
  const auto ended = [](const auto& entry) {
    return entry.first->state.load() != SlotState::Busy || entry.first->generation != entry.second;
  };
  operations_.erase(std::remove_if(operations_.begin(), operations_.end(), ended), operations_.end());
  return !operations_.empty();
}

int CollectiveGroupObject::close_blocking() {
  // While its endpoint works, the provider goes on with what was begun, and looks at the group.
  const std::shared_ptr<EndpointObject> of = endpoint.lock();
  if (of != nullptr && of->fid != nullptr && (!joined || is_in_use())) return -FI_EBUSY;
  return FidObject::close_blocking();
}

void register_av_set(Napi::Object exports, Environment* environment) {
  define(exports, "openAvSet", open_av_set, environment);
  define(exports, "combineAvSets", combine_av_sets, environment);
  define(exports, "changeAvSet", change_av_set, environment);
  define(exports, "avSetMembers", av_set_members, environment);
  define(exports, "joinCollective", join_collective, environment);
}

}  // namespace ofi
