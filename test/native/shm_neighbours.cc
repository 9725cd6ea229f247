// Who must not close before whom.
#include "shm_neighbours.h"

#include "harness.h"

using namespace ofi;

TEST(an_endpoint_without_acquaintances_is_not_needed) {
  ShmNeighbours all;
  const uint64_t one = all.enter("one");
  all.enter("two");
  all.knows(one, "elsewhere");
  CHECK(!all.is_needed(one));
}

TEST(both_are_needed_whichever_knows_the_other) {
  ShmNeighbours all;
  const uint64_t one = all.enter("one");
  const uint64_t two = all.enter("two");
  all.knows(one, "two");
  CHECK(all.is_needed(one));
  CHECK(all.is_needed(two));
}

TEST(endpoints_that_rest_need_nobody) {
  ShmNeighbours all;
  const uint64_t one = all.enter("one");
  const uint64_t two = all.enter("two");
  all.knows(one, "two");
  all.rest(one);
  CHECK(all.is_needed(one));
  CHECK(!all.is_needed(two));
  all.rest(two);
  CHECK(!all.is_needed(one));
}

TEST(one_that_has_left_needs_nobody) {
  ShmNeighbours all;
  const uint64_t one = all.enter("one");
  const uint64_t two = all.enter("two");
  all.knows(two, "one");
  all.leave(two);
  CHECK(!all.is_needed(one));
  all.knows(two, "one");
  all.rest(two);
  CHECK(!all.is_needed(two));
  CHECK(!all.is_needed(0));
}
