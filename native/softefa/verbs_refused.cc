// What newer libefas have beyond verbs, and this device has not. Refused here: libefa's own functions would take these
// objects for theirs. The provider then goes through the verbs, as on older devices.
#include <cerrno>

#include "verbs.h"

struct efadv_wq_attr;
struct efadv_cq_attr;
struct efadv_mr_attr;

// Older headers do not declare them.
#pragma GCC visibility push(default)
extern "C" {

// The queues' own memory and doorbells, for providers that write into them themselves.
int efadv_query_qp_wqs(ibv_qp* /*pair*/, efadv_wq_attr* /*sends*/, efadv_wq_attr* /*receives*/,
                       uint32_t /*length*/) {
  return EOPNOTSUPP;
}

int efadv_query_cq(ibv_cq* /*queue*/, efadv_cq_attr* /*attributes*/, uint32_t /*length*/) {
  return EOPNOTSUPP;
}

// Over which interconnect a region is reached.
int efadv_query_mr(ibv_mr* /*region*/, efadv_mr_attr* /*attributes*/, uint32_t /*length*/) {
  return EOPNOTSUPP;
}

}  // extern "C"
#pragma GCC visibility pop
