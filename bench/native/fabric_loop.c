// The measure that the benchmarks compare with: what a C program gets out of libfabric, with the hints that
// the binding uses.
//
//   fabric_loop server latency -p shm --port 0        prints {"port":N}, then serves one client
//   fabric_loop client latency -p shm --port N        prints one line of JSON
//
// options.c lists the options; both sides are given the same ones. Spinning reads the completion queue
// without pause; `--wait fd` and `--wait set` sleep in poll(2). The one who receives a stream (rate,
// bandwidth) is the server: it measures, prints its line, and the client prints the same figures with its own
// CPU time. Of one-sided operations (write, read) the server has the memory.

#include "fabric_loop.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Before libfabric is loaded: Debian's pulls in libinfinipath, which takes over six signals in a constructor.
// A linked library is loaded before main, so the program starts itself again with the variable set.
static void set_environment(char** argv) {
  setenv("FI_MR_CACHE_MONITOR", "disabled", 0);
  if (getenv("IPATH_NO_BACKTRACE")) return;
  setenv("IPATH_NO_BACKTRACE", "1", 1);
  execv("/proc/self/exe", argv);
}

static void on_alarm(int signal_number) {
  (void)signal_number;
  static const char text[] = "fabric_loop: timed out\n";
  ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
  (void)ignored;
  _exit(1);
}

// Before libfabric starts threads, so that they inherit it, as under taskset.
static void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set)) fail("cannot pin to CPU %d", cpu);
}

int main(int argc, char** argv) {
  set_environment(argv);
  struct options options = options_parse(argc, argv);
  signal(SIGALRM, on_alarm);
  signal(SIGPIPE, SIG_IGN);
  alarm(options.timeout_seconds);
  if (options.cpu >= 0) pin(options.cpu);
  int control = control_open(&options);
  control_check_options(control, &options);
  if (options.test == TEST_LATENCY)
    run_latency(&options, control);
  else if (test_is_one_sided(options.test))
    run_one_sided(&options, control);
  else
    run_stream(&options, control);
  close(control);
  return 0;
}
