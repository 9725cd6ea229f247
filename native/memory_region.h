#pragma once

#include "domain.h"
#include "environment.h"
#include "memory.h"

namespace ofi {

class MemoryRegionObject : public FidObject<fid_mr> {
 public:
  static constexpr Kind kKind = Kind::MemoryRegion;
  MemoryRegionObject() : FidObject(kKind, "MemoryRegion") {}
  void before_close() override { memory->block.get()->remove_descriptor(domain); }

  fid_domain* domain = nullptr;
  std::shared_ptr<MemoryObject> memory;
};

void register_memory_region(Napi::Object exports, Environment* environment);

}  // namespace ofi
