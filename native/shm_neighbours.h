// Endpoints of one process that reach each other through memory. shm does not map a peer of the same process a second
// time but uses the peer's own mapping, which the peer's fi_close takes away: an endpoint that still has something of it
// to read, or to send to it, then crashes the process. So of endpoints that know each other none is closed before all
// of them are to be. Process-wide, since the threads of a program are neighbours too. Napi-free.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>

namespace ofi {

class ShmNeighbours {
 public:
  static ShmNeighbours& of_process();

  // An endpoint opened, whose contact is `name`. Its number, never 0.
  uint64_t enter(const std::string& name);
  // It was told the contact of another.
  void knows(uint64_t number, const std::string& name);
  // It is to be closed: nobody reads it any more.
  void rest(uint64_t number);
  // Whether an endpoint that does not rest knows it, or is known by it.
  bool is_needed(uint64_t number) const;
  // It was closed.
  void leave(uint64_t number);

 private:
  struct Neighbour {
    std::string name;
    std::set<std::string> known;
    bool resting = false;
  };
  mutable std::mutex mutex_;
  std::map<uint64_t, Neighbour> all_;
  uint64_t last_ = 0;
};

}  // namespace ofi
