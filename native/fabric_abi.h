// libfabric's structures as the newest declared release (2.6) lays them out.
//
// The addon is compiled against whatever headers the machine has (1.17 or later) and runs against whatever library it
// finds. Structures only ever grow at their end, so: what we allocate and the library reads or writes is declared here
// in full, zeroed, with room to spare behind it; what the library allocates (fi_info) is only read up to the fields
// that the running version is known to have. See fabric(7), section "ABI CHANGES".
#pragma once

#include <rdma/fabric.h>
#include <rdma/fi_atomic.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_eq.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>
#include <rdma/fi_tagged.h>
#include <rdma/fi_trigger.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace ofi {

// The newest release whose structures are declared below; no newer API version is ever asked for.
constexpr uint32_t kNewestDeclaredVersion = FI_VERSION(2, 6);
// The oldest release whose behaviour is known.
constexpr uint32_t kOldestSupportedVersion = FI_VERSION(1, 17);

// Providers read a whole address structure, or text up to its end, whatever was given: it gets so much room.
constexpr size_t kLongestAddress = 512;

// Bytes behind each structure that a newer library may write without harm.
constexpr size_t kTailRoom = 128;

// struct fi_cq_err_entry: src_addr came with API 1.20; a library asked for 1.20 or more writes it.
struct CqErrorEntry {
  void* op_context;
  uint64_t flags;
  size_t len;
  void* buf;
  uint64_t data;
  uint64_t tag;
  size_t olen;
  int err;
  int prov_errno;
  void* err_data;
  size_t err_data_size;
  fi_addr_t src_addr;
  uint8_t tail_room[kTailRoom];
};
static_assert(offsetof(CqErrorEntry, err_data_size) == offsetof(fi_cq_err_entry, err_data_size));

// struct fi_eq_err_entry and the event structures: the largest event is a connection event with its parameters.
struct EqErrorEntry {
  fid_t fid;
  void* context;
  uint64_t data;
  int err;
  int prov_errno;
  void* err_data;
  size_t err_data_size;
  uint8_t tail_room[kTailRoom];
};
static_assert(offsetof(EqErrorEntry, err_data_size) == offsetof(fi_eq_err_entry, err_data_size));

// struct fi_cq_attr: xpu_ctx is appended after 2.6.
struct CqAttributes {
  fi_cq_attr attr;
  uint8_t tail_room[kTailRoom];
};

struct AvAttributes {
  fi_av_attr attr;
  uint8_t tail_room[kTailRoom];
};

struct EqAttributes {
  fi_eq_attr attr;
  uint8_t tail_room[kTailRoom];
};

// struct fi_mr_dmabuf, of API 1.20.
struct DmabufAttributes {
  int fd;
  uint64_t offset;
  size_t len;
  void* base_addr;
};

// struct fi_mr_attr: the first member is a union from API 1.20 on; hmem_data and what follows came later too.
struct MrAttributes {
  union {
    const iovec* mr_iov;
    const DmabufAttributes* dmabuf;
  };
  size_t iov_count;
  uint64_t access;
  uint64_t offset;
  uint64_t requested_key;
  void* context;
  size_t auth_key_size;
  uint8_t* auth_key;
  fi_hmem_iface iface;
  uint64_t device;
  void* hmem_data;
  size_t page_size;
  const fid_mr* base_mr;
  size_t sub_mr_cnt;
  uint8_t tail_room[kTailRoom];
};
static_assert(offsetof(MrAttributes, device) == offsetof(fi_mr_attr, device));

struct CounterAttributes {
  fi_cntr_attr attr;
  uint8_t tail_room[kTailRoom];
};

// A zeroed structure of the library's, with its tail room. Zero is every field's default (FI_WAIT_NONE included).
template <typename T>
T zeroed() {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
  std::memset(&value, 0, sizeof(value));
  return value;
}

// FI_CONTEXT2: the largest context that a provider may ask for.
struct ProviderContext {
  void* internal[8];
};
static_assert(sizeof(ProviderContext) >= sizeof(fi_context2));

// Provider tables may end before a call that a newer header declares, and may hold NULL (EFA's tagged table).
#define OFI_HAS_OP(ops, type, field) \
  ((ops) != nullptr && (ops)->size >= offsetof(type, field) + sizeof((ops)->field) && (ops)->field != nullptr)

}  // namespace ofi
