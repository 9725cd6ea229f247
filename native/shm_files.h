// Files that shm endpoints leave in /dev/shm. Each endpoint gets a name of ours and a lock file beside its file, locked
// while its process lives: what a killed process left is found by a lock that nobody holds, and only so. Napi-free.
#pragma once

#include <cstdint>
#include <string>

namespace ofi {

// Removes what dead owners left in `directory`; how many files.
int shm_remove_stale(const std::string& directory);
// Creates and locks the lock file of `name`: its descriptor, or a negative errno.
int shm_lock(const std::string& directory, const std::string& name);
// Whether an endpoint's file of so many bytes fits. The provider does not ask: it writes, and a full /dev/shm is a SIGBUS.
bool shm_has_room(const std::string& directory, uint64_t bytes);
// Makes sure that every page of the endpoint's file exists, so that a full /dev/shm is an error now and not a SIGBUS
// later. 0, or a negative errno.
int shm_reserve(const std::string& directory, const std::string& name);
// Gives up the lock of an endpoint that is closed, and its file with it.
void shm_release(const std::string& directory, const std::string& name, int* lock);

// One endpoint at a time, over all processes: from the look at the room that there is to having taken it nobody else of
// ours takes any. A lock of the directory itself, which any user can take and which leaves no file. Who does not get it
// within the bound goes on without: somebody holds it who has no business with it.
class ShmTurn {
 public:
  explicit ShmTurn(const std::string& directory, uint32_t bound_ms = 5'000);
  ShmTurn(const ShmTurn&) = delete;
  ShmTurn& operator=(const ShmTurn&) = delete;
  ~ShmTurn();

 private:
  int fd_;
};

constexpr const char* kShmDirectory = "/dev/shm";

}  // namespace ofi
