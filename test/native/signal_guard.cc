// Node's signal handlers stay its own.
#include <signal.h>

#include <array>
#include <cstdint>
#include <cstdlib>

#include "harness.h"
#include "libfabric.h"
#include "provider.h"

using ofi::library;
using ofi::SignalGuard;

namespace {

using Actions = std::array<struct sigaction, 65>;

Actions current_actions() {
  Actions actions{};
  for (int number = 1; number <= 64; ++number) sigaction(number, nullptr, &actions[number]);
  return actions;
}

// How many signals are handled otherwise.
int differing(const Actions& before, const Actions& after) {
  // glibc's own, in whatever was set by it.
  constexpr int kRestorer = 0x04000000;
  int count = 0;
  for (int number = 1; number <= 64; ++number) {
    if (before[number].sa_sigaction != after[number].sa_sigaction ||
        ((before[number].sa_flags ^ after[number].sa_flags) & ~kRestorer) != 0)
      ++count;
  }
  return count;
}

void install(int number, void (*handler)(int), int flags = 0) {
  struct sigaction action{};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigaction(number, &action, nullptr);
}

// A handler that is the provider's, going by its address. It is never called.
void (*provider_handler())(int) {
  return reinterpret_cast<void (*)(int)>(reinterpret_cast<uintptr_t>(library().freeinfo));
}

void handler_of_program(int) {}
void other_handler_of_program(int) {}

void (*handler_now(int number))(int) {
  struct sigaction action{};
  sigaction(number, nullptr, &action);
  return action.sa_handler;
}

}  // namespace

// First: loading happens once.
TEST(loading_leaves_no_handler_behind) {
  install(SIGTERM, handler_of_program);
  const Actions before = current_actions();
  if (!library().available) SKIP("no libfabric: " + library().reason);
  CHECK_EQ(differing(before, current_actions()), 0);
  CHECK(std::getenv("IPATH_NO_BACKTRACE") != nullptr);
}

TEST(opening_shm_leaves_no_handler_behind) {
  if (!library().available) SKIP("no libfabric");
  install(SIGBUS, handler_of_program);
  const Actions before = current_actions();
  int replaced = 0;
  {
    const SignalGuard guard;
    const Provider provider("shm");
    if (!provider.offered()) SKIP("no shm provider");
    const Side side(provider);
    REQUIRE(side.opened());
    replaced = differing(before, current_actions());
  }
  CHECK_EQ(differing(before, current_actions()), 0);
  install(SIGBUS, SIG_DFL);
  if (replaced == 0) SKIP("this libfabric's shm replaces no handlers, so nothing was proved");
}

TEST(handler_of_a_provider_is_put_back) {
  if (!library().available) SKIP("no libfabric");
  install(SIGUSR1, handler_of_program, SA_RESTART);
  install(SIGUSR2, SIG_IGN);
  install(SIGBUS, SIG_DFL);
  const Actions before = current_actions();
  {
    const SignalGuard guard;
    install(SIGUSR1, provider_handler());
    install(SIGUSR2, provider_handler(), SA_SIGINFO);
    install(SIGBUS, provider_handler(), SA_SIGINFO | SA_NODEFER);
    CHECK(differing(before, current_actions()) != 0);
  }
  CHECK_EQ(differing(before, current_actions()), 0);
}

TEST(handler_that_the_program_installs_meanwhile_stays) {
  if (!library().available) SKIP("no libfabric");
  install(SIGUSR1, handler_of_program);
  install(SIGUSR2, handler_of_program);
  install(SIGHUP, handler_of_program);
  {
    const SignalGuard guard;
    install(SIGUSR1, other_handler_of_program);
    install(SIGUSR2, SIG_IGN);
    install(SIGHUP, SIG_DFL);
  }
  CHECK(handler_now(SIGUSR1) == other_handler_of_program);
  CHECK(handler_now(SIGUSR2) == SIG_IGN);
  CHECK(handler_now(SIGHUP) == SIG_DFL);
}

TEST(guards_may_nest_and_overlap) {
  if (!library().available) SKIP("no libfabric");
  install(SIGUSR1, handler_of_program);
  {
    const SignalGuard outer;
    install(SIGUSR1, provider_handler());
    {
      const SignalGuard inner;  // has seen only the provider's
    }
    CHECK(handler_now(SIGUSR1) == provider_handler());
  }
  CHECK(handler_now(SIGUSR1) == handler_of_program);
}
