// The shm provider inside efa of libfabric 1.17, which is left out. Napi-free.
#pragma once

#include "fabric_abi.h"

namespace ofi {

// Right before fi_fabric(3), in the same turn of the process (control_turn.h). efa of libfabric 1.17 opens shm beside each
// endpoint, whatever FI_EFA_ENABLE_SHM_TRANSFER says, and tells it of every peer on this host. That shm finds endpoints of
// this process in a list that they never leave, so the first message of one that has closed ends the process (SIGSEGV).
void leave_shm_out_of_efa(const fi_fabric_attr& fabric);

}  // namespace ofi
