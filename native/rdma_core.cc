#include "rdma_core.h"

#include <dlfcn.h>

#include <cstdint>

namespace ofi {

namespace {

// libibverbs and libefa as libfabric finds them: what is preloaded first, then its own dependencies.
template <typename Function>
bool find(void* libfabric, const char* name, Function& function) {
  void* found = dlsym(RTLD_DEFAULT, name);
  if (found == nullptr && libfabric != nullptr) found = dlsym(libfabric, name);
  function = reinterpret_cast<Function>(found);
  return function != nullptr;
}

// From infiniband/verbs.h and infiniband/efadv.h, whose headers a machine that only has libfabric lacks.
constexpr int kForkUnneeded = 2;             // IBV_FORK_UNNEEDED
constexpr uint32_t kCapabilityRdmaRead = 1;  // EFADV_DEVICE_ATTR_CAPS_RDMA_READ

struct EfaDeviceAttributes {  // efadv_device_attr
  uint64_t comp_mask;
  uint32_t max_sq_wr;
  uint32_t max_rq_wr;
  uint16_t max_sq_sge;
  uint16_t max_rq_sge;
  uint16_t inline_buf_size;
  uint8_t reserved[2];
  uint32_t device_caps;
  uint32_t max_rdma_size;
};

struct Verbs {
  void** (*get_device_list)(int*) = nullptr;
  void (*free_device_list)(void**) = nullptr;
  void* (*open_device)(void*) = nullptr;
  int (*close_device)(void*) = nullptr;
  int (*query_efa_device)(void*, EfaDeviceAttributes*, uint32_t) = nullptr;

  bool find_all(void* libfabric) {
    return find(libfabric, "ibv_get_device_list", get_device_list) &&
           find(libfabric, "ibv_free_device_list", free_device_list) &&
           find(libfabric, "ibv_open_device", open_device) &&
           find(libfabric, "ibv_close_device", close_device) &&
           find(libfabric, "efadv_query_device", query_efa_device);
  }
};

}  // namespace

bool fork_needs_support(void* libfabric) {
  void* any = nullptr;
  if (!find(libfabric, "ibv_fork_init", any)) return false;
  int (*is_fork_initialized)() = nullptr;
  // rdma-core before 35 cannot tell, and cannot rely on the kernel either.
  return !find(libfabric, "ibv_is_fork_initialized", is_fork_initialized) ||
         is_fork_initialized() != kForkUnneeded;
}

RdmaRead rdma_read_of_efa_device(void* libfabric) {
  Verbs verbs;
  if (!verbs.find_all(libfabric)) return RdmaRead::kNoDevice;
  int count = 0;
  void** const list = verbs.get_device_list(&count);
  if (list == nullptr) return RdmaRead::kNoDevice;
  RdmaRead result = RdmaRead::kNoDevice;
  for (int index = 0; index < count && result == RdmaRead::kNoDevice; ++index) {
    void* const device = verbs.open_device(list[index]);
    if (device == nullptr) continue;
    EfaDeviceAttributes attributes{};
    // Another maker's device refuses.
    if (verbs.query_efa_device(device, &attributes, sizeof attributes) == 0)
      result = (attributes.device_caps & kCapabilityRdmaRead) != 0 ? RdmaRead::kYes : RdmaRead::kNo;
    verbs.close_device(device);
  }
  verbs.free_device_list(list);
  return result;
}

}  // namespace ofi
