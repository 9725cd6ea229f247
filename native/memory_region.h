#pragma once

#include <vector>

#include "domain.h"
#include "environment.h"
#include "memory.h"

namespace ofi {

class MemoryRegionObject : public FidObject<fid_mr> {
 public:
  static constexpr Kind kKind = Kind::MemoryRegion;
  MemoryRegionObject() : FidObject(kKind, "MemoryRegion") {}
  void before_close() override { stop_describing(); }
  int close_blocking() override;
  void after_failed_close() override { describe(); }
  // Operations on the memory carry the region's descriptor from now on, or no longer.
  void describe();
  void stop_describing();
  // It was registered, for accesses that may be a peer's (fi_mr_reg(3)).
  void begin_lending(uint64_t access);

  fid_domain* domain = nullptr;
  std::shared_ptr<std::atomic<uint32_t>> lent_regions;
  // What is registered, and where in each of them.
  std::vector<std::shared_ptr<MemoryObject>> memories;
  std::vector<iovec> vectors;
  // Memories that it holds the whole of: those that operations use its descriptor for.
  std::vector<MemoryBlock*> described;
  // fi_mr_desc(3). Kept, since the end of an environment comes also while the region is being closed.
  void* descriptor = nullptr;

 private:
  bool describes_ = false;
  bool is_lent_ = false;
};

void register_memory_region(Napi::Object exports, Environment* environment);

}  // namespace ofi
