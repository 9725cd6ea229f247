#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fabric_loop.h"

#define EVENTS 16
#define ADDRESS_BYTES 256
#define CACHE_LINE 64
// Where the program chooses keys; of memory that peers may use, rma.c has another.
#define LOCAL_KEY 1

static uint32_t api_version(void) {
  uint32_t compiled = FI_VERSION(FI_MAJOR_VERSION, FI_MINOR_VERSION);
  return fi_version() < compiled ? fi_version() : compiled;
}

static struct fi_info* make_hints(const struct options* options) {
  struct fi_info* hints = fi_allocinfo();
  if (!hints) fail("fi_allocinfo: out of memory");
  hints->caps = options->tagged ? FI_MSG | FI_TAGGED : FI_MSG;
  if (test_is_one_sided(options->test)) hints->caps |= FI_RMA;
  hints->mode = FI_CONTEXT | FI_CONTEXT2;
  hints->ep_attr->type = FI_EP_RDM;
  hints->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY;
  hints->domain_attr->threading = FI_THREAD_SAFE;
  hints->tx_attr->msg_order = FI_ORDER_SAS;
  hints->rx_attr->msg_order = FI_ORDER_SAS;
  hints->fabric_attr->prov_name = strdup(options->provider);
  return hints;
}

static bool uses_ip(const struct fi_info* info) {
  return info->addr_format == FI_SOCKADDR || info->addr_format == FI_SOCKADDR_IN ||
         info->addr_format == FI_SOCKADDR_IN6;
}

// The first one of exactly that name: asked for "tcp", 1.17 also offers layers over it.
static struct fi_info* get_info_from(const struct options* options, struct fi_info* hints, const char* node) {
  struct fi_info* list = NULL;
  check(fi_getinfo(api_version(), node, NULL, node ? FI_SOURCE : 0, hints, &list), "fi_getinfo");
  const struct fi_info* found = list;
  while (found && strcmp(found->fabric_attr->prov_name, options->provider)) found = found->next;
  if (!found) fail("no RDM provider is named exactly %s", options->provider);
  struct fi_info* info = fi_dupinfo(found);
  fi_freeinfo(list);
  if (!info) fail("fi_dupinfo: out of memory");
  return info;
}

static struct fi_info* get_info(const struct options* options) {
  struct fi_info* hints = make_hints(options);
  struct fi_info* info = get_info_from(options, hints, NULL);
  if (uses_ip(info)) {
    fi_freeinfo(info);
    info = get_info_from(options, hints, options->node);
  }
  fi_freeinfo(hints);
  return info;
}

static char pattern_byte(size_t index) { return (char)(1 + 7 * index + (index >> 8)); }

void fill_pattern(char* bytes, size_t length) {
  for (size_t i = 0; i < length; i++) bytes[i] = pattern_byte(i);
}

bool has_pattern(const char* bytes, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if (bytes[i] != pattern_byte(i)) return false;
  }
  return true;
}

static void open_queues(struct endpoint* endpoint) {
  static const enum fi_wait_obj wait_objects[] = {FI_WAIT_NONE, FI_WAIT_FD, FI_WAIT_SET};
  struct fi_eq_attr eq_attr = {.size = EVENTS, .wait_obj = FI_WAIT_NONE};
  check(fi_eq_open(endpoint->fabric, &eq_attr, &endpoint->eq, NULL), "fi_eq_open");
  struct fi_cq_attr cq_attr = {.size = 2 * (endpoint->tx_slots + endpoint->rx_slots),
                               .format = FI_CQ_FORMAT_TAGGED,
                               .wait_obj = wait_objects[endpoint->wait]};
  if (endpoint->wait == WAIT_SET) {
    struct fi_wait_attr wait_attr = {.wait_obj = FI_WAIT_FD};
    check(fi_wait_open(endpoint->fabric, &wait_attr, &endpoint->wait_set), "fi_wait_open");
    cq_attr.wait_set = endpoint->wait_set;
  }
  check(fi_cq_open(endpoint->domain, &cq_attr, &endpoint->cq, NULL), "fi_cq_open");
  struct fid* waited_on = endpoint->wait_set ? &endpoint->wait_set->fid : &endpoint->cq->fid;
  if (endpoint->wait != WAIT_SPIN) check(fi_control(waited_on, FI_GETWAIT, &endpoint->fd), "FI_GETWAIT");
  struct fi_av_attr av_attr = {.type = FI_AV_TABLE, .count = 1};
  check(fi_av_open(endpoint->domain, &av_attr, &endpoint->av, NULL), "fi_av_open");
}

static void allocate_slots(struct endpoint* endpoint) {
  uint32_t slots = endpoint->tx_slots + endpoint->rx_slots;
  endpoint->stride = (endpoint->size + CACHE_LINE) / CACHE_LINE * CACHE_LINE;
  size_t length = slots * endpoint->stride;
  endpoint->contexts = calloc(slots, sizeof *endpoint->contexts);
  if (!endpoint->contexts ||
      posix_memalign((void**)&endpoint->memory, (size_t)sysconf(_SC_PAGESIZE), length)) {
    fail("no memory for %u slots of %zu bytes", slots, endpoint->stride);
  }
  // Touched now, so that no page fault falls into what is measured.
  memset(endpoint->memory, 0, length);
  for (uint32_t slot = 0; slot < endpoint->tx_slots; slot++)
    fill_pattern(slot_buffer(endpoint, slot), endpoint->size);
  if (!(endpoint->info->domain_attr->mr_mode & FI_MR_LOCAL)) return;
  uint64_t access = FI_SEND | FI_RECV;
  if (endpoint->info->caps & FI_RMA) access |= FI_READ | FI_WRITE;
  check(fi_mr_reg(endpoint->domain, endpoint->memory, length, access, 0, LOCAL_KEY, 0, &endpoint->mr, NULL),
        "fi_mr_reg");
  endpoint->descriptor = fi_mr_desc(endpoint->mr);
}

