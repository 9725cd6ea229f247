#pragma once

#include <mutex>

#include "environment.h"
#include "event_queue.h"
#include "fabric.h"

namespace ofi {

// What listens for connections (fi_passive_ep).
class PassiveEndpointObject : public FidObject<fid_pep> {
 public:
  static constexpr Kind kKind = Kind::PassiveEndpoint;
  PassiveEndpointObject() : FidObject(kKind, "PassiveEndpoint") {}
  int close_blocking() override {
    const std::lock_guard<std::mutex> held(changing_);
    return FidObject::close_blocking();
  }
  // On a thread of its own: what `work` answers of the endpoint, unless that was closed.
  template <typename Work>
  int use(Work work) {
    const std::lock_guard<std::mutex> held(changing_);
    return fid == nullptr ? static_cast<int>(kClosed) : work(fid);
  }

  fid_fabric* fabric = nullptr;
  EventQueueObject* events = nullptr;  // held through the graph

 private:
  std::mutex changing_;
};

void register_passive_endpoint(Napi::Object exports, Environment* environment);
// connect, accept, shut down: for endpoints of type FI_EP_MSG.
void register_connection(Napi::Object exports, Environment* environment);

}  // namespace ofi
