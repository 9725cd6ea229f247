// fi_profile(3): what a provider counts of a domain or an endpoint.
#include "profile.h"

#include "handle.h"

namespace ofi {

namespace {

// openProfile(domain | endpoint, flags): fi_profile_open(3). Resolves with a handle or a negative status.
Napi::Value open_profile(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  const std::shared_ptr<Object> of = environment.any(handle_argument(info, 0));
  fid* source = nullptr;
  if (of != nullptr && of->phase == Phase::Open) {
    if (of->kind == Kind::Domain) source = &static_cast<DomainObject&>(*of).fid->fid;
    if (of->kind == Kind::Endpoint) source = &static_cast<EndpointObject&>(*of).fid->fid;
  }
  if (source == nullptr) return resolved(info.Env(), kClosed);
  bool lossless = false;
  const uint64_t flags = info[1].As<Napi::BigInt>().Uint64Value(&lossless);
  auto object = std::make_shared<ProfileObject>();
  return environment.open_object(object, {of}, [object, source, flags] {
    return fi_profile_open(source, flags, &object->fid, nullptr);
  });
}

// profileList(profile, events): [[id, defined, datatype, flags, size, name, description], ...], or a negative status.
Napi::Value profile_list(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto* object = Environment::of(info).open<ProfileObject>(handle_argument(info, 0));
  if (object == nullptr) return Napi::Number::New(env, kClosed);
  const bool events = info[1].As<Napi::Boolean>();
  auto query = events ? fi_profile_query_events : fi_profile_query_vars;
  size_t count = 0;
  ssize_t status = query(object->fid, nullptr, &count);
  if (status < 0) return Napi::Number::New(env, static_cast<double>(status));
  std::vector<ProfileDescription> list(count);
  const size_t room = count;
  status = query(object->fid, list.data(), &count);
  if (status < 0) return Napi::Number::New(env, static_cast<double>(status));
  auto result = Napi::Array::New(env);
  for (uint32_t i = 0; i < std::min(room, count); ++i) {
    const ProfileDescription& entry = list[i];
    auto row = Napi::Array::New(env, 7);
    row.Set(0U, Napi::Number::New(env, entry.id));
    row.Set(1U, Napi::Boolean::New(env, entry.datatype_selector != 0));
    row.Set(2U, Napi::Number::New(env, entry.datatype));
    row.Set(3U, u64_value(env, entry.flags));
    row.Set(4U, size_value(env, entry.size));
    row.Set(5U, Napi::String::New(env, entry.name != nullptr ? entry.name : ""));
    row.Set(6U, Napi::String::New(env, entry.description != nullptr ? entry.description : ""));
    result.Set(i, row);
  }
  return result;
}

// readProfile(profile, variable): fi_profile_read_u64(3). The value, or a negative status.
Napi::Value read_profile(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto* object = Environment::of(info).open<ProfileObject>(handle_argument(info, 0));
  if (object == nullptr) return Napi::Number::New(env, kClosed);
  uint64_t value = 0;
  const int64_t status = fi_profile_read_u64(object->fid, handle_argument(info, 1), &value);
  return status < 0 ? Napi::Value(Napi::Number::New(env, static_cast<double>(status)))
                    : u64_value(env, value);
}

// changeProfile(profile, what, flags): 0 fi_profile_reset(3), 1 fi_profile_start_reads(3), 2 fi_profile_end_reads(3).
Napi::Value change_profile(const Napi::CallbackInfo& info) {
  auto* object = Environment::of(info).open<ProfileObject>(handle_argument(info, 0));
  if (object == nullptr) return Napi::Number::New(info.Env(), kClosed);
  bool lossless = false;
  const uint64_t flags = info[2].As<Napi::BigInt>().Uint64Value(&lossless);
  switch (handle_argument(info, 1)) {
    case 0: fi_profile_reset(object->fid, flags); break;
    case 1: fi_profile_start_reads(object->fid, flags); break;
    default: fi_profile_end_reads(object->fid, flags); break;
  }
  return Napi::Number::New(info.Env(), kOk);
}

}  // namespace

int ProfileObject::close_blocking() {
  if (fid == nullptr) return 0;
  const int status = fi_profile_close(fid);
  if (status == 0) fid = nullptr;
  return status;
}

void register_profile(Napi::Object exports, Environment* environment) {
  define(exports, "openProfile", open_profile, environment);
  define(exports, "profileList", profile_list, environment);
  define(exports, "readProfile", read_profile, environment);
  define(exports, "changeProfile", change_profile, environment);
}

}  // namespace ofi
