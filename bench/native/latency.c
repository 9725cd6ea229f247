#include <math.h>
#include <stdlib.h>

#include "fabric_loop.h"

// Round trips in which `auto` tries each call, in blocks taken in turns so that both see the same machine.
#define TRIAL_BLOCKS 8
#define TRIAL_ROUND_TRIPS 200

#define NO_SLOT UINT32_MAX

// One send slot: the next send waits for its completion, which the answer has long overtaken.
struct pingpong {
  struct endpoint endpoint;
  bool inject;
  bool send_pending;
  bool received;
  uint32_t slot_to_repost;
  uint32_t last_slot;
};

static bool progress(struct pingpong* pingpong) {
  struct fi_cq_tagged_entry entries[4];
  uint32_t count = endpoint_read(&pingpong->endpoint, entries, 4);
  for (uint32_t i = 0; i < count; i++) {
    uint32_t slot = completion_slot(&pingpong->endpoint, &entries[i]);
    if (slot < pingpong->endpoint.tx_slots) {
      pingpong->send_pending = false;
    } else {
      pingpong->received = true;
      pingpong->slot_to_repost = pingpong->last_slot = slot;
    }
  }
  return count > 0;
}

// Posts while the message is on its way, so that the cost is hidden; the other receives stand ready
// meanwhile.
static void repost(struct pingpong* pingpong) {
  if (pingpong->slot_to_repost == NO_SLOT) return;
  uint32_t slot = pingpong->slot_to_repost;
  pingpong->slot_to_repost = NO_SLOT;
  while (post_receive(&pingpong->endpoint, slot)) progress(pingpong);
}

static void send_message(struct pingpong* pingpong) {
  if (pingpong->inject) {
    while (post_inject(&pingpong->endpoint, 0)) progress(pingpong);
  } else {
    while (pingpong->send_pending) progress(pingpong);
    pingpong->send_pending = true;
    while (post_send(&pingpong->endpoint, 0)) progress(pingpong);
  }
  repost(pingpong);
}

static void await_message(struct pingpong* pingpong) {
  bool sleeps = pingpong->endpoint.wait != WAIT_SPIN;
  while (!pingpong->received) {
    if (!progress(pingpong) && sleeps) endpoint_sleep(&pingpong->endpoint);
  }
  pingpong->received = false;
}

static void answer(struct pingpong* pingpong, uint64_t count) {
  for (uint64_t i = 0; i < count; i++) {
    await_message(pingpong);
    send_message(pingpong);
  }
}

static void ask(struct pingpong* pingpong, uint64_t count, uint64_t* round_trips) {
  uint64_t previous = now_nanoseconds();
  for (uint64_t i = 0; i < count; i++) {
    send_message(pingpong);
    await_message(pingpong);
    uint64_t now = now_nanoseconds();
    round_trips[i] = now - previous;
    previous = now;
  }
}

static double median_of_trial(struct pingpong* pingpong) {
  uint64_t round_trips[TRIAL_ROUND_TRIPS];
  struct report report;
  ask(pingpong, TRIAL_ROUND_TRIPS, round_trips);
  report_times(&report, round_trips, TRIAL_ROUND_TRIPS, 2);
  return report.p50;
}

static enum operation choose(struct pingpong* pingpong, const struct options* options, int control) {
  bool can_inject = options->size <= pingpong->endpoint.info->tx_attr->inject_size;
  if (options->operation == OPERATION_SEND || !can_inject) {
    if (options->operation == OPERATION_INJECT) {
      fail("%s injects up to %zu bytes", options->provider, pingpong->endpoint.info->tx_attr->inject_size);
    }
    return OPERATION_SEND;
  }
  if (options->operation == OPERATION_INJECT) return OPERATION_INJECT;
  double best[2] = {INFINITY, INFINITY};
  for (int block = 0; block < TRIAL_BLOCKS; block++) {
    pingpong->inject = block % 2;
    if (options->is_server) {
      answer(pingpong, TRIAL_ROUND_TRIPS);
    } else {
      double median = median_of_trial(pingpong);
      if (median < best[block % 2]) best[block % 2] = median;
    }
  }
  enum operation operation = best[1] <= best[0] ? OPERATION_INJECT : OPERATION_SEND;
  if (options->is_server)
    control_read(control, &operation, sizeof operation);
  else
    control_write(control, &operation, sizeof operation);
  return operation;
}

static void measure(struct pingpong* pingpong, const struct options* options, struct report* report) {
  uint64_t longest = options->iterations > options->warm_up ? options->iterations : options->warm_up;
  uint64_t* times = allocate_times(options->is_server ? 1 : longest);
  if (options->is_server)
    answer(pingpong, options->warm_up);
  else
    ask(pingpong, options->warm_up, times);
  double cpu = cpu_seconds();
  if (options->is_server)
    answer(pingpong, options->iterations);
  else
    ask(pingpong, options->iterations, times);
  report->cpu_seconds = cpu_seconds() - cpu;
  if (!options->is_server) {
    write_times(options, times, 2);
    report_times(report, times, options->iterations, 2);
  }
  free(times);
  if (!has_pattern(slot_buffer(&pingpong->endpoint, pingpong->last_slot), options->size))
    fail("the last message holds other bytes than were sent");
  report->verified = 1;
}

void run_latency(const struct options* options, int control) {
  struct pingpong pingpong = {.slot_to_repost = NO_SLOT};
  struct report report = {.rate = NAN, .mbps = NAN};
  endpoint_open(&pingpong.endpoint, options, 1, options->window);
  endpoint_connect(&pingpong.endpoint, control);
  control_barrier(control, &pingpong.endpoint, options->is_server);
  report.operation = choose(&pingpong, options, control);
  pingpong.inject = report.operation == OPERATION_INJECT;
  measure(&pingpong, options, &report);
  control_barrier(control, &pingpong.endpoint, options->is_server);
  control_write(control, &report.cpu_seconds, sizeof report.cpu_seconds);
  control_read(control, &report.peer_cpu_seconds, sizeof report.peer_cpu_seconds);
  endpoint_close(&pingpong.endpoint);
  if (!options->is_server) report_print(options, &report);
}
