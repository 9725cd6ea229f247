#pragma once

#include "environment.h"

namespace ofi {

void register_log_import(Napi::Object exports, Environment* environment);

}  // namespace ofi
