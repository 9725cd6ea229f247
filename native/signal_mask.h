// Signals are the program's. Napi-free.
#pragma once

#include <pthread.h>
#include <signal.h>

namespace ofi {

// While it lives, this thread takes no signal, and threads that it starts never do: the mask is inherited, by those that
// a provider starts in a thread of ours too.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

}  // namespace ofi
