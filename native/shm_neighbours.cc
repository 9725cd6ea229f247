#include "shm_neighbours.h"

namespace ofi {

ShmNeighbours& ShmNeighbours::of_process() {
  // Never destroyed: endpoints close after static destructors may have run.
  static auto* neighbours = new ShmNeighbours();
  return *neighbours;
}

uint64_t ShmNeighbours::enter(const std::string& name) {
  const std::lock_guard<std::mutex> guard(mutex_);
  all_[++last_].name = name;
  return last_;
}

void ShmNeighbours::knows(uint64_t number, const std::string& name) {
  const std::lock_guard<std::mutex> guard(mutex_);
  const auto found = all_.find(number);
  if (found != all_.end()) found->second.known.insert(name);
}

void ShmNeighbours::rest(uint64_t number) {
  const std::lock_guard<std::mutex> guard(mutex_);
  const auto found = all_.find(number);
  if (found != all_.end()) found->second.resting = true;
}

bool ShmNeighbours::is_needed(uint64_t number) const {
  const std::lock_guard<std::mutex> guard(mutex_);
  const auto found = all_.find(number);
  if (found == all_.end()) return false;
  const Neighbour& one = found->second;
  for (const auto& [key, other] : all_) {
    if (key == number || other.resting) continue;
    if (one.known.count(other.name) != 0 || other.known.count(one.name) != 0) return true;
  }
  return false;
}

void ShmNeighbours::leave(uint64_t number) {
  const std::lock_guard<std::mutex> guard(mutex_);
  all_.erase(number);
}

}  // namespace ofi
