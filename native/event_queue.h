#pragma once

#include "environment.h"
#include "fabric.h"

namespace ofi {

class EventQueueObject : public FidObject<fid_eq> {
 public:
  static constexpr Kind kKind = Kind::EventQueue;
  EventQueueObject() : FidObject(kKind, "EventQueue") {}
  fid_fabric* fabric = nullptr;
};

void register_event_queue(Napi::Object exports, Environment* environment);

}  // namespace ofi
