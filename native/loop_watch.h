// Hooks into the environment's event loop: reads queues once per turn, lets the loop sleep only when that is safe, and
// wakes it by a queue's file descriptor. loop_watch.cc is the only file that knows libuv; its functions are looked up
// at run time, and only where the runtime says that it is Node (Bun exports uv_* and aborts in them).
#pragma once

#include <memory>

#include "napi_setup.h"
#include "progress.h"

namespace ofi {

class Environment;

class LoopWatch {
 public:
  // Null where the runtime has no libuv to offer.
  static std::unique_ptr<LoopWatch> create(napi_env env, Environment* environment);
  LoopWatch(const LoopWatch&) = delete;
  LoopWatch& operator=(const LoopWatch&) = delete;
  ~LoopWatch();

  void add(Engine* engine);
  void remove(Engine* engine);
  // Stops all handles. Their memory goes when the loop has closed them.
  void stop();
  // Calls `done` on the loop once every handle is closed; at once where there is nothing to wait for.
  void when_closed(void (*done)(void*), void* data);

  struct State;

 private:
  explicit LoopWatch(State* state) : state_(state) {}
  State* state_;
};

}  // namespace ofi
