// Files that shm endpoints leave in /dev/shm: room is checked before one is opened (the provider would die of SIGBUS),
// and what a killed process left is removed, but only where a lock file shows that its owner is gone.
#pragma once

#include "environment.h"

namespace ofi {

// Gives up the lock of an endpoint that is closed.
void shm_release(int* lock);

void register_shm_janitor(Napi::Object exports, Environment* environment);

}  // namespace ofi
