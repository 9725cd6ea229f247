#include "fabric.h"

#include "control_turn.h"
#include "descriptors.h"
#include "efa_shm.h"
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
    const ControlTurn turn;
    const SignalGuard guard;
    leave_shm_out_of_efa(*chosen->fabric_attr);
    return library().fabric(chosen->fabric_attr, &object->fid, nullptr);
  });
}

// closeOnExec(): libfabric's descriptors are not for programs that are started from now on. How many it marked.
Napi::Value close_on_exec(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), close_descriptors_on_exec());
}

}  // namespace

FabricObject::~FabricObject() {
  // In its turn here too; the base would close it outside.
  if (fid != nullptr && !leaked) close_blocking();
  fid = nullptr;
}

int FabricObject::close_blocking() {
  const ControlTurn turn;
  return FidObject::close_blocking();
}

void register_fabric(Napi::Object exports, Environment* environment) {
  define(exports, "openFabric", open_fabric, environment);
  define(exports, "closeOnExec", close_on_exec, environment);
}

}  // namespace ofi
