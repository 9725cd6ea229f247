// fi_getinfo: hints in, a chain of fi_info out.
#pragma once

#include <memory>

#include "environment.h"
#include "libfabric.h"

namespace ofi {

using InfoPointer = std::unique_ptr<fi_info, InfoDeleter>;

// An fi_info as JavaScript gets it, with a copy of the fi_info itself.
Napi::Object info_object(Napi::Env env, const fi_info* info);

// The fi_info behind an Info of JavaScript's (a type-tagged external); null for anything else.
std::shared_ptr<fi_info> info_of(const Napi::Value& value);

void register_info(Napi::Object exports, Environment* environment);

}  // namespace ofi
