#pragma once

#include <atomic>
#include <memory>
#include <shared_mutex>
#include <string>
#include <vector>

#include "environment.h"
#include "fabric.h"
#include "info.h"

namespace ofi {

// One event as it was read, on whichever thread.
struct FabricEvent {
  int32_t status = 0;  // negative: nothing was read
  uint32_t event = 0;
  const void* context = nullptr;  // compared too: of the join that has ended
  const fid* source = nullptr;    // compared, never looked into: it may be closed by now
  InfoPointer info;               // of a connection request
  std::vector<uint8_t> data;      // that came with a connection request, its acceptance or its rejection
  int32_t error = 0;
  int32_t provider_error = 0;
  std::string text;
};

class EventQueueObject : public FidObject<fid_eq> {
 public:
  static constexpr Kind kKind = Kind::EventQueue;
  EventQueueObject() : FidObject(kKind, "EventQueue") {}

  // Ends the waits.
  void before_close() override { closing.store(true); }
  int close_blocking() override;

  FabricEvent read();
  // On a thread of its own: until there is an event, the time is over or the queue closes.
  FabricEvent wait(uint64_t timeout_ms);

  fid_fabric* fabric = nullptr;
  int fd = -1;  // tells of events, where it was opened with FI_WAIT_FD
  std::atomic<bool> closing{false};
  // Shared by those who read; held alone by the close.
  std::shared_mutex use;
};

void register_event_queue(Napi::Object exports, Environment* environment);

}  // namespace ofi
