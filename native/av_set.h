#pragma once

#include <rdma/fi_collective.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "address_vector.h"
#include "endpoint.h"
#include "environment.h"
#include "operation.h"

namespace ofi {

// Addresses in the order that the library has them: a member's place is its rank, and the length of what each operation
// reads and writes depends on how many they are.
using Members = std::vector<int32_t>;

// -1 for an address that is no member.
inline int32_t rank_of(const Members& members, int32_t address) {
  const auto found = std::find(members.begin(), members.end(), address);
  return found == members.end() ? -1 : static_cast<int32_t>(found - members.begin());
}

// A set of addresses of one address vector (fi_av_set(3)), whose members make collective operations.
class AvSetObject : public FidObject<fid_av_set> {
 public:
  static constexpr Kind kKind = Kind::AvSet;
  AvSetObject() : FidObject(kKind, "AddressVectorSet") {}

  AddressVectorObject* addresses = nullptr;  // held through the graph
  Members members;
};

// What an endpoint joined (fi_collective(3)).
class CollectiveGroupObject : public FidObject<fid_mc> {
 public:
  static constexpr Kind kKind = Kind::CollectiveGroup;
  CollectiveGroupObject() : FidObject(kKind, "CollectiveGroup") {}
  int close_blocking() override;
  // An operation of the group that may still be in flight; the provider looks at the group until it is not.
  void note(Operation* operation);
  bool is_in_use();

  // Not held: a program may close it before the group.
  std::weak_ptr<EndpointObject> endpoint;
  bool joined = false;
  Members members;

 private:
  std::vector<std::pair<Operation*, uint32_t>> operations_;
};

void register_av_set(Napi::Object exports, Environment* environment);
void register_collective(Napi::Object exports, Environment* environment);

}  // namespace ofi
