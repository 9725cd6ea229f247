// What goes wrong with packets on purpose, reproducibly: the same seed makes the same decisions.
#pragma once

#include <cstdint>
#include <random>
#include <set>

#include "address.h"

namespace softefa {

struct FaultSettings {
  uint64_t seed = 1;
  uint32_t loss_per_million = 0;
  uint64_t latency_us = 0;
  // Packets are held back by up to so much, each by its own time, and so overtake each other.
  uint64_t reorder_us = 0;
};

class Faults {
 public:
  explicit Faults(const FaultSettings& settings)
      : first_settings_(settings), settings_(settings), random_(settings.seed) {}

  struct Decision {
    bool is_lost = false;
    uint64_t delay_us = 0;
  };

  Decision decide() {
    Decision decision;
    if (settings_.loss_per_million > 0) decision.is_lost = below(1'000'000) < settings_.loss_per_million;
    decision.delay_us = settings_.latency_us;
    if (settings_.reorder_us > 0) decision.delay_us += below(settings_.reorder_us + 1);
    return decision;
  }

  const FaultSettings& settings() const { return settings_; }
  // From here on, with a random sequence that starts anew.
  void set(const FaultSettings& settings) {
    settings_ = settings;
    random_.seed(settings.seed);
  }

  // Nothing comes from a peer that is cut off, nor gets to it.
  bool is_cut(const Gid& peer) const { return all_are_cut_ || cut_.contains(peer); }
  void cut(const Gid& peer) { cut_.insert(peer); }
  void mend(const Gid& peer) { cut_.erase(peer); }
  void cut_all() { all_are_cut_ = true; }
  void mend_all() {
    all_are_cut_ = false;
    cut_.clear();
  }
  void reset() {
    mend_all();
    set(first_settings_);
  }

 private:
  // Not a std::uniform_int_distribution, whose numbers differ from one library to the next.
  uint64_t below(uint64_t bound) { return random_() % bound; }

  const FaultSettings first_settings_;
  FaultSettings settings_;
  std::mt19937_64 random_;
  bool all_are_cut_ = false;
  std::set<Gid> cut_;
};

}  // namespace softefa
