#pragma once

#include "environment.h"

namespace ofi {

void register_options(Napi::Object exports, Environment* environment);

}  // namespace ofi
