// What the software EFA device is told while it runs: lines in, rules and a cable out.
#include "softefa/control.h"

#include <string>

#include "harness.h"

using namespace softefa;

namespace {

const Gid kPeer = gid_of(UdpAddress{0x7f000001, 1}), kOther = gid_of(UdpAddress{0x7f000001, 2});
constexpr const char* kPeerInWords = "fe80::efa0:1:7f00:1";

struct Told {
  FaultRules rules;
  Faults cable{FaultSettings{.seed = 5, .latency_us = 7}};
  Control control{rules, cable};

  bool obeys(const char* line) { return control.answer(line) == "ok"; }
  std::string refusal(const char* line) { return control.answer(line); }
  int status_of(Operation operation, const Gid& peer) {
    return static_cast<int>(rules.status_of(operation, peer));
  }
  int send(const Gid& peer = kPeer) { return status_of(Operation::kSend, peer); }
};

}  // namespace

TEST(fails_the_next_operation_and_no_other) {
  Told told;
  CHECK_EQ(told.send(), 0);
  CHECK(told.obeys("fail status=7"));
  CHECK_EQ(told.status_of(Operation::kRead, kOther), 7);
  CHECK_EQ(told.send(), 0);
}

TEST(fails_the_nth_and_as_many_as_it_is_told) {
  Told told;
  CHECK(told.obeys("fail  nth=3 count=2 status=13"));
  for (const int expected : {0, 0, 13, 13, 0}) CHECK_EQ(told.send(), expected);
  CHECK(told.obeys("fail status=4 count=0"));
  for (int count = 0; count < 100; ++count) CHECK_EQ(told.send(), 4);
  CHECK(told.obeys("clear"));
  CHECK_EQ(told.send(), 0);
}

TEST(fails_only_what_goes_to_a_peer_or_is_of_a_kind) {
  Told told;
  CHECK(told.obeys((std::string("fail status=9 count=0 peer=") + kPeerInWords).c_str()));
  CHECK(told.obeys("fail status=3 count=0 operation=write"));
  CHECK_EQ(told.send(kPeer), 9);
  CHECK_EQ(told.send(kOther), 0);
  CHECK_EQ(told.status_of(Operation::kWrite, kOther), 3);
  CHECK_EQ(told.status_of(Operation::kRead, kOther), 0);
  // The first that was told.
  CHECK_EQ(told.status_of(Operation::kWrite, kPeer), 9);
}

TEST(cuts_a_peer_off_or_all) {
  Told told;
  const std::string named = std::string(" peer=") + kPeerInWords;
  CHECK(told.obeys(("cut" + named).c_str()));
  CHECK(told.cable.is_cut(kPeer));
  CHECK(!told.cable.is_cut(kOther));
  CHECK(told.obeys(("mend" + named).c_str()));
  CHECK(!told.cable.is_cut(kPeer));
  CHECK(told.obeys("cut"));
  CHECK(told.cable.is_cut(kOther));
  CHECK(told.obeys("mend"));
  CHECK(!told.cable.is_cut(kOther));
}

TEST(changes_the_cable_and_puts_it_back) {
  Told told;
  CHECK(told.obeys("cable loss_per_million=1000000 reorder_us=9"));
  CHECK(told.cable.decide().is_lost);
  CHECK_EQ(told.cable.settings().latency_us, 7U);
  CHECK(told.obeys("cut"));
  CHECK(told.obeys("clear"));
  CHECK(!told.cable.decide().is_lost);
  CHECK_EQ(told.cable.settings().reorder_us, 0U);
  CHECK(!told.cable.is_cut(kPeer));
}

TEST(the_same_seed_makes_the_same_decisions_again) {
  Told told;
  const auto decisions = [&] {
    std::string result;
    for (int count = 0; count < 64; ++count) result += told.cable.decide().is_lost ? 'x' : '.';
    return result;
  };
  CHECK(told.obeys("cable loss_per_million=500000 seed=3"));
  const std::string first = decisions();
  CHECK(told.obeys("cable seed=3"));
  CHECK(first == decisions());
  CHECK(told.obeys("cable seed=4"));
  CHECK(first != decisions());
}

TEST(says_why_it_does_not_obey) {
  Told told;
  const std::pair<const char*, const char*> wrong[] = {
      {"", "there is no ''"},
      {"fail", "status is missing"},
      {"fail status=19", "status is '19', not a number from 1 to 18"},
      {"fail status=1x", "status is '1x'"},
      {"fail status=1 nth=0", "nth is '0'"},
      {"fail status=1 often=2", "nothing is called 'often'"},
      {"fail status=1 operation=recv", "operation is 'recv', not send, read or write"},
      {"fail status=1 peer=here", "peer is 'here', not a GID"},
      {"fail now", "'now' is not of the form name=value"},
      {"cut everything", "'everything' is not of the form"},
      {"cable loss_per_million=1000001", "not a number from 0 to 1000000"},
      {"clear all", "there is no 'clear all'"},
  };
  for (const auto& [line, why] : wrong) {
    const std::string refusal = told.refusal(line);
    if (!CHECK(refusal.starts_with("error: ") && refusal.find(why) != std::string::npos))
      std::printf("  '%s' was answered: %s\n", line, refusal.c_str());
  }
  CHECK_EQ(told.send(), 0);
}
