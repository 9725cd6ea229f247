#include "efa_shm.h"

#include <cstdlib>
#include <cstring>
#include <memory>

#include "libfabric.h"

namespace ofi {

namespace {

constexpr const char* kProvider = "efa";

// As libfabric reads it.
bool is_wanted() {
  const char* const value = std::getenv("FI_EFA_ENABLE_SHM_TRANSFER");
  return value == nullptr || std::strtol(value, nullptr, 0) != 0;
}

}  // namespace

void leave_shm_out_of_efa(const fi_fabric_attr& fabric) {
  const bool is_concerned = library().version < FI_VERSION(1, 18) && fabric.prov_name != nullptr &&
                            std::strcmp(fabric.prov_name, kProvider) == 0;
  if (!is_concerned || is_wanted()) return;
  const std::unique_ptr<fi_info, InfoDeleter> hints(library().dupinfo(nullptr));
  if (hints == nullptr) return;
  // Asked for what it does not have, efa forgets what it knew of shm, and the fabric is opened without.
  hints->ep_attr->type = FI_EP_MSG;
  hints->fabric_attr->prov_name = strdup(kProvider);
  fi_info* none = nullptr;
  if (library().getinfo(library().api_version, nullptr, nullptr, 0, hints.get(), &none) == 0)
    library().freeinfo(none);
}

}  // namespace ofi
