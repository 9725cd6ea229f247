#pragma once

#include <atomic>
#include <memory>

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
  // How many of its regions peers may read or write. Engines look at it.
  const std::shared_ptr<std::atomic<uint32_t>> lent_regions = std::make_shared<std::atomic<uint32_t>>(0);
};

void register_domain(Napi::Object exports, Environment* environment);

}  // namespace ofi
