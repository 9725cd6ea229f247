// rdma/fi_profile.h as of libfabric 2.0 to 2.6, which older headers lack.
#pragma once

#include "fabric_abi.h"

namespace ofi {

struct ProfileDescription {
  uint32_t id;
  int32_t datatype_selector;  // 0: `datatype` is an enum fi_datatype; 1: an enum fi_type
  int32_t datatype;
  uint64_t flags;
  size_t size;
  const char* name;
  const char* description;
};

struct fid_profile;

struct ProfileOps {
  size_t size;
  void (*reset)(fid_profile* profile, uint64_t flags);
  ssize_t (*query_vars)(fid_profile* profile, ProfileDescription* list, size_t* count);
  ssize_t (*query_events)(fid_profile* profile, ProfileDescription* list, size_t* count);
  ssize_t (*read_var)(fid_profile* profile, uint32_t variable, void* data, size_t* size);
  void* reg_callback;
  void (*start_reads)(fid_profile* profile, uint64_t flags);
  void (*end_reads)(fid_profile* profile, uint64_t flags);
};

struct fid_profile {
  ::fid fid;
  ProfileOps* ops;
};

// The provider gives the place of the table's pointer, which is inside the object.
inline int fi_profile_open(::fid* of, uint64_t flags, fid_profile** profile, void* context) {
  if (!OFI_HAS_OP(of->ops, fi_ops, ops_open)) return -FI_ENOSYS;
  void* place = nullptr;
  const int status = fi_open_ops(of, "fi_profile_ops", flags, &place, context);
  if (status != 0) return status;
  if (place == nullptr) return -FI_ENOSYS;
  *profile = reinterpret_cast<fid_profile*>(static_cast<uint8_t*>(place) - offsetof(fid_profile, ops));
  return 0;
}

// Those of tcp have no table for it, up to 2.6: they go with their endpoint.
inline int fi_profile_close(fid_profile* profile) {
  if (!OFI_HAS_OP(profile->fid.ops, fi_ops, close)) return 0;
  return profile->fid.ops->close(&profile->fid);
}

inline int64_t fi_profile_read_u64(fid_profile* profile, uint32_t variable, uint64_t* value) {
  size_t size = sizeof(*value);
  const ssize_t status = profile->ops->read_var(profile, variable, value, &size);
  return status > 0 ? 0 : status;
}

inline ssize_t fi_profile_query_vars(fid_profile* profile, ProfileDescription* list, size_t* count) {
  return profile->ops->query_vars(profile, list, count);
}

inline ssize_t fi_profile_query_events(fid_profile* profile, ProfileDescription* list, size_t* count) {
  return profile->ops->query_events(profile, list, count);
}

inline void fi_profile_reset(fid_profile* profile, uint64_t flags) { profile->ops->reset(profile, flags); }
inline void fi_profile_start_reads(fid_profile* profile, uint64_t flags) {
  profile->ops->start_reads(profile, flags);
}
inline void fi_profile_end_reads(fid_profile* profile, uint64_t flags) {
  profile->ops->end_reads(profile, flags);
}

}  // namespace ofi
