// FI_TRIGGER: operations that wait for a counter to reach a threshold (fi_trigger(3)).
#pragma once

#include "handle.h"
#include "message.h"

namespace ofi {

class Trigger {
 public:
  // Reads, where the flags ask for it, registers().call[12] and [13]: the counter, and the threshold.
  Trigger(const FastCall& a, EndpointObject& endpoint, uint64_t flags) {
    if ((flags & FI_TRIGGER) != 0) read(a, endpoint);
  }
  int32_t status() const { return status_; }
  // Says it in the operation's context, from which the provider takes it.
  void arm(const Post& post) const {
    if (counter_ != nullptr) write(post);
  }

 private:
  void read(const FastCall& a, EndpointObject& endpoint);
  void write(const Post& post) const;

  CounterObject* counter_ = nullptr;
  uint64_t threshold_ = 0;
  int32_t status_ = kOk;
};

}  // namespace ofi
