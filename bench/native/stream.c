#include <math.h>
#include <stdlib.h>

#include "fabric_loop.h"

// The client sends, one call for each message, with a window of sends outstanding; the server receives.
struct sender {
  struct endpoint endpoint;
  uint32_t* free_slots;
  uint32_t free_count;
};

static uint32_t reap(struct sender* sender) {
  struct fi_cq_tagged_entry entries[READ_BATCH];
  uint32_t count = endpoint_read(&sender->endpoint, entries, READ_BATCH);
  for (uint32_t i = 0; i < count; i++) {
    sender->free_slots[sender->free_count++] = completion_slot(&sender->endpoint, &entries[i]);
  }
  return count;
}

static void send_messages(struct sender* sender, uint64_t count) {
  for (uint64_t i = 0; i < count; i++) {
    while (!sender->free_count) {
      if (!reap(sender) && sender->endpoint.wait != WAIT_SPIN) endpoint_sleep(&sender->endpoint);
    }
    uint32_t slot = sender->free_slots[--sender->free_count];
    // No sleep here: room comes from the other side's progress, which no fd of ours announces.
    while (post_send(&sender->endpoint, slot)) reap(sender);
  }
}

static void run_sender(const struct options* options, int control, struct report* report) {
  struct sender sender = {0};
  endpoint_open(&sender.endpoint, options, options->window, 0);
  sender.free_slots = calloc(options->window, sizeof *sender.free_slots);
  if (!sender.free_slots) fail("no memory for %u slots", options->window);
  for (uint32_t slot = 0; slot < options->window; slot++) sender.free_slots[sender.free_count++] = slot;
  endpoint_connect(&sender.endpoint, control);
  control_barrier(control, &sender.endpoint, options->is_server);
  send_messages(&sender, options->warm_up);
  while (sender.free_count < options->window) reap(&sender);
  control_barrier(control, &sender.endpoint, options->is_server);
  double cpu = cpu_seconds();
  send_messages(&sender, options->iterations);
  while (sender.free_count < options->window) reap(&sender);
  report->cpu_seconds = cpu_seconds() - cpu;
  control_barrier(control, &sender.endpoint, options->is_server);
  endpoint_close(&sender.endpoint);
  free(sender.free_slots);
}

// The slot of the last one.
static uint32_t receive_messages(struct endpoint* endpoint, uint64_t count) {
  struct fi_cq_tagged_entry entries[READ_BATCH];
  uint32_t slot = 0;
  while (count) {
    uint32_t read = endpoint_read(endpoint, entries, READ_BATCH);
    if (!read && endpoint->wait != WAIT_SPIN) endpoint_sleep(endpoint);
    for (uint32_t i = 0; i < read; i++) {
      slot = completion_slot(endpoint, &entries[i]);
      // Room is certain: the receive that completed has left it.
      check(post_receive(endpoint, slot), "fi_recv");
    }
    count -= read;
  }
  return slot;
}

static void run_receiver(const struct options* options, int control, struct report* report) {
  struct endpoint endpoint;
  endpoint_open(&endpoint, options, 0, options->window);
  endpoint_connect(&endpoint, control);
  control_barrier(control, &endpoint, options->is_server);
  receive_messages(&endpoint, options->warm_up);
  // The clock starts with an empty queue: a sender that ran ahead during the warm-up would have done part of the
  // work before.
  control_barrier(control, &endpoint, options->is_server);
  double cpu = cpu_seconds();
  uint64_t start = now_nanoseconds();
  uint32_t last = receive_messages(&endpoint, options->iterations);
  uint64_t elapsed = now_nanoseconds() - start;
  report->cpu_seconds = cpu_seconds() - cpu;
  report->rate = (double)options->iterations * 1e9 / (double)elapsed;
  report->mbps = report->rate * (double)options->size / 1e6;
  if (!has_pattern(slot_buffer(&endpoint, last), options->size))
    fail("the last message holds other bytes than were sent");
  report->verified = 1;
  control_barrier(control, &endpoint, options->is_server);
  endpoint_close(&endpoint);
}

void run_stream(const struct options* options, int control) {
  struct report report = {.operation = OPERATION_SEND, .p50 = NAN, .p99 = NAN, .mean = NAN};
  struct report theirs;
  if (options->is_server)
    run_receiver(options, control, &report);
  else
    run_sender(options, control, &report);
  control_write(control, &report, sizeof report);
  control_read(control, &theirs, sizeof theirs);
  report.peer_cpu_seconds = theirs.cpu_seconds;
  if (!options->is_server) {
    report.rate = theirs.rate;
    report.mbps = theirs.mbps;
    report.verified = theirs.verified;
  }
  report_print(options, &report);
}
