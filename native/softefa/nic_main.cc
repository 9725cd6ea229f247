// The NIC of one software EFA device:  softefa-nic SOCKET [CONTROL [COUNTERS]]
//
// Programs reach it at SOCKET, and at CONTROL it is told what is to go wrong (control.h). What it counts is in the folder
// COUNTERS. It says `ready` on its standard output, and ends when its standard input does. Its
// settings are variables of the environment, which `libfabric softefa` documents.
#include <arpa/inet.h>
#include <signal.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>

#include "nic_server.h"

using namespace softefa;

namespace {

uint64_t number(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  if (text == nullptr || *text == '\0') return otherwise;
  char* end = nullptr;
  errno = 0;
  const unsigned long long value = std::strtoull(text, &end, 10);
  if (errno != 0 || *end != '\0' || *text == '-')
    throw std::invalid_argument(std::string(name) + " is '" + text + "', not a number");
  return value;
}

// Loopback unless it is told otherwise.
UdpAddress own_address() {
  const char* const text = std::getenv("SOFTEFA_ADDRESS");
  in_addr address{htonl(INADDR_LOOPBACK)};
  if (text != nullptr && *text != '\0' && inet_pton(AF_INET, text, &address) != 1)
    throw std::invalid_argument(std::string("SOFTEFA_ADDRESS is '") + text + "', not an IPv4 address");
  return {ntohl(address.s_addr), static_cast<uint16_t>(number("SOFTEFA_PORT", 0))};
}

FaultSettings faults() {
  FaultSettings settings;
  settings.seed = number("SOFTEFA_SEED", settings.seed);
  settings.loss_per_million = static_cast<uint32_t>(number("SOFTEFA_LOSS_PER_MILLION", 0));
  settings.latency_us = number("SOFTEFA_LATENCY_US", 0);
  settings.reorder_us = number("SOFTEFA_REORDER_US", 0);
  return settings;
}

TransportLimits limits() {
  TransportLimits limits;
  limits.unresponsive_us = number("SOFTEFA_UNRESPONSIVE_MS", limits.unresponsive_us / 1'000) * 1'000;
  limits.receiver_not_ready_us = number("SOFTEFA_RNR_US", limits.receiver_not_ready_us);
  return limits;
}

// SOFTEFA_FAIL: rules, with semicolons between them.
void add_rules(FaultRules& rules) {
  const char* const text = std::getenv("SOFTEFA_FAIL");
  std::istringstream all(text == nullptr ? "" : text);
  try {
    for (std::string rule; std::getline(all, rule, ';');) rules.add(rule);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(std::string("SOFTEFA_FAIL: ") + error.what());
  }
}

uint64_t new_incarnation() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32 | device()) | 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 4) {
    std::fprintf(stderr, "usage: softefa-nic SOCKET [CONTROL [COUNTERS]]\n");
    return 2;
  }
  try {
    // The command's own signals are the command's business: it ends the NIC when its program has ended.
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    UdpWire wire(own_address(), faults());
    Nic nic(gid_of(wire.address()), new_incarnation(), limits(), wire, number("SOFTEFA_RDMA", 0) != 0);
    add_rules(nic.fault_rules());
    Control control(nic.fault_rules(), wire.faults());
    std::optional<ControlSocket> told;
    if (argc > 2) told.emplace(argv[2], control);
    std::optional<CounterFiles> counters;
    if (argc > 3) counters.emplace(argv[3]);
    NicServer server(argv[1], wire, nic, told ? &*told : nullptr, counters ? &*counters : nullptr);
    std::printf("ready\n");
    std::fflush(stdout);
    server.run();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "softefa-nic: %s\n", error.what());
    return 1;
  }
}
