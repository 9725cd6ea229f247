// Operations that fail on purpose: which, and with what status.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "packet.h"

namespace softefa {

class FaultRules {
 public:
  // A rule in words: `status=9 nth=3 count=2 operation=send peer=fe80::1`, of which only the status has to be there. It
  // holds for the nth operation that matches, counted from now, and `count` in all, 0 for ever. Throws
  // std::invalid_argument with a text for people.
  void add(std::string_view words);
  void clear() { rules_.clear(); }
  // What an operation that is posted now fails with; kSuccess: it is done.
  Status status_of(Operation operation, const Gid& peer);

 private:
  struct Rule {
    Status status = Status::kSuccess;
    uint64_t nth = 1;
    uint64_t count = 1;
    std::optional<Operation> operation;
    std::optional<Gid> peer;
    uint64_t seen = 0;
  };

  std::vector<Rule> rules_;
};

// Of a peer's device, in IPv6's notation. Throws std::invalid_argument.
Gid gid_in_words(const std::string& text);

}  // namespace softefa
