// What provider efa offers beyond libfabric's own calls (fi_efa(7)), by fi_open_ops(3).
#include "efa_ops.h"

#include <cstdlib>

#include "domain.h"
#include "fabric.h"
#include "handle.h"
#include "memory_region.h"

namespace ofi {

namespace {

// As libfabric 2.0 and 2.6 lay these out; 1.17's headers lack them.
struct EfaMemoryRegionAttributes {
  uint16_t validity;
  uint16_t receive;
  uint16_t rdma_read;
  uint16_t rdma_receive;
  uint8_t tail_room[kTailRoom];
};

struct EfaDomainOps {
  int (*query_mr)(fid_mr* region, EfaMemoryRegionAttributes* attributes);
};

struct EfaFeatureOps {
  bool (*query)(const char* feature);
};

// Null where the provider has no table of that name.
template <typename Ops>
const Ops* open_ops(fid* of, const char* name) {
  if (!OFI_HAS_OP(of->ops, fi_ops, ops_open)) return nullptr;
  void* ops = nullptr;
  return fi_open_ops(of, name, 0, &ops, nullptr) == 0 ? static_cast<const Ops*>(ops) : nullptr;
}

// efaQueryMemoryRegion(domain, region): query_mr of "efa domain ops". [validity, receive, rdmaRead, rdmaReceive], or a
// negative status.
Napi::Value efa_query_memory_region(const Napi::CallbackInfo& info) {
  const Environment& environment = Environment::of(info);
  auto* domain = environment.open<DomainObject>(handle_argument(info, 0));
  auto* region = environment.open<MemoryRegionObject>(handle_argument(info, 1));
  if (domain == nullptr || region == nullptr) return Napi::Number::New(info.Env(), kClosed);
  if (region->domain != domain->fid) return Napi::Number::New(info.Env(), -FI_EDOMAIN);
  const auto* ops = open_ops<EfaDomainOps>(&domain->fid->fid, "efa domain ops");
  if (ops == nullptr || ops->query_mr == nullptr) return Napi::Number::New(info.Env(), kUnsupported);
  auto attributes = zeroed<EfaMemoryRegionAttributes>();
  const int status = ops->query_mr(region->fid, &attributes);
  // libfabric 2.1 gives the error as a positive number.
  if (status != 0) return Napi::Number::New(info.Env(), -std::abs(status));
  auto list = Napi::Array::New(info.Env(), 4);
  uint32_t index = 0;
  for (const uint16_t value :
       {attributes.validity, attributes.receive, attributes.rdma_read, attributes.rdma_receive})
    list.Set(index++, Napi::Number::New(info.Env(), value));
  return list;
}

// efaFeature(fabric, feature): query of "efa feature ops". 1, 0, or a negative status.
Napi::Value efa_feature(const Napi::CallbackInfo& info) {
  auto* fabric = Environment::of(info).open<FabricObject>(handle_argument(info, 0));
  if (fabric == nullptr) return Napi::Number::New(info.Env(), kClosed);
  const auto* ops = open_ops<EfaFeatureOps>(&fabric->fid->fid, "efa feature ops");
  if (ops == nullptr || ops->query == nullptr) return Napi::Number::New(info.Env(), kUnsupported);
  const std::string feature = info[1].As<Napi::String>().Utf8Value();
  return Napi::Number::New(info.Env(), ops->query(feature.c_str()) ? 1 : 0);
}

}  // namespace

void register_efa_ops(Napi::Object exports, Environment* environment) {
  define(exports, "efaQueryMemoryRegion", efa_query_memory_region, environment);
  define(exports, "efaFeature", efa_feature, environment);
}

}  // namespace ofi
