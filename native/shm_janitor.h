// What JavaScript calls to have shm endpoints' files named, locked, reserved and cleaned up (shm_files.h).
#pragma once

#include "environment.h"

namespace ofi {

void register_shm_janitor(Napi::Object exports, Environment* environment);

}  // namespace ofi
