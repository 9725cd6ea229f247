#pragma once

#include "environment.h"

namespace ofi {

void register_about(Napi::Object exports, Environment* environment);

}  // namespace ofi
