#include "memory_region.h"

#include "handle.h"

namespace ofi {

namespace {

// registerMemory(domain, memory, access, requestedKey): fi_mr_reg(3) of the whole memory.
Napi::Value register_memory_call(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto domain = environment.open_shared<DomainObject>(handle_argument(info, 0));
  auto memory = environment.open_shared<MemoryObject>(handle_argument(info, 1));
  if (domain == nullptr || memory == nullptr) return resolved(info.Env(), kClosed);
  bool lossless = false;
  const uint64_t access = info[2].As<Napi::BigInt>().Uint64Value(&lossless);
  const uint64_t key = info[3].As<Napi::BigInt>().Uint64Value(&lossless);
  auto object = std::make_shared<MemoryRegionObject>();
  object->domain = domain->fid;
  object->memory = memory;
  return environment.open_object(object, {domain, memory}, [object, access, key] {
    MemoryBlock* block = object->memory->block.get();
    return fi_mr_reg(object->domain, block->data(), block->size(), access, 0, key, 0, &object->fid, nullptr);
  });
}

// memoryRegion(region): { key, address }; from now on operations on the memory carry its descriptor.
Napi::Value memory_region(const Napi::CallbackInfo& info) {
  auto* object = Environment::of(info).open<MemoryRegionObject>(handle_argument(info, 0));
  if (object == nullptr) return info.Env().Undefined();
  MemoryBlock* block = object->memory->block.get();
  block->remove_descriptor(object->domain);
  block->add_descriptor(object->domain, fi_mr_desc(object->fid));
  auto result = Napi::Object::New(info.Env());
  result.Set("key", u64_value(info.Env(), fi_mr_key(object->fid)));
  result.Set("address", u64_value(info.Env(), reinterpret_cast<uint64_t>(block->data())));
  return result;
}

}  // namespace

void register_memory_region(Napi::Object exports, Environment* environment) {
  define(exports, "registerMemory", register_memory_call, environment);
  define(exports, "memoryRegion", memory_region, environment);
}

}  // namespace ofi
