// What tests tell a NIC while it runs, a line at a time. Knows no sockets: control_socket.h has them.
#pragma once

#include <string>
#include <string_view>

#include "fault_rules.h"
#include "faults.h"

namespace softefa {

class Control {
 public:
  Control(FaultRules& rules, Faults& cable) : rules_(rules), cable_(cable) {}

  // Does what a line says and answers `ok`, or `error: ` and why it was not done:
  //
  //   fail status=10 [nth=…] [count=…] [operation=…] [peer=…]     FaultRules::add
  //   cut [peer=…], mend [peer=…]                                 everybody where no peer is named
  //   cable [loss_per_million=…] [latency_us=…] [reorder_us=…] [seed=…]   what is not named stays
  //   clear                                                       no rules, no cuts, and the first cable
  std::string answer(std::string_view line);

 private:
  void obey(std::string_view line);
  void set_cable(std::string_view words);

  FaultRules& rules_;
  Faults& cable_;
};

}  // namespace softefa
