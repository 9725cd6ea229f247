#pragma once

#include "endpoint.h"
#include "message.h"

namespace ofi {

// A multicast group that an endpoint has joined (fi_join(3)). It leaves by its close.
class MulticastObject : public FidObject<fid_mc> {
 public:
  static constexpr Kind kKind = Kind::MulticastGroup;
  MulticastObject() : FidObject(kKind, "MulticastGroup") {}
  int close_blocking() override;

  std::shared_ptr<EndpointObject> endpoint;
};

// The endpoint of a call, and the address of a group that it has joined.
Post prepare_group(Environment& environment, uint32_t endpoint, uint32_t group);

void register_multicast(Napi::Object exports, Environment* environment);

}  // namespace ofi
