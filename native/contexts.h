// Contexts: what several endpoints share, the queues of a scalable endpoint, and aliases (fi_endpoint(3)).
#pragma once

#include "endpoint.h"

namespace ofi {

// A transmit queue of several endpoints, to which their operations go by themselves.
class SharedTransmitObject : public FidObject<fid_stx> {
 public:
  static constexpr Kind kKind = Kind::SharedTransmit;
  SharedTransmitObject() : FidObject(kKind, "SharedTransmitContext") {}
  fid_domain* domain = nullptr;
};

// Why something cannot be bound to an endpoint of its role; kOk: it can.
int32_t binding_refusal(const EndpointObject& endpoint, const Object& other);
// Binds what several endpoints share.
int bind_shared_context(EndpointObject& endpoint, Object& other);
// What an endpoint lacks before it can be enabled; kOk: nothing.
int32_t lack_of(EndpointObject& endpoint);

void register_contexts(Napi::Object exports, Environment* environment);

}  // namespace ofi
