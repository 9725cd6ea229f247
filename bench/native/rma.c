#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fabric_loop.h"

// The client writes to, or reads, the server's memory: a slot of its own for each operation in flight. The server only
// makes progress, which most providers need of it, until a message says that the client is done. `--wait fd` is for
// providers that make progress by themselves: no descriptor tells the target that it should.

// Where the program chooses keys.
#define REMOTE_KEY 2

struct remote {
  uint64_t address;
  uint64_t key;
};

struct target {
  char* memory;
  struct fid_mr* mr;
};

struct initiator {
  struct endpoint endpoint;
  struct remote remote;
  bool writes;
  uint32_t* free_slots;
  uint32_t free_count;
  uint32_t window;
};

static void target_open(struct target* target, struct endpoint* endpoint, const struct options* options,
                        int control) {
  size_t length = options->window * endpoint->stride;
  if (posix_memalign((void**)&target->memory, (size_t)sysconf(_SC_PAGESIZE), length))
    fail("no memory for %zu bytes", length);
  memset(target->memory, 0, length);
  if (options->test == TEST_READ) {
    for (uint32_t slot = 0; slot < options->window; slot++)
      fill_pattern(target->memory + slot * endpoint->stride, options->size);
  }
  uint64_t access = FI_REMOTE_READ | FI_REMOTE_WRITE;
  check(fi_mr_reg(endpoint->domain, target->memory, length, access, 0, REMOTE_KEY, 0, &target->mr, NULL),
        "fi_mr_reg");
  bool virtual_address = endpoint->info->domain_attr->mr_mode & FI_MR_VIRT_ADDR;
  struct remote remote = {.address = virtual_address ? (uint64_t)(uintptr_t)target->memory : 0,
                          .key = fi_mr_key(target->mr)};
  control_write(control, &remote, sizeof remote);
}

// Makes progress until the client's next message.
static void await_done(struct endpoint* endpoint) {
  struct fi_cq_tagged_entry entry;
  while (!endpoint_read(endpoint, &entry, 1)) {
    if (endpoint->wait != WAIT_SPIN) endpoint_sleep(endpoint);
  }
}

static void run_target(const struct options* options, int control, struct report* report) {
  struct endpoint endpoint;
  struct target target;
  // Two messages: the warm-up is done; all is done.
  endpoint_open(&endpoint, options, 0, 2);
  endpoint_connect(&endpoint, control);
  target_open(&target, &endpoint, options, control);
  control_barrier(control, &endpoint, options->is_server);
  await_done(&endpoint);
  double cpu = cpu_seconds();
  await_done(&endpoint);
  report->cpu_seconds = cpu_seconds() - cpu;
  // What was written may arrive behind the message: the alarm of --timeout is the bound.
  struct fi_cq_tagged_entry entry;
  while (options->test == TEST_WRITE && !has_pattern(target.memory, options->size))
    endpoint_read(&endpoint, &entry, 1);
  report->verified = 1;
  control_barrier(control, &endpoint, options->is_server);
  check(fi_close(&target.mr->fid), "fi_close(mr)");
  endpoint_close(&endpoint);
  free(target.memory);
}

static uint32_t reap(struct initiator* initiator) {
  struct fi_cq_tagged_entry entries[READ_BATCH];
  uint32_t count = endpoint_read(&initiator->endpoint, entries, READ_BATCH);
  for (uint32_t i = 0; i < count; i++)
    initiator->free_slots[initiator->free_count++] = completion_slot(&initiator->endpoint, &entries[i]);
  return count;
}

// Until another operation has completed.
static void await_completion(struct initiator* initiator) {
  while (!reap(initiator)) {
    if (initiator->endpoint.wait != WAIT_SPIN) endpoint_sleep(&initiator->endpoint);
  }
}

static ssize_t post(struct initiator* initiator, uint32_t slot) {
  struct endpoint* endpoint = &initiator->endpoint;
  char* local = slot_buffer(endpoint, slot);
  uint64_t address = initiator->remote.address + slot * endpoint->stride;
  void* context = &endpoint->contexts[slot];
  ssize_t status = initiator->writes ? fi_write(endpoint->ep, local, endpoint->size, endpoint->descriptor,
                                                endpoint->peer, address, initiator->remote.key, context)
                                     : fi_read(endpoint->ep, local, endpoint->size, endpoint->descriptor,
                                               endpoint->peer, address, initiator->remote.key, context);
  if (status && status != -FI_EAGAIN) check(status, initiator->writes ? "fi_write" : "fi_read");
  return status;
}

