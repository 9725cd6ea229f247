// What libfabric says of itself: fi_getparams(3), fi_tostr(3).
#include "about.h"

#include "control_turn.h"
#include "handle.h"
#include "info.h"
#include "libfabric.h"

namespace ofi {

namespace {

Napi::Value text_or_undefined(Napi::Env env, const char* text) {
  return text == nullptr ? env.Undefined() : Napi::String::New(env, text).As<Napi::Value>();
}

// What fi_getparams(3) gave; freed by the library.
struct Parameters {
  Parameters() = default;
  Parameters(const Parameters&) = delete;
  Parameters& operator=(const Parameters&) = delete;
  ~Parameters() {
    if (found != nullptr) library().freeparams(found);
  }
  fi_param* found = nullptr;
  int count = 0;
};

Napi::Value parameter_list(Napi::Env env, const Parameters& parameters) {
  auto list = Napi::Array::New(env, static_cast<size_t>(parameters.count));
  for (int index = 0; index < parameters.count; ++index) {
    const fi_param& parameter = parameters.found[index];
    auto object = Napi::Object::New(env);
    object.Set("name", text_or_undefined(env, parameter.name));
    object.Set("type", Napi::Number::New(env, parameter.type));
    object.Set("help", text_or_undefined(env, parameter.help_string));
    object.Set("value", text_or_undefined(env, parameter.value));
    list.Set(static_cast<uint32_t>(index), object);
  }
  return list;
}

// parameters(): fi_getparams(3) and fi_freeparams(3), the first of which loads the providers as fi_getinfo does. Resolves
// with [{ name, type, help, value }], or a negative status.
Napi::Value parameters(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  if (!library().available || environment.is_shut_down()) return resolved(info.Env(), kUnavailable);
  if (library().getparams == nullptr || library().freeparams == nullptr)
    return resolved(info.Env(), kUnsupported);
  auto result = std::make_shared<Parameters>();
  auto deferred = std::make_shared<Napi::Promise::Deferred>(info.Env());
  environment.run_blocking(
      [result] {
        const ControlTurn turn;
        const SignalGuard guard;
        return library().getparams(&result->found, &result->count);
      },
      [result, deferred](Environment& owner, int status) {
        deferred->Resolve(status == 0 ? parameter_list(owner.env(), *result)
                                      : Napi::Number::New(owner.env(), status));
      });
  return deferred->Promise();
}

// The part of an fi_info that a type is about; null where it has none.
const void* part_of(const fi_info& info, int type) {
  switch (type) {
    case FI_TYPE_INFO: return &info;
    case FI_TYPE_TX_ATTR: return info.tx_attr;
    case FI_TYPE_RX_ATTR: return info.rx_attr;
    case FI_TYPE_EP_ATTR: return info.ep_attr;
    case FI_TYPE_DOMAIN_ATTR: return info.domain_attr;
    case FI_TYPE_FABRIC_ATTR: return info.fabric_attr;
    case FI_TYPE_FID: return info.nic;
    default: return nullptr;
  }
}

Napi::Value text_of(Napi::Env env, const void* data, int type) {
  std::vector<char> text(65'536, '\0');
  if (library().tostr_r == nullptr || data == nullptr) return Napi::Number::New(env, kUnsupported);
  if (library().tostr_r(text.data(), text.size(), data, static_cast<fi_type>(type)) == nullptr)
    return Napi::Number::New(env, -FI_EINVAL);
  text.back() = '\0';
  return Napi::String::New(env, text.data());
}

// textOf(type, value): fi_tostr_r(3) of a number or bigint, or of the part of an Info. The text, or a negative status.
Napi::Value text_of_value(const Napi::CallbackInfo& info) {
  const int type = info[0].As<Napi::Number>().Int32Value();
  if (const std::shared_ptr<fi_info> described = info_of(info[1]); described != nullptr)
    return text_of(info.Env(), part_of(*described, type), type);
  bool lossless = false;
  // Wide enough for what any of the types is, and its low bytes come first.
  const uint64_t value = info[1].As<Napi::BigInt>().Uint64Value(&lossless);
  return text_of(info.Env(), &value, type);
}

}  // namespace

void register_about(Napi::Object exports, Environment* environment) {
  define(exports, "parameters", parameters, environment);
  define(exports, "textOf", text_of_value, environment);
}

}  // namespace ofi
