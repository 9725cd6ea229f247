// The Unix socket at which a NIC is told things while it runs: lines in, lines out.
#pragma once

#include <string>
#include <unordered_map>

#include "control.h"
#include "descriptor.h"

namespace softefa {

class ControlSocket {
 public:
  // Listens at `path`. Throws std::system_error.
  ControlSocket(const std::string& path, Control& control);

  int listener() const { return listener_.get(); }
  // Somebody who wants to tell something: their socket, or -1.
  int accept();
  // Answers what has come on it. False where nothing more will: the socket is closed.
  bool serve(int socket);

 private:
  struct Connection {
    Descriptor socket;
    std::string unread;
  };

  Control& control_;
  Descriptor listener_;
  std::unordered_map<int, Connection> connections_;
};

}  // namespace softefa