static void finish(struct initiator* initiator) {
  while (initiator->free_count < initiator->window) await_completion(initiator);
}

// With `times`, each on its own, which is what a window of one is.
static void operate(struct initiator* initiator, uint64_t count, uint64_t* times) {
  uint64_t previous = now_nanoseconds();
  for (uint64_t i = 0; i < count; i++) {
    if (!initiator->free_count) await_completion(initiator);
    uint32_t slot = initiator->free_slots[--initiator->free_count];
    while (post(initiator, slot)) reap(initiator);
    if (!times) continue;
    finish(initiator);
    uint64_t now = now_nanoseconds();
    times[i] = now - previous;
    previous = now;
  }
  finish(initiator);
}

static void say_done(struct initiator* initiator) {
  struct endpoint* endpoint = &initiator->endpoint;
  uint32_t slot = initiator->free_slots[--initiator->free_count];
  ssize_t status;
  while ((status = fi_send(endpoint->ep, slot_buffer(endpoint, slot), 1, endpoint->descriptor, endpoint->peer,
                           &endpoint->contexts[slot])) == -FI_EAGAIN)
    reap(initiator);
  check(status, "fi_send");
  finish(initiator);
}

static void initiator_open(struct initiator* initiator, const struct options* options, int control) {
  struct endpoint* endpoint = &initiator->endpoint;
  *initiator = (struct initiator){.writes = options->test == TEST_WRITE, .window = options->window};
  endpoint_open(endpoint, options, options->window, 0);
  initiator->free_slots = calloc(options->window, sizeof *initiator->free_slots);
  if (!initiator->free_slots) fail("no memory for %u slots", options->window);
  for (uint32_t slot = options->window; slot--;) {
    initiator->free_slots[initiator->free_count++] = slot;
    if (!initiator->writes) memset(slot_buffer(endpoint, slot), 0, options->size);
  }
  endpoint_connect(endpoint, control);
  control_read(control, &initiator->remote, sizeof initiator->remote);
}

static void measure(struct initiator* initiator, const struct options* options, struct report* report) {
  uint64_t longest = options->iterations > options->warm_up ? options->iterations : options->warm_up;
  uint64_t* times = options->window == 1 ? allocate_times(longest) : NULL;
  operate(initiator, options->warm_up, times);
  say_done(initiator);
  double cpu = cpu_seconds();
  uint64_t start = now_nanoseconds();
  operate(initiator, options->iterations, times);
  uint64_t elapsed = now_nanoseconds() - start;
  report->cpu_seconds = cpu_seconds() - cpu;
  say_done(initiator);
  report->rate = (double)options->iterations * 1e9 / (double)elapsed;
  report->mbps = report->rate * (double)options->size / 1e6;
  if (!times) return;
  write_times(options, times, 1);
  report_times(report, times, options->iterations, 1);
  free(times);
}

static void run_initiator(const struct options* options, int control, struct report* report) {
  struct initiator initiator;
  initiator_open(&initiator, options, control);
  control_barrier(control, &initiator.endpoint, options->is_server);
  measure(&initiator, options, report);
  if (!initiator.writes && !has_pattern(slot_buffer(&initiator.endpoint, 0), options->size))
    fail("what was read differs from what is there");
  report->verified = 1;
  control_barrier(control, &initiator.endpoint, options->is_server);
  endpoint_close(&initiator.endpoint);
  free(initiator.free_slots);
}

void run_one_sided(const struct options* options, int control) {
  struct report report = {
      .operation = OPERATION_SEND, .p50 = NAN, .p99 = NAN, .mean = NAN, .rate = NAN, .mbps = NAN};
  struct report theirs;
  if (options->is_server)
    run_target(options, control, &report);
  else
    run_initiator(options, control, &report);
  control_write(control, &report, sizeof report);
  control_read(control, &theirs, sizeof theirs);
  report.peer_cpu_seconds = theirs.cpu_seconds;
  if (!options->is_server) report_print(options, &report);
}
