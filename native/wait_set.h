#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "environment.h"
#include "fabric.h"

namespace ofi {

// While it lives and `locked` is true, nobody else reads these queues and counters, and none of their endpoints closes:
// waits and polls look at all of them at once.
class MemberLocks {
 public:
  explicit MemberLocks(const std::vector<Object*>& members);
  MemberLocks(const MemberLocks&) = delete;
  MemberLocks& operator=(const MemberLocks&) = delete;
  ~MemberLocks();
  bool locked = true;

 private:
  bool lock(Object* member);
  std::vector<Object*> readers_;
  std::vector<std::shared_lock<std::shared_mutex>> shared_;
};

// Whether a queue has something that was read already but not shown to the program: the provider tells no more of it.
bool has_unseen(const Object* member);

class CompletionQueueObject;

// A wait set (fi_poll(3)): completion queues that are opened with it wake whoever waits on its file descriptor.
class WaitSetObject : public FidObject<fid_wait> {
 public:
  static constexpr Kind kKind = Kind::WaitSet;
  WaitSetObject() : FidObject(kKind, "WaitSet") {}

  void before_close() override { closing.store(true); }
  int close_blocking() override;
  // On a thread of its own: until a member has something, the time is over or the set closes. A status.
  int wait(uint64_t timeout_ms);
  void add(const std::shared_ptr<CompletionQueueObject>& queue);
  // The queues that were opened with the set and still exist.
  std::vector<std::shared_ptr<CompletionQueueObject>> members();

  fid_fabric* fabric = nullptr;
  int fd = -1;
  std::atomic<bool> closing{false};

 private:
  int look();
  std::mutex members_lock_;
  std::vector<std::weak_ptr<CompletionQueueObject>> members_;
};

void register_wait_set(Napi::Object exports, Environment* environment);

}  // namespace ofi
