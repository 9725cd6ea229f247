// Between JavaScript values and C++: function definitions and argument reading. Arguments were validated in TypeScript;
// what is read here is only what would be unsafe to trust.
#pragma once

#include <string>

#include "environment.h"

namespace ofi {

// Control plane: exceptions, objects, clarity.
using ControlFunction = Napi::Value (*)(const Napi::CallbackInfo&);
inline void define(Napi::Object exports, const char* name, ControlFunction function,
                   Environment* environment) {
  exports.Set(name, Napi::Function::New(exports.Env(), function, name, environment));
}

// Data plane: a plain Node-API function without arguments; they and its answer are numbers in the registers.
inline void define_fast(Napi::Object exports, const char* name, napi_callback function,
                        Environment* environment) {
  napi_value value = nullptr;
  napi_create_function(exports.Env(), name, NAPI_AUTO_LENGTH, function, environment, &value);
  exports.Set(name, Napi::Value(exports.Env(), value));
}

// The arguments of a data-plane call, which lie in the environment's registers.
class FastCall {
 public:
  FastCall(napi_env env, napi_callback_info info) {
    napi_get_cb_info(env, info, nullptr, nullptr, nullptr, reinterpret_cast<void**>(&environment_));
    call_ = environment_->registers().call;
  }
  Environment& environment() const { return *environment_; }
  int32_t i32(size_t index) const { return static_cast<int32_t>(call_[index]); }
  uint32_t u32(size_t index) const { return static_cast<uint32_t>(static_cast<int64_t>(call_[index])); }
  // Lengths and offsets: whole numbers up to 2^53. Anything else becomes a value that no check lets pass.
  uint64_t u53(size_t index) const {
    const double value = call_[index];
    return value >= 0 && value <= 9007199254740991.0 ? static_cast<uint64_t>(value) : UINT64_MAX;
  }
  napi_value answer(int32_t value) const {
    call_[0] = value;
    return nullptr;
  }
  void answer_also(size_t index, int32_t value) const { call_[index] = value; }

 private:
  Environment* environment_ = nullptr;
  double* call_ = nullptr;
};

inline uint32_t handle_argument(const Napi::CallbackInfo& info, size_t index) {
  return info[index].As<Napi::Number>().Uint32Value();
}

// Optional members of an options object.
inline uint64_t u64_member(const Napi::Object& object, const char* name, uint64_t fallback = 0) {
  const Napi::Value value = object.Get(name);
  if (value.IsBigInt()) {
    bool lossless = false;
    return value.As<Napi::BigInt>().Uint64Value(&lossless);
  }
  return value.IsNumber() ? static_cast<uint64_t>(value.As<Napi::Number>().Int64Value()) : fallback;
}

inline std::string text_member(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}

inline Napi::Value u64_value(Napi::Env env, uint64_t value) { return Napi::BigInt::New(env, value); }

// Sizes: clamped to what a JavaScript number holds exactly.
inline Napi::Value size_value(Napi::Env env, size_t value) {
  constexpr uint64_t kMaxSafe = (1ULL << 53) - 1;
  return Napi::Number::New(env, static_cast<double>(value > kMaxSafe ? kMaxSafe : value));
}

// A promise of a status or handle that is known already.
inline Napi::Value resolved(Napi::Env env, int32_t status) {
  auto deferred = Napi::Promise::Deferred::New(env);
  deferred.Resolve(Napi::Number::New(env, status));
  return deferred.Promise();
}

}  // namespace ofi