void endpoint_open(struct endpoint* endpoint, const struct options* options, uint32_t tx_slots,
                   uint32_t rx_slots) {
  *endpoint = (struct endpoint){.tx_slots = tx_slots,
                                .rx_slots = rx_slots,
                                .size = options->size,
                                .tagged = options->tagged,
                                .wait = options->wait,
                                .fd = -1};
  endpoint->info = get_info(options);
  struct fi_info* info = endpoint->info;
  if (tx_slots > info->tx_attr->size || rx_slots > info->rx_attr->size) {
    fail("%s has room for %zu sends and %zu receives only", options->provider, info->tx_attr->size,
         info->rx_attr->size);
  }
  check(fi_fabric(info->fabric_attr, &endpoint->fabric, NULL), "fi_fabric");
  check(fi_domain(endpoint->fabric, info, &endpoint->domain, NULL), "fi_domain");
  open_queues(endpoint);
  check(fi_endpoint(endpoint->domain, info, &endpoint->ep, NULL), "fi_endpoint");
  check(fi_ep_bind(endpoint->ep, &endpoint->eq->fid, 0), "fi_ep_bind(eq)");
  check(fi_ep_bind(endpoint->ep, &endpoint->av->fid, 0), "fi_ep_bind(av)");
  check(fi_ep_bind(endpoint->ep, &endpoint->cq->fid, FI_TRANSMIT | FI_RECV), "fi_ep_bind(cq)");
  check(fi_enable(endpoint->ep), "fi_enable");
  allocate_slots(endpoint);
  for (uint32_t slot = tx_slots; slot < tx_slots + rx_slots; slot++)
    check(post_receive(endpoint, slot), "fi_recv");
}

void endpoint_connect(struct endpoint* endpoint, int control) {
  char mine[ADDRESS_BYTES], theirs[ADDRESS_BYTES];
  size_t length = sizeof mine;
  check(fi_getname(&endpoint->ep->fid, mine, &length), "fi_getname");
  uint32_t my_length = (uint32_t)length, their_length;
  control_write(control, &my_length, sizeof my_length);
  control_write(control, mine, my_length);
  control_read(control, &their_length, sizeof their_length);
  if (their_length > sizeof theirs) fail("the other side's address has %u bytes", their_length);
  control_read(control, theirs, their_length);
  int inserted = fi_av_insert(endpoint->av, theirs, 1, &endpoint->peer, 0, NULL);
  check(inserted, "fi_av_insert");
  if (inserted != 1) fail("fi_av_insert: the address was not accepted");
}

// What rxm still keeps busy after many large messages ends with the process.
static void close_fid(struct fid* fid, const char* name) {
  int status = fid ? fi_close(fid) : 0;
  if (status != -FI_EBUSY) check(status, name);
}

void endpoint_close(struct endpoint* endpoint) {
  close_fid(&endpoint->ep->fid, "fi_close(endpoint)");
  if (endpoint->mr) close_fid(&endpoint->mr->fid, "fi_close(mr)");
  close_fid(&endpoint->cq->fid, "fi_close(cq)");
  if (endpoint->wait_set) close_fid(&endpoint->wait_set->fid, "fi_close(wait set)");
  close_fid(&endpoint->av->fid, "fi_close(av)");
  close_fid(&endpoint->eq->fid, "fi_close(eq)");
  close_fid(&endpoint->domain->fid, "fi_close(domain)");
  close_fid(&endpoint->fabric->fid, "fi_close(fabric)");
  fi_freeinfo(endpoint->info);
  free(endpoint->contexts);
  free(endpoint->memory);
}

void endpoint_fail_read(struct endpoint* endpoint, ssize_t status) {
  struct fi_cq_err_entry error = {0};
  char text[256] = "";
  if (status != -FI_EAVAIL || fi_cq_readerr(endpoint->cq, &error, 0) < 0) check(status, "fi_cq_readfrom");
  fail("completion: %s (provider %d: %s)", fi_strerror(error.err), error.prov_errno,
       fi_cq_strerror(endpoint->cq, error.prov_errno, error.err_data, text, sizeof text));
}

static bool may_sleep(struct endpoint* endpoint) {
  if (endpoint->wait_set) {
    // Without time it answers a timeout where there is nothing to read, and clears old signals by it.
    int status = fi_wait(endpoint->wait_set, 0);
    if (status != -FI_ETIMEDOUT) check(status, "fi_wait");
    return status == -FI_ETIMEDOUT;
  }
  struct fid* fids[] = {&endpoint->cq->fid};
  int status = fi_trywait(endpoint->fabric, fids, 1);
  if (status != -FI_EAGAIN) check(status, "fi_trywait");
  return status == 0;
}

void endpoint_sleep(struct endpoint* endpoint) {
  if (!may_sleep(endpoint)) return;
  struct pollfd poll_fd = {.fd = endpoint->fd, .events = POLLIN};
  if (poll(&poll_fd, 1, -1) < 0 && errno != EINTR) fail("poll: %s", strerror(errno));
}
