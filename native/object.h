// The graph of libfabric's objects: children hold their parents and what they are bound to; a parent knows its
// dependants and closes only after them. Changed on the environment's thread only. Napi-free.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fabric_abi.h"

namespace ofi {

enum class Kind : uint8_t {
  None,
  Fabric,
  Domain,
  AddressVector,
  CompletionQueue,
  EventQueue,
  Counter,
  Endpoint,
  PassiveEndpoint,
  MemoryRegion,
  Memory,
  WaitSet,
  PollSet,
  AvSet,
  CollectiveGroup,
  DeferredWork,
  MulticastGroup,
  Profile,
  SharedTransmit,
};

enum class Phase : uint8_t { Opening, Open, Closing, Closed };

// A call on a thread of its own, as long as the environment counts on its return.
struct BlockingCall {
  // The environment's thread only: the process stays for it.
  bool keeps_alive = true;
  // The end of the environment waits for it. Whoever takes this back has to count it down.
  std::atomic<bool> waited_for{true};
};

class Object : public std::enable_shared_from_this<Object> {
 public:
  Object(Kind kind, const char* name) : kind(kind), name(name) {}
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() = default;

  // Makes this object depend on another until detach_all().
  void depend_on(const std::shared_ptr<Object>& other);
  void stop_depending_on(const std::shared_ptr<Object>& other);
  void detach_all();
  const std::vector<Object*>& dependants() const { return dependants_; }
  const std::vector<std::shared_ptr<Object>>& parents() const { return parents_; }

  // On the environment's thread, before anything else of a close: a status other than 0 where the provider would use the
  // object afterwards, whose close is refused with it.
  virtual int refuse_close() { return 0; }
  // fi_close, and what belongs to it. May block for ever in the provider: never on the environment's thread.
  virtual int close_blocking() { return 0; }
  // On the environment's thread, before close_blocking.
  virtual void before_close() {}
  // On the environment's thread, after close_blocking returned 0.
  virtual void after_close() {}
  // The same where it did not: the object stays open.
  virtual void after_failed_close() {}

  const Kind kind;
  const char* const name;
  Phase phase = Phase::Opening;
  // Nobody refers to it any more: closed as soon as its dependants are.
  bool forgotten = false;
  // Its close did not come back: it and whatever it uses stay for the life of the process.
  bool leaked = false;
  // The close that is under way.
  std::shared_ptr<BlockingCall> closing;
  uint32_t handle = 0;

 private:
  std::vector<std::shared_ptr<Object>> parents_;
  std::vector<Object*> dependants_;
};

// An object around one fid. Owns it from the moment that the library returned it.
template <typename Fid>
class FidObject : public Object {
 public:
  using Object::Object;
  ~FidObject() override {
    // Reached with an open fid only where opening was overtaken by the environment's end.
    if (fid != nullptr && !leaked) fi_close(&fid->fid);
  }
  int close_blocking() override {
    if (fid == nullptr) return 0;
    const int status = fi_close(&fid->fid);
    if (status == 0) fid = nullptr;
    return status;
  }
  Fid* fid = nullptr;
};

}  // namespace ofi
