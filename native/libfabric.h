// Finds and opens libfabric at run time. The only file that names libfabric's exported symbols: all else goes through
// the tables that the library's objects carry. Napi-free.
#pragma once

#include <string>
#include <vector>

#include "fabric_abi.h"

namespace ofi {

struct Library {
  bool available = false;
  std::string path;
  uint32_t version = 0;      // fi_version()
  uint32_t api_version = 0;  // what is asked for: the lower of version and kNewestDeclaredVersion
  std::string reason;        // why it is not available
  std::vector<std::string> looked_at;
  std::vector<std::string> other_copies;  // further libfabrics in this process
  void* handle = nullptr;                 // of dlopen(3)
  bool fork_needs_support = false;        // fork_needs_support() of rdma_core.h

  decltype(&::fi_getinfo) getinfo = nullptr;
  decltype(&::fi_freeinfo) freeinfo = nullptr;
  decltype(&::fi_dupinfo) dupinfo = nullptr;
  decltype(&::fi_fabric) fabric = nullptr;
  decltype(&::fi_strerror) strerror = nullptr;
  // Null where the library lacks them.
  decltype(&::fi_getparams) getparams = nullptr;
  decltype(&::fi_freeparams) freeparams = nullptr;
  decltype(&::fi_tostr_r) tostr_r = nullptr;
  decltype(&::fi_open) open = nullptr;
};

// Loaded once per process, never unloaded (it leaves fork handlers and threads behind).
const Library& library();

// Frees with the library that allocated.
struct InfoDeleter {
  void operator()(fi_info* info) const { library().freeinfo(info); }
};

// Provider code installs signal handlers (libinfinipath when it is loaded, shm when an endpoint opens). Node's must
// stay: while a guard lives, handlers that point into such a library are replaced by what was there before.
class SignalGuard {
 public:
  SignalGuard();
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;
  ~SignalGuard();

 private:
  static constexpr int kSignals = 32;
  struct Saved;
  Saved* saved_;
};

}  // namespace ofi
