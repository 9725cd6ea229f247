#include "libfabric.h"

#include <dirent.h>
#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <strings.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <mutex>

#include "descriptors.h"
#include "rdma_core.h"

namespace ofi {

namespace {

constexpr const char* kSoname = "libfabric.so.1";
constexpr std::array<const char*, 2> kEfaPaths = {"/opt/amazon/efa/lib64/libfabric.so.1",
                                                  "/opt/amazon/efa/lib/libfabric.so.1"};
constexpr const char* kPathVariable = "LIBFABRIC_PATH";

// Set before the library's constructors run, and only where the user has not decided otherwise.
void prepare_environment() {
  // libinfinipath, which Debian's libfabric pulls in, takes over six signals while it is loaded.
  setenv("IPATH_NO_BACKTRACE", "1", 0);
  // Memory hooks would patch libc's munmap and friends under Node. FI_MR_LOCAL makes them needless.
  setenv("FI_MR_CACHE_MONITOR", "disabled", 0);
  // Shared memory inside EFA takes over signals, knows 256 peers, and keeps queues from having wait objects. The device
  // reaches this host too.
  setenv("FI_EFA_ENABLE_SHM_TRANSFER", "0", 0);
}

// After the library is loaded, before it is called for the first time.
void prepare_fork(Library& loaded) {
  loaded.fork_needs_support = fork_needs_support(loaded.handle);
  // Else the efa provider ends the process at its first fork(), which child_process is to libuv.
  if (loaded.fork_needs_support) setenv("FI_EFA_FORK_SAFE", "1", 0);
}

// As libfabric reads a boolean that is off, where nothing is set.
bool is_off(const char* name) {
  const char* const value = std::getenv(name);
  if (value == nullptr) return true;
  constexpr std::array<const char*, 4> kNo = {"0", "no", "false", "off"};
  return std::any_of(kNo.begin(), kNo.end(), [&](const char* no) { return strcasecmp(no, value) == 0; });
}

// The same.
void prepare_writes(const Library& loaded) {
  // efa of libfabric 1.17 takes "the peer has not said yet" for "its NIC reads our memory": a first write of 64 KiB and more
  // then never ends where it does not. The largest number that it takes keeps it from asking.
  if (loaded.version < FI_VERSION(1, 18) && is_off("FI_EFA_USE_DEVICE_RDMA"))
    setenv("FI_EFA_INTER_MIN_READ_WRITE_SIZE", "2147483647", 0);
}

bool has_efa_device() {
  DIR* directory = opendir("/sys/class/infiniband");
  if (directory == nullptr) return false;
  bool found = false;
  while (const dirent* entry = readdir(directory)) {
    std::ifstream vendor(std::string("/sys/class/infiniband/") + entry->d_name + "/device/vendor");
    std::string id;
    if (vendor >> id && id == "0x1d0f") found = true;
  }
  closedir(directory);
  return found;
}

bool exists(const char* path) {
  struct stat info{};
  return stat(path, &info) == 0;
}

// In the order in which they are tried.
std::vector<std::string> candidates() {
  std::vector<std::string> paths;
  const char* chosen = std::getenv(kPathVariable);
  if (chosen != nullptr && *chosen != '\0') return {chosen};
  const bool efa_first = has_efa_device();
  auto add_efa = [&paths] {
    for (const char* path : kEfaPaths)
      if (exists(path)) paths.emplace_back(path);
  };
  if (efa_first) add_efa();
  paths.emplace_back(kSoname);
  if (!efa_first) add_efa();
  return paths;
}

std::string path_of(const void* symbol) {
  Dl_info info{};
  return dladdr(symbol, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "";
}

std::string real_path(const std::string& path) {
  char* resolved = realpath(path.c_str(), nullptr);
  std::string result = resolved != nullptr ? resolved : path;
  std::free(resolved);
  return result;
}

int note_copy(dl_phdr_info* info, size_t, void* data) {
  const std::string name = info->dlpi_name != nullptr ? info->dlpi_name : "";
  const size_t slash = name.rfind('/');
  const std::string base = slash == std::string::npos ? name : name.substr(slash + 1);
  if (base.rfind("libfabric.so", 0) == 0)
    static_cast<std::vector<std::string>*>(data)->push_back(real_path(name));
  return 0;
}

template <typename Function>
bool find(void* handle, const char* name, Function& function, std::string& reason) {
  function = reinterpret_cast<Function>(dlsym(handle, name));
  if (function == nullptr) reason = std::string("it has no ") + name;
  return function != nullptr;
}

std::string version_text(uint32_t version) {
  return std::to_string(FI_MAJOR(version)) + "." + std::to_string(FI_MINOR(version));
}

bool try_open(const std::string& path, Library& result) {
  // A copy that is already in the process is taken before another one is loaded beside it.
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
  if (handle == nullptr) handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    result.looked_at.emplace_back(dlerror());
    return false;
  }
  decltype(&::fi_version) version = nullptr;
  std::string reason;
  const bool complete = find(handle, "fi_getinfo", result.getinfo, reason) &&
                        find(handle, "fi_freeinfo", result.freeinfo, reason) &&
                        find(handle, "fi_dupinfo", result.dupinfo, reason) &&
                        find(handle, "fi_fabric", result.fabric, reason) &&
                        find(handle, "fi_strerror", result.strerror, reason) &&
                        find(handle, "fi_version", version, reason);
  // The program can do without these.
  std::string missing;
  find(handle, "fi_getparams", result.getparams, missing);
  find(handle, "fi_freeparams", result.freeparams, missing);
  find(handle, "fi_tostr_r", result.tostr_r, missing);
  find(handle, "fi_open", result.open, missing);
  if (complete && version() < kOldestSupportedVersion)
    reason =
        "it is version " + version_text(version()) + ", older than " + version_text(kOldestSupportedVersion);
  if (!reason.empty()) {
    result.looked_at.push_back(path + ": " + reason);
    return false;
  }
  result.path = real_path(path_of(reinterpret_cast<const void*>(version)));
  result.version = version();
  result.handle = handle;
  return true;
}

Library load() {
  Library result;
  prepare_environment();
  note_descriptors();
  const SignalGuard guard;
  for (const std::string& path : candidates()) {
    if (!try_open(path, result)) continue;
    result.available = true;
    result.api_version = result.version < kNewestDeclaredVersion ? result.version : kNewestDeclaredVersion;
    break;
  }
  for (const std::string& line : result.looked_at)
    result.reason += (result.reason.empty() ? "" : "; ") + line;
  if (result.available) {
    prepare_fork(result);
    prepare_writes(result);
    std::vector<std::string> copies;
    dl_iterate_phdr(note_copy, &copies);
    for (const std::string& copy : copies)
      if (copy != result.path) result.other_copies.push_back(copy);
  }
  return result;
}

bool points_into_provider(const struct sigaction& action) {
  const void* handler = (action.sa_flags & SA_SIGINFO) != 0
                            ? reinterpret_cast<const void*>(action.sa_sigaction)
                            : reinterpret_cast<const void*>(action.sa_handler);
  if (handler == nullptr || action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN) return false;
  const std::string path = path_of(handler);
  const std::string file = path.substr(path.rfind('/') + 1);
  // The addon's own file begins like the library's.
  if (file.size() >= 5 && file.compare(file.size() - 5, 5, ".node") == 0) return false;
  for (const char* name : {"libfabric", "libinfinipath", "libpsm", "librdmacm", "libibverbs", "libefa"})
    if (file.rfind(name, 0) == 0) return true;
  return false;
}

}  // namespace

const Library& library() {
  static std::once_flag once;
  // Never destroyed: threads may still be in the library while the process ends.
  static const Library* loaded = nullptr;
  std::call_once(once, [] { loaded = new Library(load()); });
  return *loaded;
}

struct SignalGuard::Saved {
  std::array<struct sigaction, kSignals> actions;
};

SignalGuard::SignalGuard() : saved_(new Saved()) {
  for (int number = 1; number < kSignals; ++number) sigaction(number, nullptr, &saved_->actions[number]);
}

SignalGuard::~SignalGuard() {
  for (int number = 1; number < kSignals; ++number) {
    struct sigaction now{};
    // Only handlers of a provider are put back: the program may install its own meanwhile, on another thread.
    if (sigaction(number, nullptr, &now) != 0 || !points_into_provider(now)) continue;
    if (points_into_provider(saved_->actions[number])) continue;
    sigaction(number, &saved_->actions[number], nullptr);
  }
  delete saved_;
}

}  // namespace ofi
