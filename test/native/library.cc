// Loading. A process loads libfabric once, so each case is a child of its own.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <string>

#include "harness.h"
#include "libfabric.h"

namespace {

// What `body` returns in a child, or how the child ended otherwise.
std::string in_child(const std::function<std::string()>& body) {
  int fds[2];
  if (pipe(fds) != 0) return "no pipe";
  const pid_t child = fork();
  if (child < 0) return "no child";
  if (child == 0) {
    const std::string answer = body();
    const bool written = write(fds[1], answer.data(), answer.size()) == static_cast<ssize_t>(answer.size());
    _exit(written ? 0 : 1);
  }
  close(fds[1]);
  std::string answer;
  char part[256];
  for (ssize_t got = 0; (got = read(fds[0], part, sizeof(part))) > 0;)
    answer.append(part, static_cast<size_t>(got));
  close(fds[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return status == 0 ? answer : "ended with status " + std::to_string(status);
}

bool contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return true;
  std::printf("  \"%s\" lacks \"%s\"\n", text.c_str(), part.c_str());
  return false;
}

std::string reason_with_path(const char* path) {
  return in_child([path]() -> std::string {
    setenv("LIBFABRIC_PATH", path, 1);
    return ofi::library().available ? "available" : ofi::library().reason;
  });
}

}  // namespace

TEST(missing_library_is_named) {
  CHECK(contains(reason_with_path("/nowhere/libfabric.so.1"), "/nowhere/libfabric.so.1"));
}

TEST(other_library_is_refused_with_what_it_lacks) {
  CHECK(contains(reason_with_path("libm.so.6"), "libm.so.6: it has no fi_getinfo"));
}

TEST(file_that_is_no_library_is_refused) {
  CHECK(contains(reason_with_path("/proc/self/cmdline"), "/proc/self/cmdline"));
}

TEST(variables_are_set_before_loading) {
  const std::string answer = in_child([] {
    unsetenv("IPATH_NO_BACKTRACE");
    unsetenv("FI_MR_CACHE_MONITOR");
    setenv("LIBFABRIC_PATH", "/nowhere", 1);
    ofi::library();
    return std::string(std::getenv("IPATH_NO_BACKTRACE")) + std::getenv("FI_MR_CACHE_MONITOR");
  });
  CHECK(answer == "1disabled");
}

TEST(variables_of_the_user_stay) {
  const std::string answer = in_child([] {
    setenv("IPATH_NO_BACKTRACE", "0", 1);
    setenv("FI_MR_CACHE_MONITOR", "memhooks", 1);
    setenv("LIBFABRIC_PATH", "/nowhere", 1);
    ofi::library();
    return std::string(std::getenv("IPATH_NO_BACKTRACE")) + std::getenv("FI_MR_CACHE_MONITOR");
  });
  CHECK(answer == "0memhooks");
}

TEST(empty_path_means_none) {
  const std::string answer = in_child([]() -> std::string {
    setenv("LIBFABRIC_PATH", "", 1);
    return ofi::library().available ? "available" : ofi::library().reason;
  });
  CHECK(answer == "available" || contains(answer, "libfabric.so.1"));
}

TEST(loaded_library_is_complete) {
  const ofi::Library& library = ofi::library();
  if (!library.available) SKIP("no libfabric: " + library.reason);
  CHECK(library.reason.empty());
  CHECK(contains(library.path, "/libfabric.so."));
  CHECK(library.version >= ofi::kOldestSupportedVersion);
  CHECK(library.api_version <= library.version);
  CHECK(library.api_version <= ofi::kNewestDeclaredVersion);
  CHECK(library.other_copies.empty());
  CHECK(library.getinfo != nullptr && library.freeinfo != nullptr && library.dupinfo != nullptr);
  CHECK(library.fabric != nullptr && library.strerror != nullptr);
  CHECK(&ofi::library() == &library);
}
