#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "fabric_loop.h"

void fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("fabric_loop: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}

void check(int64_t status, const char* call) {
  if (status < 0) fail("%s: %s (%lld)", call, fi_strerror((int)-status), (long long)status);
}

static uint64_t clock_nanoseconds(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t now_nanoseconds(void) { return clock_nanoseconds(CLOCK_MONOTONIC); }

double cpu_seconds(void) { return (double)clock_nanoseconds(CLOCK_PROCESS_CPUTIME_ID) / 1e9; }

static int compare_numbers(const void* left, const void* right) {
  uint64_t a = *(const uint64_t*)left;
  uint64_t b = *(const uint64_t*)right;
  return (a > b) - (a < b);
}

uint64_t* allocate_times(uint64_t count) {
  uint64_t* times = calloc(count, sizeof *times);
  if (!times) fail("no memory for %llu times", (unsigned long long)count);
  // Touched now, so that no page fault falls into what is measured.
  for (uint64_t i = 0; i < count; i++) ((volatile uint64_t*)times)[i] = 0;
  return times;
}

void write_times(const struct options* options, const uint64_t* nanoseconds, unsigned parts) {
  if (!options->times) return;
  FILE* file = fopen(options->times, "wb");
  if (!file) fail("cannot write %s", options->times);
  for (uint64_t i = 0; i < options->iterations; i++) {
    double microseconds = (double)nanoseconds[i] / 1000 / parts;
    if (fwrite(&microseconds, sizeof microseconds, 1, file) != 1) fail("cannot write %s", options->times);
  }
  if (fclose(file)) fail("cannot write %s", options->times);
}

void report_times(struct report* report, uint64_t* nanoseconds, uint64_t count, unsigned parts) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < count; i++) sum += nanoseconds[i];
  qsort(nanoseconds, count, sizeof *nanoseconds, compare_numbers);
  report->p50 = (double)nanoseconds[count / 2] / 1000 / parts;
  report->p99 = (double)nanoseconds[count - 1 - count / 100] / 1000 / parts;
  report->mean = (double)sum / (double)count / 1000 / parts;
}

static void print_figure(const char* name, double value, int decimals) {
  if (isnan(value))
    printf(",\"%s\":null", name);
  else
    printf(",\"%s\":%.*f", name, decimals, value);
}

void report_print(const struct options* options, const struct report* report) {
  uint32_t version = fi_version();
  printf("{\"test\":\"%s\",\"provider\":\"%s\",\"size\":%zu,\"iterations\":%llu", test_name(options->test),
         options->provider, options->size, (unsigned long long)options->iterations);
  print_figure("p50", report->p50, 4);
  print_figure("p99", report->p99, 4);
  print_figure("mean", report->mean, 4);
  print_figure("rate", report->rate, 0);
  print_figure("mbps", report->mbps, 2);
  print_figure("cpuSeconds", report->cpu_seconds, 6);
  print_figure("peerCpuSeconds", report->peer_cpu_seconds, 6);
  printf(",\"verified\":%u", report->verified);
  printf(",\"role\":\"%s\",\"wait\":\"%s\",\"operation\":\"%s\",\"window\":%u,\"libfabric\":\"%u.%u\"}\n",
         options->is_server ? "server" : "client", wait_name(options->wait),
         operation_name(report->operation), options->test == TEST_LATENCY ? 1 : options->window,
         FI_MAJOR(version), FI_MINOR(version));
  fflush(stdout);
}
