// What the files of fabric_loop share. See fabric_loop.c for what the program is and how it is used.

#ifndef BENCH_NATIVE_FABRIC_LOOP_H
#define BENCH_NATIVE_FABRIC_LOOP_H

#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_eq.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>
#include <rdma/fi_tagged.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

// Completions read in one call.
#define READ_BATCH 64

enum test { TEST_LATENCY, TEST_RATE, TEST_BANDWIDTH, TEST_WRITE, TEST_READ };
enum operation { OPERATION_AUTO, OPERATION_SEND, OPERATION_INJECT };
enum wait { WAIT_SPIN, WAIT_FD, WAIT_SET };

// Both processes must be given the same ones; the server checks that.
struct options {
  bool is_server;
  enum test test;
  const char* provider;
  const char* node;
  size_t size;
  uint64_t iterations;
  uint64_t warm_up;
  uint32_t window;
  enum operation operation;
  enum wait wait;
  bool tagged;
  int cpu;
  int port;
  const char* times;
  unsigned timeout_seconds;
};

// An RDM endpoint with all that it needs, and one slot (buffer and context) for each operation in flight:
// the first tx_slots send, the other rx_slots receive.
struct endpoint {
  struct fi_info* info;
  struct fid_fabric* fabric;
  struct fid_domain* domain;
  struct fid_eq* eq;
  struct fid_wait* wait_set;
  struct fid_cq* cq;
  struct fid_av* av;
  struct fid_ep* ep;
  struct fid_mr* mr;
  void* descriptor;
  fi_addr_t peer;
  uint32_t tx_slots;
  uint32_t rx_slots;
  size_t size;
  size_t stride;
  char* memory;
  struct fi_context2* contexts;
  bool tagged;
  enum wait wait;
  int fd;
};

// Figures that were not measured are NAN and become null.
struct report {
  enum operation operation;
  double p50;
  double p99;
  double mean;
  double rate;
  double mbps;
  double cpu_seconds;
  double peer_cpu_seconds;
  // Messages whose bytes were compared with what they should be; one that differs ends the program.
  uint32_t verified;
};

// options.c
struct options options_parse(int argc, char** argv);
const char* test_name(enum test test);
// Whether the server's program takes no part: fi_rma(3).
bool test_is_one_sided(enum test test);
const char* operation_name(enum operation operation);
const char* wait_name(enum wait wait);

// report.c
noreturn void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
// Fails with libfabric's own text when a call returned a negative status.
void check(int64_t status, const char* call);
uint64_t now_nanoseconds(void);
double cpu_seconds(void);
uint64_t* allocate_times(uint64_t count);
// Takes recorded times in nanoseconds, sorts them, and fills p50, p99 and mean with µs of each of `parts`: a round
// trip has two.
void report_times(struct report* report, uint64_t* nanoseconds, uint64_t count, unsigned parts);
// The same as doubles into the file of --times, where there is one.
void write_times(const struct options* options, const uint64_t* nanoseconds, unsigned parts);
void report_print(const struct options* options, const struct report* report);

// control.c: a TCP connection on 127.0.0.1, used before and after what is measured.
int control_open(const struct options* options);
void control_write(int fd, const void* data, size_t length);
void control_read(int fd, void* data, size_t length);
void control_check_options(int fd, const struct options* options);
// Returns once both sides have called it. Meanwhile it reads the queue and drops what it finds: a provider with
// manual progress may need this side to read before the other can finish.
void control_barrier(int fd, struct endpoint* endpoint, bool is_server);

// endpoint.c
void endpoint_open(struct endpoint* endpoint, const struct options* options, uint32_t tx_slots,
                   uint32_t rx_slots);
void endpoint_connect(struct endpoint* endpoint, int control);
void endpoint_close(struct endpoint* endpoint);
noreturn void endpoint_fail_read(struct endpoint* endpoint, ssize_t status);
// Sleeps in poll(2) until the fd is readable, unless libfabric says that there is work already.
void endpoint_sleep(struct endpoint* endpoint);
// What every message holds: other bytes at every place, so that a part that was lost or moved is noticed.
void fill_pattern(char* bytes, size_t length);
bool has_pattern(const char* bytes, size_t length);

// latency.c, stream.c, rma.c
void run_latency(const struct options* options, int control);
void run_stream(const struct options* options, int control);
void run_one_sided(const struct options* options, int control);

#define TAG 1234

static inline char* slot_buffer(const struct endpoint* endpoint, uint32_t slot) {
  return endpoint->memory + slot * endpoint->stride;
}

static inline uint32_t completion_slot(const struct endpoint* endpoint,
                                       const struct fi_cq_tagged_entry* entry) {
  return (uint32_t)((struct fi_context2*)entry->op_context - endpoint->contexts);
}

// How many completions were read, 0 when there are none.
static inline uint32_t endpoint_read(struct endpoint* endpoint, struct fi_cq_tagged_entry* entries,
                                     uint32_t count) {
  fi_addr_t sources[READ_BATCH];
  ssize_t status = fi_cq_readfrom(endpoint->cq, entries, count, sources);
  if (status > 0) return (uint32_t)status;
  if (status != -FI_EAGAIN) endpoint_fail_read(endpoint, status);
  return 0;
}

// 0, or -FI_EAGAIN when the queue has no room.
static inline ssize_t post_send(struct endpoint* endpoint, uint32_t slot) {
  void* context = &endpoint->contexts[slot];
  ssize_t status = endpoint->tagged ? fi_tsend(endpoint->ep, slot_buffer(endpoint, slot), endpoint->size,
                                               endpoint->descriptor, endpoint->peer, TAG, context)
                                    : fi_send(endpoint->ep, slot_buffer(endpoint, slot), endpoint->size,
                                              endpoint->descriptor, endpoint->peer, context);
  if (status && status != -FI_EAGAIN) check(status, endpoint->tagged ? "fi_tsend" : "fi_send");
  return status;
}

static inline ssize_t post_inject(struct endpoint* endpoint, uint32_t slot) {
  ssize_t status =
      endpoint->tagged
          ? fi_tinject(endpoint->ep, slot_buffer(endpoint, slot), endpoint->size, endpoint->peer, TAG)
          : fi_inject(endpoint->ep, slot_buffer(endpoint, slot), endpoint->size, endpoint->peer);
  if (status && status != -FI_EAGAIN) check(status, endpoint->tagged ? "fi_tinject" : "fi_inject");
  return status;
}

static inline ssize_t post_receive(struct endpoint* endpoint, uint32_t slot) {
  void* context = &endpoint->contexts[slot];
  ssize_t status = endpoint->tagged ? fi_trecv(endpoint->ep, slot_buffer(endpoint, slot), endpoint->size,
                                               endpoint->descriptor, FI_ADDR_UNSPEC, TAG, 0, context)
                                    : fi_recv(endpoint->ep, slot_buffer(endpoint, slot), endpoint->size,
                                              endpoint->descriptor, FI_ADDR_UNSPEC, context);
  if (status && status != -FI_EAGAIN) check(status, endpoint->tagged ? "fi_trecv" : "fi_recv");
  return status;
}

#endif
