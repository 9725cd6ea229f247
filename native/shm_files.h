// Files that shm endpoints leave in /dev/shm. Each endpoint gets a name of ours and a lock file beside its file, locked
// while its process lives: what a killed process left is found by a lock that nobody holds, and only so. Napi-free.
#pragma once

#include <string>

namespace ofi {

// Removes what dead owners left in `directory`; how many files.
int shm_remove_stale(const std::string& directory);
// Creates and locks the lock file of `name`: its descriptor, or a negative errno.
int shm_lock(const std::string& directory, const std::string& name);
// Makes sure that every page of the endpoint's file exists, so that a full /dev/shm is an error now and not a SIGBUS
// later. 0, or a negative errno.
int shm_reserve(const std::string& directory, const std::string& name);
// Gives up the lock of an endpoint that is closed, and its file with it.
void shm_release(const std::string& directory, const std::string& name, int* lock);

constexpr const char* kShmDirectory = "/dev/shm";

}  // namespace ofi
