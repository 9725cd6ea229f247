#pragma once

#include "environment.h"

namespace ofi {

class FabricObject : public FidObject<fid_fabric> {
 public:
  static constexpr Kind kKind = Kind::Fabric;
  FabricObject() : FidObject(kKind, "Fabric") {}
  ~FabricObject() override;
  int close_blocking() override;
};

void register_fabric(Napi::Object exports, Environment* environment);

}  // namespace ofi
