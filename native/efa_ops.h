#pragma once

#include "environment.h"

namespace ofi {

void register_efa_ops(Napi::Object exports, Environment* environment);

}  // namespace ofi
