#pragma once

#include <vector>

#include "domain.h"
#include "environment.h"

namespace ofi {

// A poll set (fi_poll(3)): asks several queues and counters at once which of them have something.
class PollSetObject : public FidObject<fid_poll> {
 public:
  static constexpr Kind kKind = Kind::PollSet;
  PollSetObject() : FidObject(kKind, "PollSet") {}

  fid_domain* domain = nullptr;
  std::vector<Object*> members;  // held through the graph
};

void register_poll_set(Napi::Object exports, Environment* environment);

}  // namespace ofi
