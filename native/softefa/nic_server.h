// The NIC's process: its programs' connections, their doorbell, and the loop that all of it runs in.
#pragma once

#include <string>
#include <unordered_map>

#include "control_socket.h"
#include "counter_files.h"
#include "descriptor.h"
#include "nic.h"
#include "udp_wire.h"

namespace softefa {

class NicServer {
 public:
  // Listens on a Unix socket at `path`; hears what `control` is told and keeps `counters`, where they are not null. Throws
  // std::system_error.
  NicServer(const std::string& path, UdpWire& wire, Nic& nic, ControlSocket* control, CounterFiles* counters);
  // Until the command that started it is gone: then its standard input ends.
  void run();

 private:
  struct Connection {
    Descriptor socket;
    Descriptor process;  // readable when it has ended, though a child may still have its socket
    Program program;
  };

  void watch(int fd, uint64_t what);
  void accept_program();
  void accept_control();
  void serve(uint64_t program);
  Reply greet(const Connection& connection, const Request& request);
  void drop(uint64_t program);
  bool handle(uint64_t what);
  bool receive_packets();
  uint64_t work(bool& is_busy);
  void sleep(uint64_t until_us, bool is_busy);

  UdpWire& wire_;
  Nic& nic_;
  ControlSocket* const control_;
  CounterFiles* const counters_;
  Descriptor epoll_, listener_, doorbell_, page_file_;
  NicPage* page_ = nullptr;
  std::unordered_map<uint64_t, Connection> connections_;
  uint64_t next_program_ = 1;
  bool is_over_ = false;
  PacketHeader header_;
  std::vector<std::byte> payload_;
};

}  // namespace softefa
