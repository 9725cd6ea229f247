#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "fabric_loop.h"

static struct sockaddr_in loopback(int port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int serve(int port) {
  struct sockaddr_in address = loopback(port);
  socklen_t length = sizeof address;
  int one = 1;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0) fail("socket: %s", strerror(errno));
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr*)&address, length) || listen(listener, 1) ||
      getsockname(listener, (struct sockaddr*)&address, &length)) {
    fail("control port %d: %s", port, strerror(errno));
  }
  printf("{\"port\":%d}\n", ntohs(address.sin_port));
  fflush(stdout);
  int fd = accept(listener, NULL, NULL);
  if (fd < 0) fail("accept: %s", strerror(errno));
  close(listener);
  return fd;
}

// The server may not have come up yet: tries until the alarm of --timeout.
static int dial(int port) {
  struct sockaddr_in address = loopback(port);
  for (;;) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket: %s", strerror(errno));
    if (!connect(fd, (struct sockaddr*)&address, sizeof address)) return fd;
    if (errno != ECONNREFUSED) fail("control port %d: %s", port, strerror(errno));
    close(fd);
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
  }
}

int control_open(const struct options* options) {
  int one = 1;
  int fd = options->is_server ? serve(options->port) : dial(options->port);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

void control_write(int fd, const void* data, size_t length) {
  for (const char* at = data; length;) {
    ssize_t count = write(fd, at, length);
    if (count < 0) fail("control connection: %s", strerror(errno));
    at += count;
    length -= (size_t)count;
  }
}

void control_read(int fd, void* data, size_t length) {
  for (char* at = data; length;) {
    ssize_t count = read(fd, at, length);
    if (count < 0) fail("control connection: %s", strerror(errno));
    if (!count) fail("the other side has gone");
    at += count;
    length -= (size_t)count;
  }
}

void control_check_options(int fd, const struct options* options) {
  char mine[256] = "", theirs[256];
  snprintf(mine, sizeof mine, "%s %s %zu %llu %llu %u %d %d %d", options->provider, test_name(options->test),
           options->size, (unsigned long long)options->iterations, (unsigned long long)options->warm_up,
           options->window, options->operation, options->wait, options->tagged);
  control_write(fd, mine, sizeof mine);
  control_read(fd, theirs, sizeof theirs);
  theirs[sizeof theirs - 1] = 0;
  if (strcmp(mine, theirs)) fail("the two sides differ: %s / %s", mine, theirs);
}

// One byte from the other side, reading the queue meanwhile.
static void await_byte(int fd, struct endpoint* endpoint) {
  struct fi_cq_tagged_entry entries[READ_BATCH];
  char byte;
  for (;;) {
    ssize_t count = recv(fd, &byte, 1, MSG_DONTWAIT);
    if (count == 1) return;
    if (!count) fail("the other side has gone");
    if (errno != EAGAIN) fail("control connection: %s", strerror(errno));
    endpoint_read(endpoint, entries, READ_BATCH);
  }
}

// The client sends first in every test, so it is let go last: a server still in await_byte would swallow the
// completion of a message.
void control_barrier(int fd, struct endpoint* endpoint, bool is_server) {
  char byte = 0;
  if (is_server) await_byte(fd, endpoint);
  control_write(fd, &byte, 1);
  if (!is_server) await_byte(fd, endpoint);
}
