// How far two processors are from each other: the time of a cache line that one writes and the other reads, in ns, the
// least of several series. A virtual machine's processors are moved by their host: two threads of one core today, on
// different sockets a second later, ten times as far. Figures of shared memory compare only at one distance.
//
//   core_distance CPU CPU
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SERIES = 5, ROUND_TRIPS = 10000 };

static alignas(128) atomic_int there;
static alignas(128) atomic_int back;

static void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  const int error = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
  if (error != 0) {
    fprintf(stderr, "core_distance: cannot run on processor %d: error %d\n", cpu, error);
    exit(1);
  }
}

static void* answer(void* cpu) {
  pin(*(const int*)cpu);
  for (int i = 1; i <= SERIES * ROUND_TRIPS; i++) {
    while (atomic_load(&there) < i) {
    }
    atomic_store(&back, i);
  }
  return NULL;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fputs("usage: core_distance CPU CPU\n", stderr);
    return 2;
  }
  int other = atoi(argv[2]);
  pin(atoi(argv[1]));
  pthread_t thread;
  if (pthread_create(&thread, NULL, answer, &other) != 0) {
    fputs("core_distance: no thread can be made\n", stderr);
    return 1;
  }
  double best = 0;
  for (int series = 0, i = 1; series < SERIES; series++) {
    const double start = now();
    for (int trip = 0; trip < ROUND_TRIPS; trip++, i++) {
      atomic_store(&there, i);
      while (atomic_load(&back) < i) {
      }
    }
    const double took = (now() - start) / ROUND_TRIPS / 2;
    if (series == 0 || took < best) best = took;
  }
  pthread_join(thread, NULL);
  printf("%.0f\n", best);
  return 0;
}
