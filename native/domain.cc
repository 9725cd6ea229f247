#include "domain.h"

#include "control_turn.h"
#include "handle.h"
#include "info.h"

namespace ofi {

namespace {

// openDomain(fabric, info): fi_domain(3).
Napi::Value open_domain(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto fabric = environment.open_shared<FabricObject>(handle_argument(info, 0));
  std::shared_ptr<fi_info> chosen = info_of(info[1]);
  if (fabric == nullptr || chosen == nullptr) return resolved(info.Env(), kClosed);
  auto object = std::make_shared<DomainObject>();
  object->fabric = fabric->fid;
  return environment.open_object(object, {fabric}, [object, chosen] {
    const ControlTurn turn;
    const SignalGuard guard;
    return fi_domain(object->fabric, chosen.get(), &object->fid, nullptr);
  });
}

}  // namespace

DomainObject::~DomainObject() {
  // In its turn here too; the base would close it outside.
  if (fid != nullptr && !leaked) close_blocking();
  fid = nullptr;
}

int DomainObject::close_blocking() {
  const ControlTurn turn;
  return FidObject::close_blocking();
}

void register_domain(Napi::Object exports, Environment* environment) {
  define(exports, "openDomain", open_domain, environment);
}

}  // namespace ofi
