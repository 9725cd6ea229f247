// All state of one Node environment (the main thread or a worker): its objects, its mailbox, its loop watch. Nothing
// that concerns JavaScript is global. Also the teardown, in the order that testing of Node's own order asks for.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "mailbox.h"
#include "memory_block.h"
#include "napi_setup.h"
#include "object.h"
#include "progress.h"
#include "status.h"

namespace ofi {

class LoopWatch;

// Values too wide or too many to be passed as small integers lie in memory that both sides see.
struct Registers {
  uint64_t immediate;
  uint64_t tag;
  uint64_t ignore;
  uint64_t remote_address;  // of memory of another process
  uint64_t remote_key;
  uint64_t operation_flags;  // of the calls with flags (fi_sendmsg(3) and its like)
  uint64_t unused[2];
  // Arguments of a data-plane call, and its answer in call[0]: writing a number to memory costs JavaScript a
  // nanosecond, passing it through Node-API five or more.
  static constexpr uint32_t kCall = 16;
  double call[kCall];
  static constexpr uint32_t kBatch = 1024;
  struct BatchEntry {
    int32_t context;
    int32_t memory;
    int32_t offset;
    int32_t length;
  } batch[kBatch];
  // Of an operation on several pieces of memory: here, and of another process. Counted in elements for atomics.
  static constexpr uint32_t kParts = 96;
  struct Part {
    double memory;
    double offset;
    double length;
  } parts[kParts];
  static constexpr uint32_t kRemoteParts = 32;
  struct RemotePart {
    uint64_t address;
    uint64_t length;
    uint64_t key;
  } remote_parts[kRemoteParts];
};

class Environment {
 public:
  explicit Environment(Napi::Env env);
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment();

  static Environment& of(const Napi::CallbackInfo& info) { return *static_cast<Environment*>(info.Data()); }

  Napi::Env env() const { return env_; }
  const std::shared_ptr<Mailbox>& mailbox() const { return mailbox_; }
  Registers& registers() { return *reinterpret_cast<Registers*>(registers_.get()->data()); }
  MemoryBlock* registers_block() const { return registers_.get(); }
  TurnBudget& budget() { return budget_; }

  // ---- handles
  // The object's, which it gets at the first call: open_object makes that where nobody did before.
  uint32_t add(const std::shared_ptr<Object>& object);
  void remove(const std::shared_ptr<Object>& object);
  // The object of a handle in any phase; null for a stale handle.
  std::shared_ptr<Object> any(uint32_t handle) const;
  // The open object of a kind; null where the handle is stale, of another kind, or the object not open.
  template <typename T>
  T* open(uint32_t handle) const {
    const uint32_t index = handle & kIndexMask;
    if (index >= entries_.size()) return nullptr;
    const Entry& entry = entries_[index];
    if (entry.handle != handle || entry.kind != T::kKind || entry.object->phase != Phase::Open)
      return nullptr;
    return static_cast<T*>(entry.object.get());
  }
  template <typename T>
  std::shared_ptr<T> open_shared(uint32_t handle) const {
    return open<T>(handle) == nullptr ? nullptr : std::static_pointer_cast<T>(any(handle));
  }

  // ---- calls that may block, each on a thread of its own (one that hangs in the provider must not take a place in
  // Node's thread pool, which a worker's end waits for). `work` answers a status on that thread; `done` runs on the
  // environment's, with it.
  std::shared_ptr<BlockingCall> run_blocking(std::function<int()> work,
                                             std::function<void(Environment&, int)> done);
  // The same for a promise of the status alone. `held` stays until it is known.
  Napi::Value status_of(const std::shared_ptr<Object>& held, std::function<int()> work);
  // Opens an object: registers it with its parents at once, so that nobody closes them meanwhile. Resolves with its
  // handle, or a negative status.
  Napi::Value open_object(const std::shared_ptr<Object>& object,
                          const std::vector<std::shared_ptr<Object>>& parents, std::function<int()> work);
  Napi::Value close_object(const std::shared_ptr<Object>& object);
  void forget_object(const std::shared_ptr<Object>& object);
  // Counts no longer on an object's close, nor tries it at the end: a provider that does not return must not keep the
  // process, nor the objects that do close from closing.
  void abandon_object(const std::shared_ptr<Object>& object);

  // ---- script
  void set_wake(Napi::Function wake);
  // Told when LogSink has something for this environment.
  void set_log_listener(Napi::Function listener);
  void notify_log();
  // Lets JavaScript look at every queue.
  void notify_script();
  void set_keep_alive(int32_t references);
  std::unique_ptr<LoopWatch>& loop_watch() { return loop_watch_; }

  // Closes everything, endpoints first, bounded. Idempotent; after it only close calls are answered.
  void shut_down();
  bool is_shut_down() const { return shut_down_; }

 private:
  struct Entry {
    uint32_t handle = 0;
    Kind kind = Kind::None;
    std::shared_ptr<Object> object;
  };
  static constexpr uint32_t kIndexBits = 18;
  static constexpr uint32_t kIndexMask = (1U << kIndexBits) - 1;
  static constexpr uint32_t kGenerations = 1U << (31 - kIndexBits);

  void begin_close(const std::shared_ptr<Object>& object, std::function<void(Environment&, int)> done);
  void finish_close(const std::shared_ptr<Object>& object, int status);
  void update_keep_alive();
  void call_script(const Napi::FunctionReference& function);

  Napi::Env env_;
  std::shared_ptr<Mailbox> mailbox_;
  BlockReference registers_;
  TurnBudget budget_;
  std::vector<Entry> entries_;
  std::vector<uint32_t> free_entries_;
  Napi::FunctionReference wake_;
  Napi::FunctionReference log_listener_;
  std::unique_ptr<LoopWatch> loop_watch_;
  int32_t script_references_ = 0;
  int32_t blocking_calls_ = 0;
  bool keeping_alive_ = false;
  bool shut_down_ = false;
  std::shared_ptr<std::atomic<int32_t>> blocking_threads_ = std::make_shared<std::atomic<int32_t>>(0);
};

}  // namespace ofi
