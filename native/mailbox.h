// How other threads reach an environment: work for its thread, and a wake, through one thread-safe function, coalesced.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "napi_setup.h"

namespace ofi {

class Environment;

class Mailbox : public std::enable_shared_from_this<Mailbox> {
 public:
  using Letter = std::function<void(Environment&)>;

  // On the environment's thread.
  void open(Napi::Env env, Environment* environment);
  // On the environment's thread; after it returned no other thread calls into Node: a thread-safe function that is
  // called after its worker ended aborts the process.
  void close();
  // Keeps the process alive while `references` is not 0.
  void set_keep_alive(bool keep_alive);

  // From any thread. After close() the letter is dropped.
  void post(Letter letter);
  void wake();

 private:
  void ring();
  static void deliver(napi_env env, napi_value callback, void* context, void* data);

  std::mutex mutex_;
  std::vector<Letter> letters_;
  bool wake_wanted_ = false;
  bool rung_ = false;
  Environment* environment_ = nullptr;
  napi_env env_ = nullptr;
  napi_threadsafe_function function_ = nullptr;
};

}  // namespace ofi
