// What atomic operations on one piece of memory and on several share.
#pragma once

#include <algorithm>

#include "endpoint.h"

namespace ofi {

// How the addon's callers number the forms of an atomic operation.
enum AtomicKind : uint32_t { kAtomicWrite = 0, kAtomicFetch = 1, kAtomicCompare = 2, kAtomicInject = 3 };

// Bytes of one element of an enum fi_datatype; 1 for one that is unknown.
uint32_t datatype_size(uint32_t datatype);
// What addresses of elements must be multiples of: split ones are not atomic, or end the process.
inline uint32_t datatype_alignment(uint32_t datatype) { return std::min(datatype_size(datatype), 16U); }
// How many elements one operation may have; 0 where the provider lacks it.
size_t atomic_limit_of(EndpointObject& endpoint, uint32_t kind, uint32_t datatype, uint32_t operation);

}  // namespace ofi
