#include "fabric.h"

#include "handle.h"
#include "info.h"

namespace ofi {

namespace {

// openFabric(info): fi_fabric(3).
Napi::Value open_fabric(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  std::shared_ptr<fi_info> chosen = info_of(info[0]);
  if (chosen == nullptr) return resolved(info.Env(), kClosed);
  auto object = std::make_shared<FabricObject>();
  return environment.open_object(object, {}, [object, chosen] {
    const SignalGuard guard;
    return library().fabric(chosen->fabric_attr, &object->fid, nullptr);
  });
}

}  // namespace

void register_fabric(Napi::Object exports, Environment* environment) {
  define(exports, "openFabric", open_fabric, environment);
}

}  // namespace ofi
