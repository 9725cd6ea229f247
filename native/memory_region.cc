#include "memory_region.h"

#include "counter.h"
#include "endpoint.h"
#include "handle.h"

namespace ofi {

namespace {

// FI_MR_DMABUF, of API 1.20.
constexpr uint64_t kDmabufFlag = 1ULL << 40;

enum RegisterCall : uint32_t { kReg, kRegv, kRegattr };

// What fi_mr_regattr(3) is told besides, at addresses that last as long as the call.
struct Attributes {
  fi_hmem_iface interface = FI_HMEM_SYSTEM;
  uint64_t device = 0;
  std::vector<uint8_t> auth_key;
  bool has_dmabuf = false;
  DmabufAttributes dmabuf{};
};

uint64_t big(const Napi::Value& value) {
  bool lossless = false;
  return value.As<Napi::BigInt>().Uint64Value(&lossless);
}

// Reads [memory, offset, length, …]. A status.
int32_t read_parts(const Environment& environment, const Napi::Value& list, MemoryRegionObject& object) {
  const auto parts = list.As<Napi::Float64Array>();
  for (size_t i = 0; i + 2 < parts.ElementLength(); i += 3) {
    auto memory = environment.open_shared<MemoryObject>(whole_u32(parts[i]));
    if (memory == nullptr) return kClosed;
    MemoryBlock* block = memory->block.get();
    const uint64_t offset = whole(parts[i + 1]);
    const uint64_t length = whole(parts[i + 2]);
    if (!block->contains(offset, length) || length == 0) return kOutOfRange;
    object.vectors.push_back({block->data() + offset, length});
    if (offset == 0 && length >= block->size()) object.described.push_back(block);
    object.memories.push_back(std::move(memory));
  }
  return kOk;
}

Attributes read_attributes(const Napi::Value& value, const std::vector<iovec>& vectors) {
  Attributes attributes;
  if (!value.IsObject()) return attributes;
  const auto object = value.As<Napi::Object>();
  attributes.interface = static_cast<fi_hmem_iface>(object.Get("interface").As<Napi::Number>().Int32Value());
  attributes.device = u64_member(object, "device");
  if (const Napi::Value key = object.Get("authKey"); key.IsTypedArray()) {
    const auto bytes = key.As<Napi::Uint8Array>();
    attributes.auth_key.assign(bytes.Data(), bytes.Data() + bytes.ByteLength());
  }
  if (const Napi::Value fd = object.Get("dmabufFd"); fd.IsNumber()) {
    attributes.has_dmabuf = true;
    attributes.dmabuf = {fd.As<Napi::Number>().Int32Value(), u64_member(object, "dmabufOffset"),
                         vectors[0].iov_len, vectors[0].iov_base};
  }
  return attributes;
}

int register_with_attributes(MemoryRegionObject& object, uint64_t access, uint64_t key, uint64_t flags,
                             Attributes& attributes) {
  if (!OFI_HAS_OP(object.domain->mr, fi_ops_mr, regattr)) return kUnsupported;
  auto attr = zeroed<MrAttributes>();
  attr.mr_iov = object.vectors.data();
  attr.iov_count = object.vectors.size();
  if (attributes.has_dmabuf) {
    attr.dmabuf = &attributes.dmabuf;
    flags |= kDmabufFlag;
  }
  attr.access = access;
  attr.requested_key = key;
  attr.auth_key_size = attributes.auth_key.size();
  attr.auth_key = attributes.auth_key.empty() ? nullptr : attributes.auth_key.data();
  attr.iface = attributes.interface;
  attr.device = attributes.device;
  return fi_mr_regattr(object.domain, reinterpret_cast<const fi_mr_attr*>(&attr), flags, &object.fid);
}

int register_by(uint32_t call, MemoryRegionObject& object, uint64_t access, uint64_t key, uint64_t flags,
                Attributes& attributes) {
  const std::vector<iovec>& vectors = object.vectors;
  switch (call) {
    case kRegv:
      if (!OFI_HAS_OP(object.domain->mr, fi_ops_mr, regv)) return kUnsupported;
      return fi_mr_regv(object.domain, vectors.data(), vectors.size(), access, 0, key, flags, &object.fid,
                        nullptr);
    case kRegattr: return register_with_attributes(object, access, key, flags, attributes);
    default:
      return fi_mr_reg(object.domain, vectors[0].iov_base, vectors[0].iov_len, access, 0, key, flags,
                       &object.fid, nullptr);
  }
}

// registerMemory(domain, call, parts, access, requestedKey, flags, attributes): fi_mr_reg(3) of one part, fi_mr_regv(3)
// or fi_mr_regattr(3).
Napi::Value register_memory_call(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto domain = environment.open_shared<DomainObject>(handle_argument(info, 0));
  if (domain == nullptr) return resolved(info.Env(), kClosed);
  const uint32_t call = handle_argument(info, 1);
  auto object = std::make_shared<MemoryRegionObject>();
  object->domain = domain->fid;
  object->lent_regions = domain->lent_regions;
  const int32_t refusal = read_parts(environment, info[2], *object);
  if (refusal != kOk) return resolved(info.Env(), refusal);
  std::vector<std::shared_ptr<Object>> parents{domain};
  parents.insert(parents.end(), object->memories.begin(), object->memories.end());
  const uint64_t access = big(info[3]);
  const uint64_t key = big(info[4]);
  const uint64_t flags = big(info[5]);
  auto attributes = std::make_shared<Attributes>(read_attributes(info[6], object->vectors));
  return environment.open_object(object, parents, [object, call, access, key, flags, attributes] {
    const int status = register_by(call, *object, access, key, flags, *attributes);
    if (status == 0) object->begin_lending(access);
    return status;
  });
}

// bindMemoryRegion(region, counter | endpoint, flags): fi_mr_bind(3). A status.
Napi::Value bind_memory_region(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto region = environment.open_shared<MemoryRegionObject>(handle_argument(info, 0));
  const std::shared_ptr<Object> other = environment.any(handle_argument(info, 1));
  if (region == nullptr || other == nullptr || other->phase != Phase::Open)
    return Napi::Number::New(info.Env(), kClosed);
  fid* bound = nullptr;
  if (other->kind == Kind::Counter) bound = &static_cast<CounterObject*>(other.get())->fid->fid;
  if (other->kind == Kind::Endpoint) bound = &static_cast<EndpointObject*>(other.get())->fid->fid;
  if (bound == nullptr) return Napi::Number::New(info.Env(), kClosed);
  if (!OFI_HAS_OP(region->fid->fid.ops, fi_ops, bind)) return Napi::Number::New(info.Env(), kUnsupported);
  const int status = fi_mr_bind(region->fid, bound, big(info[2]));
  if (status == 0) region->depend_on(other);
  return Napi::Number::New(info.Env(), status);
}

// enableMemoryRegion(region): fi_mr_enable(3). A status.
Napi::Value enable_memory_region(const Napi::CallbackInfo& info) {
  auto* region = Environment::of(info).open<MemoryRegionObject>(handle_argument(info, 0));
  if (region == nullptr) return Napi::Number::New(info.Env(), kClosed);
  return Napi::Number::New(info.Env(), OFI_HAS_OP(region->fid->fid.ops, fi_ops, control)
                                           ? fi_mr_enable(region->fid)
                                           : static_cast<int>(kUnsupported));
}

// refreshMemoryRegion(region, parts, flags): fi_mr_refresh(3). A status.
Napi::Value refresh_memory_region(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto* region = environment.open<MemoryRegionObject>(handle_argument(info, 0));
  if (region == nullptr) return Napi::Number::New(info.Env(), kClosed);
  MemoryRegionObject parts;  // never registered: only what it read is used
  int status = read_parts(environment, info[1], parts);
  if (status == kOk)
    status = OFI_HAS_OP(region->fid->fid.ops, fi_ops, control)
                 ? fi_mr_refresh(region->fid, parts.vectors.data(), parts.vectors.size(), big(info[2]))
                 : static_cast<int>(kUnsupported);
  return Napi::Number::New(info.Env(), status);
}

// rawKey(region, flags): fi_mr_raw_attr(3). { key, address }, or a status.
Napi::Value raw_key(const Napi::CallbackInfo& info) {
  auto* region = Environment::of(info).open<MemoryRegionObject>(handle_argument(info, 0));
  if (region == nullptr) return Napi::Number::New(info.Env(), kClosed);
  if (!OFI_HAS_OP(region->fid->fid.ops, fi_ops, control)) return Napi::Number::New(info.Env(), kUnsupported);
  uint64_t address = 0;
  const uint64_t flags = big(info[1]);
  const Napi::Value key = address_value(info.Env(), [&](uint8_t* bytes, size_t* length) {
    return fi_mr_raw_attr(region->fid, &address, bytes, length, flags);
  });
  if (key.IsNumber()) return key;
  auto result = Napi::Object::New(info.Env());
  result.Set("key", key);
  result.Set("address", u64_value(info.Env(), address));
  return result;
}

// mapRawKey(domain, address, key, flags): fi_mr_map_raw(3). The key that operations name, or a status.
Napi::Value map_raw_key(const Napi::CallbackInfo& info) {
  auto* domain = Environment::of(info).open<DomainObject>(handle_argument(info, 0));
  if (domain == nullptr) return Napi::Number::New(info.Env(), kClosed);
  if (!OFI_HAS_OP(domain->fid->fid.ops, fi_ops, control)) return Napi::Number::New(info.Env(), kUnsupported);
  auto raw = info[2].As<Napi::Uint8Array>();
  uint64_t key = 0;
  const int status =
      fi_mr_map_raw(domain->fid, big(info[1]), raw.Data(), raw.ByteLength(), &key, big(info[3]));
  return status == 0 ? u64_value(info.Env(), key) : Napi::Number::New(info.Env(), status);
}

// unmapKey(domain, key): fi_mr_unmap_key(3). A status.
Napi::Value unmap_key(const Napi::CallbackInfo& info) {
  auto* domain = Environment::of(info).open<DomainObject>(handle_argument(info, 0));
  if (domain == nullptr) return Napi::Number::New(info.Env(), kClosed);
  return Napi::Number::New(info.Env(), OFI_HAS_OP(domain->fid->fid.ops, fi_ops, control)
                                           ? fi_mr_unmap_key(domain->fid, big(info[1]))
                                           : static_cast<int>(kUnsupported));
}

// memoryRegion(region): { key, address, descriptor }; from now on operations on the memory carry its descriptor.
Napi::Value memory_region(const Napi::CallbackInfo& info) {
  auto* object = Environment::of(info).open<MemoryRegionObject>(handle_argument(info, 0));
  if (object == nullptr) return info.Env().Undefined();
  object->descriptor = fi_mr_desc(object->fid);
  object->describe();
  auto result = Napi::Object::New(info.Env());
  result.Set("key", u64_value(info.Env(), fi_mr_key(object->fid)));
  result.Set("address", u64_value(info.Env(), reinterpret_cast<uint64_t>(object->vectors.front().iov_base)));
  result.Set("descriptor", u64_value(info.Env(), reinterpret_cast<uint64_t>(object->descriptor)));
  return result;
}

}  // namespace

void MemoryRegionObject::begin_lending(uint64_t access) {
  if ((access & (FI_REMOTE_READ | FI_REMOTE_WRITE)) == 0) return;
  is_lent_ = true;
  lent_regions->fetch_add(1, std::memory_order_relaxed);
}

int MemoryRegionObject::close_blocking() {
  const int status = FidObject::close_blocking();
  if (status == 0 && is_lent_) {
    is_lent_ = false;
    lent_regions->fetch_sub(1, std::memory_order_relaxed);
  }
  return status;
}

void MemoryRegionObject::describe() {
  if (describes_) return;
  describes_ = true;
  for (MemoryBlock* block : described) block->add_descriptor(domain, descriptor);
}

void MemoryRegionObject::stop_describing() {
  if (!describes_) return;
  describes_ = false;
  for (MemoryBlock* block : described) block->remove_descriptor(domain, descriptor);
}

void register_memory_region(Napi::Object exports, Environment* environment) {
  define(exports, "registerMemory", register_memory_call, environment);
  define(exports, "bindMemoryRegion", bind_memory_region, environment);
  define(exports, "memoryRegion", memory_region, environment);
  define(exports, "enableMemoryRegion", enable_memory_region, environment);
  define(exports, "refreshMemoryRegion", refresh_memory_region, environment);
  define(exports, "rawKey", raw_key, environment);
  define(exports, "mapRawKey", map_raw_key, environment);
  define(exports, "unmapKey", unmap_key, environment);
}

}  // namespace ofi
