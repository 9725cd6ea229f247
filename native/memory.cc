#include "memory.h"

#include "handle.h"

namespace ofi {

namespace {

// allocateMemory(bytes, overflow): a handle, or a negative status.
Napi::Value allocate_memory(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  const double bytes = info[0].As<Napi::Number>().DoubleValue();
  const double overflow = info[1].As<Napi::Number>().DoubleValue();
  MemoryBlock* block = MemoryBlock::allocate(static_cast<size_t>(bytes), static_cast<size_t>(overflow));
  if (block == nullptr) return Napi::Number::New(info.Env(), -FI_ENOMEM);
  return Napi::Number::New(info.Env(), environment.add(std::make_shared<MemoryObject>(block)));
}

// deviceMemory(address, bytes): a handle.
Napi::Value device_memory(const Napi::CallbackInfo& info) {
  bool lossless = false;
  const uint64_t address = info[0].As<Napi::BigInt>().Uint64Value(&lossless);
  const double bytes = info[1].As<Napi::Number>().DoubleValue();
  MemoryBlock* block = MemoryBlock::of_device(address, static_cast<size_t>(bytes));
  return Napi::Number::New(info.Env(), Environment::of(info).add(std::make_shared<MemoryObject>(block)));
}

// memoryBuffer(memory): its ArrayBuffer; undefined where the runtime allows no external ones.
Napi::Value memory_buffer(const Napi::CallbackInfo& info) {
  auto* object = Environment::of(info).open<MemoryObject>(handle_argument(info, 0));
  if (object == nullptr || object->block.get()->is_device()) return info.Env().Undefined();
  return block_buffer(info.Env(), object->block.get());
}

// memoryCapacity(memory): its bytes with the room behind them.
Napi::Value memory_capacity(const Napi::CallbackInfo& info) {
  auto* object = Environment::of(info).open<MemoryObject>(handle_argument(info, 0));
  return object == nullptr ? Napi::Number::New(info.Env(), kClosed)
                           : size_value(info.Env(), object->block.get()->capacity());
}

// trimMemory(memory): gives back what lies behind it.
Napi::Value trim_memory(const Napi::CallbackInfo& info) {
  auto* object = Environment::of(info).open<MemoryObject>(handle_argument(info, 0));
  if (object != nullptr) object->block.get()->trim();
  return info.Env().Undefined();
}

// freeMemory(memory): gives back JavaScript's hold. Operations in flight and the ArrayBuffer keep theirs.
Napi::Value free_memory(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  const std::shared_ptr<Object> object = environment.any(handle_argument(info, 0));
  if (object == nullptr || object->kind != Kind::Memory) return Napi::Number::New(info.Env(), kClosed);
  if (!object->dependants().empty()) return Napi::Number::New(info.Env(), kBusy);
  object->phase = Phase::Closed;
  object->after_close();
  environment.remove(object);
  return Napi::Number::New(info.Env(), kOk);
}

Napi::Value live_blocks(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(MemoryBlock::live_blocks()));
}

Napi::Value registers(const Napi::CallbackInfo& info) {
  return block_buffer(info.Env(), Environment::of(info).registers_block());
}

}  // namespace

Napi::Value block_buffer(Napi::Env env, MemoryBlock* block) {
  block->retain();
  napi_value buffer = nullptr;
  const napi_status status = napi_create_external_arraybuffer(
      env, block->data(), block->size(),
      [](napi_env, void*, void* hint) { static_cast<MemoryBlock*>(hint)->release(); }, block, &buffer);
  if (status != napi_ok) {
    block->release();
    return env.Undefined();
  }
  return Napi::Value(env, buffer);
}

void register_memory(Napi::Object exports, Environment* environment) {
  define(exports, "allocateMemory", allocate_memory, environment);
  define(exports, "deviceMemory", device_memory, environment);
  define(exports, "memoryBuffer", memory_buffer, environment);
  define(exports, "memoryCapacity", memory_capacity, environment);
  define(exports, "trimMemory", trim_memory, environment);
  define(exports, "freeMemory", free_memory, environment);
  define(exports, "liveBlocks", live_blocks, environment);
  define(exports, "registers", registers, environment);
}

}  // namespace ofi
