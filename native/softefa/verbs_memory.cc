// Memory regions: what they may lock, and what fork() does to them.
#include <sys/resource.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "verbs.h"

using namespace softefa;

namespace {

constexpr uint64_t kPageBytes = 4096;

std::atomic<bool> fork_is_guarded = false;
std::atomic<bool> memory_was_registered = false;
std::atomic<uint64_t> locked_pages = 0;

bool is_set(const char* name) {
  const char* const text = std::getenv(name);
  return text != nullptr && *text != '\0' && std::string_view(text) != "0";
}

// The pages of a region, counted against RLIMIT_MEMLOCK where SOFTEFA_MEMLOCK says so: as the kernel counts what a
// device has pinned, but for root too, whom it lets have all.
class LockedPages {
 public:
  LockedPages() = default;
  LockedPages(const LockedPages&) = delete;
  LockedPages& operator=(const LockedPages&) = delete;
  ~LockedPages() { locked_pages -= count_; }

  bool lock(uint64_t address, uint64_t length) {
    if (!is_set("SOFTEFA_MEMLOCK")) return true;
    rlimit limit{};
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return false;
    const uint64_t first = address / kPageBytes, end = (address + length + kPageBytes - 1) / kPageBytes;
    const uint64_t most = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur / kPageBytes;
    uint64_t locked = locked_pages;
    do {
      if (end - first > most || locked > most - (end - first)) return false;
    } while (!locked_pages.compare_exchange_weak(locked, locked + end - first));
    count_ = end - first;
    return true;
  }

 private:
  uint64_t count_ = 0;
};

struct MemoryRegion : ibv_mr {
  LockedPages pages;
};

}  // namespace

extern "C" {

// With SOFTEFA_FORK_UNSAFE as on a kernel that leaves it to programs to keep registered memory whole at fork(): what they
// do about it can be tried.
ibv_fork_status ibv_is_fork_initialized() {
  if (!is_set("SOFTEFA_FORK_UNSAFE")) return IBV_FORK_UNNEEDED;
  return fork_is_guarded ? IBV_FORK_ENABLED : IBV_FORK_DISABLED;
}

int ibv_fork_init() {
  if (fork_is_guarded) return 0;
  if (memory_was_registered) return EINVAL;  // too late: it is not guarded
  fork_is_guarded = true;
  return 0;
}

ibv_mr* ibv_reg_mr_iova2(ibv_pd* domain, void* address, size_t length, uint64_t seen_as, unsigned access) {
  if (seen_as != reinterpret_cast<uint64_t>(address)) {
    errno = EOPNOTSUPP;
    return nullptr;
  }
  auto region = std::make_unique<MemoryRegion>();
  static_cast<ibv_mr&>(*region) = {};
  if (!region->pages.lock(seen_as, length)) {
    errno = ENOMEM;
    return nullptr;
  }
  Request request;
  request.kind = RequestKind::kRegister;
  request.address = seen_as;
  request.length = length;
  request.access = access;
  const Reply reply = Context::of(domain->context)->channel.ask(request);
  if (reply.error != 0) {
    errno = reply.error;
    return nullptr;
  }
  memory_was_registered = true;
  region->context = domain->context;
  region->pd = domain;
  region->addr = address;
  region->length = length;
  region->lkey = region->rkey = reply.object;
  return region.release();
}

ibv_mr* ibv_reg_mr(ibv_pd* domain, void* address, size_t length, int access) {
  return ibv_reg_mr_iova2(domain, address, length, reinterpret_cast<uint64_t>(address),
                          static_cast<unsigned>(access));
}

ibv_mr* ibv_reg_mr_iova(ibv_pd* domain, void* address, size_t length, uint64_t seen_as, int access) {
  return ibv_reg_mr_iova2(domain, address, length, seen_as, static_cast<unsigned>(access));
}

ibv_mr* ibv_reg_dmabuf_mr(ibv_pd* /*domain*/, uint64_t /*offset*/, size_t /*length*/, uint64_t /*seen_as*/,
                          int /*fd*/, int /*access*/) {
  errno = EOPNOTSUPP;
  return nullptr;
}

int ibv_dereg_mr(ibv_mr* region) {
  Request request;
  request.kind = RequestKind::kDeregister;
  request.object = region->lkey;
  const Reply reply = Context::of(region->context)->channel.ask(request);
  // A NIC that is gone has no registrations any more.
  if (reply.error != 0 && reply.error != EIO) return reply.error;
  delete static_cast<MemoryRegion*>(region);
  return 0;
}

}  // extern "C"
