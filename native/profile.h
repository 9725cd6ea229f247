#pragma once

#include "endpoint.h"
#include "profile_abi.h"

namespace ofi {

// What a provider counts of a domain or an endpoint (fi_profile(3)).
class ProfileObject : public FidObject<fid_profile> {
 public:
  static constexpr Kind kKind = Kind::Profile;
  ProfileObject() : FidObject(kKind, "Profile") {}
  ~ProfileObject() override { fid = nullptr; }
  int close_blocking() override;
};

void register_profile(Napi::Object exports, Environment* environment);

}  // namespace ofi
