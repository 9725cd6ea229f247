// What rdma-core, which libfabric's efa provider goes through, says of this machine: asked before the provider, which ends
// the process over some answers. Found at run time, since a libfabric may be built without it. Napi-free.
#pragma once

namespace ofi {

// Whether registered memory may be corrupted by fork() unless rdma-core is told to guard it (FI_EFA_FORK_SAFE=1): on
// kernels before 5.13, and with an rdma-core before 35. False where there is no rdma-core. `libfabric` is its handle.
bool fork_needs_support(void* libfabric);

enum class RdmaRead { kNoDevice, kNo, kYes };

// Whether the first EFA device reads memory of other machines by itself.
RdmaRead rdma_read_of_efa_device(void* libfabric);

}  // namespace ofi
