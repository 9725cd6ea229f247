#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fabric_loop.h"

static const char usage[] =
    "usage: fabric_loop server|client latency|rate|bandwidth|write|read -p PROVIDER [options]\n"
    "  -p, --provider NAME   exact provider name: shm, net, \"tcp;ofi_rxm\", sockets, efa\n"
    "  -S, --size BYTES      message size (64; bandwidth 1048576)\n"
    "  -n, --iterations N    round trips, messages or operations measured (20000, rate 1000000, bandwidth "
    "2000)\n"
    "  -w, --warm-up N       of the same, before (1000, rate 10000, bandwidth 100)\n"
    "  -W, --window N        operations outstanding (rate 64, bandwidth 16, write and read 1)\n"
    "      --wait spin|fd|set   read the queue without pause, or sleep in poll(2) on its fd, or on a wait "
    "set's:\n"
    "                        net 1.17's own fd stays readable for ever after its first event (spin)\n"
    "      --send auto|send|inject   which call the latency test uses (auto: tries both, takes the faster)\n"
    "      --tagged          FI_TAGGED and its calls instead of FI_MSG\n"
    "      --cpu N           pin to this CPU\n"
    "      --port N          control connection on 127.0.0.1; the server prints the one it got (0)\n"
    "      --node ADDRESS    local address of providers that use IP (127.0.0.1)\n"
    "      --times FILE      every time that was measured, in microseconds, as doubles\n"
    "      --timeout SECONDS the whole run (60)\n";

noreturn static void fail_usage(void) {
  fputs(usage, stderr);
  exit(2);
}

static const char* const test_names[] = {"latency", "rate", "bandwidth", "write", "read"};

const char* test_name(enum test test) { return test_names[test]; }

bool test_is_one_sided(enum test test) { return test == TEST_WRITE || test == TEST_READ; }

const char* operation_name(enum operation operation) {
  static const char* const names[] = {"auto", "send", "inject"};
  return names[operation];
}

static const char* const wait_names[] = {"spin", "fd", "set"};

const char* wait_name(enum wait wait) { return wait_names[wait]; }

static uint64_t parse_number(const char* text, uint64_t minimum, uint64_t maximum) {
  char* end;
  errno = 0;
  uint64_t value = strtoull(text, &end, 10);
  if (errno || end == text || *end || *text == '-' || value < minimum || value > maximum) {
    fail("%s is not a number from %llu to %llu", text, (unsigned long long)minimum,
         (unsigned long long)maximum);
  }
  return value;
}

static int parse_name(const char* text, const char* const* names, int count) {
  for (int i = 0; i < count; i++) {
    if (!strcmp(text, names[i])) return i;
  }
  fail_usage();
}

static struct options options_for(const char* role, const char* test) {
  static const char* const roles[] = {"client", "server"};
  static const struct options defaults[] = {
      [TEST_LATENCY] = {.size = 64, .iterations = 20000, .warm_up = 1000, .window = 16},
      [TEST_RATE] = {.size = 64, .iterations = 1000000, .warm_up = 10000, .window = 64},
      [TEST_BANDWIDTH] = {.size = 1 << 20, .iterations = 2000, .warm_up = 100, .window = 16},
      [TEST_WRITE] = {.size = 64, .iterations = 20000, .warm_up = 1000, .window = 1},
      [TEST_READ] = {.size = 64, .iterations = 20000, .warm_up = 1000, .window = 1},
  };
  int number = parse_name(test, test_names, 5);
  struct options options = defaults[number];
  options.test = (enum test)number;
  options.is_server = parse_name(role, roles, 2) == 1;
  options.node = "127.0.0.1";
  options.cpu = -1;
  options.timeout_seconds = 60;
  return options;
}

static void options_validate(const struct options* options) {
  if (!options->provider) fail_usage();
  if (!options->is_server && !options->port) fail("the client needs --port");
  if (options->test != TEST_LATENCY && options->operation == OPERATION_INJECT) {
    fail("%s counts completions, which fi_inject has none of", test_name(options->test));
  }
}

struct options options_parse(int argc, char** argv) {
  static const char* const operations[] = {"auto", "send", "inject"};
  enum { WAIT = 256, SEND, TAGGED, CPU, PORT, NODE, TIMES, TIMEOUT };
  static const struct option long_options[] = {
      {"provider", required_argument, NULL, 'p'},    {"size", required_argument, NULL, 'S'},
      {"iterations", required_argument, NULL, 'n'},  {"warm-up", required_argument, NULL, 'w'},
      {"window", required_argument, NULL, 'W'},      {"wait", required_argument, NULL, WAIT},
      {"send", required_argument, NULL, SEND},       {"tagged", no_argument, NULL, TAGGED},
      {"cpu", required_argument, NULL, CPU},         {"port", required_argument, NULL, PORT},
      {"node", required_argument, NULL, NODE},       {"times", required_argument, NULL, TIMES},
      {"timeout", required_argument, NULL, TIMEOUT}, {NULL, 0, NULL, 0}};
  if (argc < 3) fail_usage();
  struct options options = options_for(argv[1], argv[2]);
  optind = 3;
  for (int c; (c = getopt_long(argc, argv, "p:S:n:w:W:", long_options, NULL)) != -1;) {
    switch (c) {
      case 'p': options.provider = optarg; break;
      case 'S': options.size = parse_number(optarg, 0, 1u << 30); break;
      case 'n': options.iterations = parse_number(optarg, 1, 1u << 30); break;
      case 'w': options.warm_up = parse_number(optarg, 1, 1u << 30); break;
      case 'W': options.window = (uint32_t)parse_number(optarg, 1, 4096); break;
      case WAIT: options.wait = (enum wait)parse_name(optarg, wait_names, 3); break;
      case SEND: options.operation = (enum operation)parse_name(optarg, operations, 3); break;
      case TAGGED: options.tagged = true; break;
      case CPU: options.cpu = (int)parse_number(optarg, 0, 1023); break;
      case PORT: options.port = (int)parse_number(optarg, 0, 65535); break;
      case NODE: options.node = optarg; break;
      case TIMES: options.times = optarg; break;
      case TIMEOUT: options.timeout_seconds = (unsigned)parse_number(optarg, 1, 86400); break;
      default: fail_usage();
    }
  }
  if (optind != argc) fail_usage();
  options_validate(&options);
  return options;
}
