// Between JavaScript values and C++: function definitions and argument reading. Arguments were validated in TypeScript;
// what is read here is only what would be unsafe to trust.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#if defined(__x86_64__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "environment.h"

namespace ofi {

// Control plane: exceptions, objects, clarity.
using ControlFunction = Napi::Value (*)(const Napi::CallbackInfo&);
inline void define(Napi::Object exports, const char* name, ControlFunction function,
                   Environment* environment) {
  exports.Set(name, Napi::Function::New(exports.Env(), function, name, environment));
}

// As a cast, whose outcome C++ leaves open where the number has no place in the type: here it is some number.
inline int64_t truncated(double value) {
#if defined(__x86_64__)
  return _mm_cvttsd_si64(_mm_set_sd(value));
#elif defined(__aarch64__)
  return vcvtd_s64_f64(value);
#else
  return value >= -9007199254740991.0 && value <= 9007199254740991.0 ? static_cast<int64_t>(value) : -1;
#endif
}

// A whole number up to 2^53, as lengths and offsets are; anything else, such as a fraction or NaN, becomes one that no check
// lets pass. Without branches on the way that all take: several for each call of the data plane.
inline uint64_t whole(double value) {
  const int64_t number = truncated(value);
  // A negative one is beyond that too.
  if (static_cast<double>(number) != value || static_cast<uint64_t>(number) > (1ULL << 53)) [[unlikely]]
    return UINT64_MAX;
  return static_cast<uint64_t>(number);
}

// The same below 2^32, as handles are.
inline uint32_t whole_u32(double value) {
  const uint64_t number = whole(value);
  return number <= UINT32_MAX ? static_cast<uint32_t>(number) : UINT32_MAX;
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
  // Anything that the type does not hold, such as NaN, becomes a value that no check lets pass.
  int32_t i32(size_t index) const {
    const double value = call_[index];
    const auto number = static_cast<int32_t>(truncated(value));
    if (number != value) [[unlikely]]
      return INT32_MIN;
    return number;
  }
  uint32_t u32(size_t index) const { return whole_u32(call_[index]); }
  // Lengths and offsets.
  uint64_t u53(size_t index) const { return whole(call_[index]); }
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

// An address that `call(buffer, &length)` writes: its bytes, or the negative status of the call.
template <typename Call>
Napi::Value address_value(Napi::Env env, Call call) {
  std::array<uint8_t, 1024> bytes{};
  size_t length = bytes.size();
  const int status = call(bytes.data(), &length);
  if (status != 0) return Napi::Number::New(env, status);
  length = std::min(length, bytes.size());
  auto buffer = Napi::ArrayBuffer::New(env, length);
  std::memcpy(buffer.Data(), bytes.data(), length);
  return Napi::Uint8Array::New(env, length, buffer, 0);
}

// A promise of a status or handle that is known already.
inline Napi::Value resolved(Napi::Env env, int32_t status) {
  auto deferred = Napi::Promise::Deferred::New(env);
  deferred.Resolve(Napi::Number::New(env, status));
  return deferred.Promise();
}

}  // namespace ofi
