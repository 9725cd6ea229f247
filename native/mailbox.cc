#include "mailbox.h"

#include "environment.h"

namespace ofi {

void Mailbox::open(Napi::Env env, Environment* environment) {
  env_ = env;
  environment_ = environment;
  // The function holds the mailbox, which so outlives every call that is under way.
  auto* self = new std::shared_ptr<Mailbox>(shared_from_this());
  const Napi::String name = Napi::String::New(env, "libfabric");
  napi_create_threadsafe_function(
      env, nullptr, nullptr, name, 0, 1, self,
      [](napi_env, void* data, void*) { delete static_cast<std::shared_ptr<Mailbox>*>(data); }, self, deliver,
      &function_);
  napi_unref_threadsafe_function(env, function_);
}

void Mailbox::close() {
  const std::lock_guard<std::mutex> guard(mutex_);
  if (function_ == nullptr) return;
  napi_release_threadsafe_function(function_, napi_tsfn_abort);
  function_ = nullptr;
  environment_ = nullptr;
  letters_.clear();
}

void Mailbox::set_keep_alive(bool keep_alive) {
  const std::lock_guard<std::mutex> guard(mutex_);
  if (function_ == nullptr) return;
  if (keep_alive)
    napi_ref_threadsafe_function(env_, function_);
  else
    napi_unref_threadsafe_function(env_, function_);
}

void Mailbox::post(Letter letter) {
  const std::lock_guard<std::mutex> guard(mutex_);
  if (function_ == nullptr) return;
  letters_.push_back(std::move(letter));
  ring();
}

void Mailbox::wake() {
  const std::lock_guard<std::mutex> guard(mutex_);
  if (function_ == nullptr) return;
  wake_wanted_ = true;
  ring();
}

// Under the mutex.
void Mailbox::ring() {
  if (rung_) return;
  rung_ = napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking) == napi_ok;
}

void Mailbox::deliver(napi_env env, napi_value, void* context, void*) {
  if (env == nullptr) return;
  const std::shared_ptr<Mailbox> self = *static_cast<std::shared_ptr<Mailbox>*>(context);
  std::vector<Letter> letters;
  Environment* environment = nullptr;
  bool wake_wanted = false;
  {
    const std::lock_guard<std::mutex> guard(self->mutex_);
    self->rung_ = false;
    letters.swap(self->letters_);
    wake_wanted = self->wake_wanted_;
    self->wake_wanted_ = false;
    environment = self->environment_;
  }
  if (environment == nullptr) return;
  const Napi::HandleScope scope(env);
  // A worker that is terminated runs its loop once more when no JavaScript can run in it: promises take no values then, and
  // nobody is left to wait for them.
  auto attempt = [](auto deed) {
    try {
      deed();
      return true;
    } catch (const Napi::Error&) {
      return false;
    }
  };
  for (Letter& letter : letters) attempt([&] { letter(*environment); });
  if (wake_wanted) attempt([&] { environment->notify_script(); });
}

}  // namespace ofi
