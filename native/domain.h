#pragma once

#include "environment.h"
#include "fabric.h"

namespace ofi {

class DomainObject : public FidObject<fid_domain> {
 public:
  static constexpr Kind kKind = Kind::Domain;
  DomainObject() : FidObject(kKind, "Domain") {}
  ~DomainObject() override;
  int close_blocking() override;
  fid_fabric* fabric = nullptr;
};

void register_domain(Napi::Object exports, Environment* environment);

}  // namespace ofi
