// The library that is preloaded, and the NIC's process: libibverbs' functions, called as the efa provider calls them.
#include <sys/resource.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

#include "softefa_device.h"

// Of newer libefas, whose headers this machine may not have.
struct efadv_wq_attr;
struct efadv_cq_attr;
struct efadv_mr_attr;
extern "C" int efadv_query_qp_wqs(ibv_qp* pair, efadv_wq_attr* sends, efadv_wq_attr* receives,
                                  uint32_t length);
extern "C" int efadv_query_cq(ibv_cq* queue, efadv_cq_attr* attributes, uint32_t length);
extern "C" int efadv_query_mr(ibv_mr* region, efadv_mr_attr* attributes, uint32_t length);

namespace {

constexpr int kReadable = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ;
constexpr int kWritable = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE;
// Many packets, and no whole number of them.
constexpr size_t kLong = 1'000'001;
constexpr size_t kPageBytes = 4096;

}  // namespace

TEST(says_that_it_has_rdma) {
  nic();
  const Opened device;
  efadv_device_attr attributes{};
  CHECK_EQ(efadv_query_device(device.context, &attributes, sizeof attributes), 0);
  CHECK((attributes.device_caps & EFADV_DEVICE_ATTR_CAPS_RDMA_READ) != 0);
  CHECK_EQ(attributes.max_rdma_size, 1U << 30);
}

// The bytes are taken when it is posted, from memory that nobody registered.
TEST(sends_inline_what_may_change_at_once) {
  nic();
  const Opened device;
  ibv_qp *const a = device.pair(), *const b = device.pair();
  {
    const Region into(device, 32, IBV_ACCESS_LOCAL_WRITE, 'b');
    const auto send = [&](size_t length) {
      std::vector<char> bytes(length, 'i');
      ibv_qp_ex* const pair = ibv_qp_to_qp_ex(a);
      ibv_wr_start(pair);
      pair->wr_id = 1;
      ibv_wr_send(pair);
      ibv_wr_set_inline_data(pair, bytes.data(), length);
      ibv_wr_set_ud_addr(pair, device.handle, b->qp_num, kQueueKey);
      CHECK_EQ(ibv_wr_complete(pair), 0);
      bytes.assign(length, 'x');
    };
    receive(b, into.element(0, 32), 2);
    send(32);
    CHECK_EQ(device.next().error, 0U);
    CHECK_EQ(device.next().error, 0U);
    CHECK(into.bytes == std::vector<char>(32, 'i'));
    send(33);  // more than the device says it takes
    CHECK_EQ(device.next().error, 6U);
  }
  for (ibv_qp* pair : {a, b}) CHECK_EQ(ibv_destroy_qp(pair), 0);
}

TEST(writes_and_reads_more_than_a_packet) {
  nic();
  Opened device;
  ibv_qp *const a = device.pair(), *const b = device.pair();
  {
    Region from(device, kLong, IBV_ACCESS_LOCAL_WRITE, 'a');
    Region target(device, kLong, kWritable | kReadable, 'b');
    Region into(device, kLong, IBV_ACCESS_LOCAL_WRITE, 'c');
    for (size_t index = 0; index < kLong; ++index) from.bytes[index] = static_cast<char>(index * 7 % 251);
    const size_t half = kLong / 2;
    post(device, a, b,
         {Kind::Write,
          {from.element(0, half), from.element(half, kLong - half)},
          target.region->rkey,
          target.address()});
    const Completed written = device.next();
    CHECK_EQ(written.error, 0U);
    CHECK_EQ(written.opcode, IBV_WC_RDMA_WRITE);
    CHECK(target.bytes == from.bytes);
    post(device, a, b,
         {Kind::Read,
          {into.element(0, 10), into.element(10, kLong - 10)},
          target.region->rkey,
          target.address()});
    const Completed read = device.next();
    CHECK_EQ(read.error, 0U);
    CHECK_EQ(read.opcode, IBV_WC_RDMA_READ);
    CHECK(into.bytes == from.bytes);
  }
  CHECK_EQ(ibv_destroy_qp(a), 0);
  CHECK_EQ(ibv_destroy_qp(b), 0);
}

TEST(tells_the_target_of_a_write_with_immediate_data_when_all_is_there) {
  nic();
  Opened device;
  ibv_qp *const a = device.pair(), *const b = device.pair();
  {
    Region from(device, kLong, IBV_ACCESS_LOCAL_WRITE, 'a');
    Region target(device, kLong, kWritable, 'b');
    const Posting write{
        Kind::WriteImmediate, {from.element(0, kLong)}, target.region->rkey, target.address()};
    post(device, a, b, write);
    CHECK_EQ(device.next().error, 10U);  // it takes a receive
    receive(b, target.element(0, 1), 9);
    post(device, a, b, write);
    const Completed first = device.next(), second = device.next();
    const Completed& received = first.id == 9 ? first : second;
    CHECK_EQ(received.opcode, IBV_WC_RECV_RDMA_WITH_IMM);
    CHECK_EQ(received.length, kLong);
    CHECK_EQ(received.immediate, 77U);
    CHECK(!received.is_unsolicited);
    CHECK_EQ(first.error + second.error, 0U);
    CHECK(target.bytes == from.bytes);
  }
  CHECK_EQ(ibv_destroy_qp(a), 0);
  CHECK_EQ(ibv_destroy_qp(b), 0);
}

TEST(an_unsolicited_write_takes_no_receive) {
  nic();
  Opened device;
  ibv_qp *const a = device.pair(), *const b = device.pair(true);
  {
    Region from(device, 100, IBV_ACCESS_LOCAL_WRITE, 'a');
    Region target(device, 100, kWritable, 'b');
    post(device, a, b, {Kind::WriteImmediate, {from.element(0, 100)}, target.region->rkey, target.address()});
    const Completed first = device.next(), second = device.next();
    CHECK_EQ(first.error + second.error, 0U);
    const Completed& received = first.opcode == IBV_WC_RECV_RDMA_WITH_IMM ? first : second;
    CHECK_EQ(received.opcode, IBV_WC_RECV_RDMA_WITH_IMM);
    CHECK(received.is_unsolicited);
    CHECK(target.bytes == from.bytes);
  }
  CHECK_EQ(ibv_destroy_qp(a), 0);
  CHECK_EQ(ibv_destroy_qp(b), 0);
}

TEST(refuses_what_a_key_does_not_allow) {
  nic();
  Opened device;
  ibv_qp *const a = device.pair(), *const b = device.pair();
  {
    Region local(device, 100, IBV_ACCESS_LOCAL_WRITE, 'a');
    Region readable(device, 100, kReadable, 'r');
    Region writable(device, 100, kWritable, 'w');
    const auto status_of = [&](Kind kind, size_t length, uint32_t key, uint64_t address) {
      post(device, a, b, {kind, {local.element(0, length)}, key, address});
      return device.next().error;
    };
    CHECK_EQ(status_of(Kind::Read, 100, readable.region->rkey, readable.address()), 0U);
    CHECK_EQ(status_of(Kind::Write, 100, readable.region->rkey, readable.address()), 7U);
    CHECK_EQ(status_of(Kind::Read, 100, writable.region->rkey, writable.address()), 7U);
    CHECK_EQ(status_of(Kind::Write, 100, writable.region->rkey, writable.address(1)), 7U);
    CHECK_EQ(status_of(Kind::Write, 100, writable.region->rkey, writable.address() - 1), 7U);
    CHECK_EQ(status_of(Kind::Write, 100, writable.region->rkey, UINT64_MAX), 7U);
    CHECK_EQ(status_of(Kind::Write, 99, writable.region->rkey, writable.address(1)), 0U);
    CHECK_EQ(status_of(Kind::Read, 100, 1, readable.address()), 7U);
    CHECK_EQ(writable.bytes[0], 'w');
    CHECK_EQ(writable.bytes[1], 'r');
    uint32_t gone = 0;
    {
      const Region closed(device, 100, kReadable, 'c');
      gone = closed.region->rkey;
    }
    CHECK_EQ(status_of(Kind::Read, 100, gone, readable.address()), 7U);
    // The initiator's own.
    post(device, a, b,
         {Kind::Read, {{local.address(), 100, gone}}, readable.region->rkey, readable.address()});
    CHECK_EQ(device.next().error, 5U);
    post(device, a, b, {Kind::Read, {local.element(1, 100)}, readable.region->rkey, readable.address()});
    CHECK_EQ(device.next().error, 5U);
  }
  CHECK_EQ(ibv_destroy_qp(a), 0);
  CHECK_EQ(ibv_destroy_qp(b), 0);
}

// Their numbers point to what the program has freed.
TEST(does_not_tell_of_operations_whose_queue_pair_is_gone) {
  nic();
  Opened device;
  ibv_qp *const a = device.pair(false, device.sent), *const b = device.pair();
  {
    Region from(device, 100, IBV_ACCESS_LOCAL_WRITE, 'a');
    Region into(device, 100, IBV_ACCESS_LOCAL_WRITE, 'b');
    receive(b, into.element(0, 100), 11);
    post(device, a, b, {Kind::Send, {from.element(0, 100)}});
    // It is acknowledged after its receive was completed: that lies in the other queue, untold.
    CHECK_EQ(Opened::next(device.sent).error, 0U);
    CHECK_EQ(ibv_destroy_qp(b), 0);
    CHECK_EQ(ibv_destroy_qp(a), 0);
    CHECK(device.has_none());
  }
  ibv_qp *const c = device.pair(), *const d = device.pair();
  {
    Region from(device, 100, IBV_ACCESS_LOCAL_WRITE, 'a');
    post(device, c, d, {Kind::Send, {from.element(0, 100)}, 0, 0, 5});
    const Completed refused = device.next();
    CHECK_EQ(refused.id, 5U);
    CHECK_EQ(refused.error, 10U);
  }
  CHECK_EQ(ibv_destroy_qp(c), 0);
  CHECK_EQ(ibv_destroy_qp(d), 0);
}

TEST(counts_registered_pages_against_the_limit_where_told_to) {
  nic();
  const Opened device;
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_MEMLOCK, &before) == 0);
  const rlimit three_pages{3 * kPageBytes, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_MEMLOCK, &three_pages) == 0);
  std::vector<char> memory(5 * kPageBytes);
  const uint64_t unaligned = reinterpret_cast<uint64_t>(memory.data()) % kPageBytes;
  char* const page = memory.data() + (kPageBytes - unaligned);
  const auto registered = [&](size_t offset, size_t length) {
    return ibv_reg_mr(device.domain, page + offset, length, IBV_ACCESS_LOCAL_WRITE);
  };
  ibv_mr* const untold = registered(0, 4 * kPageBytes);
  CHECK(untold != nullptr);
  setenv("SOFTEFA_MEMLOCK", "1", 1);
  ibv_mr* const two = registered(kPageBytes - 1, 2);  // of which it has a byte each
  CHECK(two != nullptr);
  errno = 0;
  CHECK(registered(0, kPageBytes + 1) == nullptr);
  CHECK_EQ(errno, ENOMEM);
  ibv_mr* const third = registered(0, kPageBytes);
  CHECK(third != nullptr);
  CHECK(registered(0, 1) == nullptr);
  CHECK_EQ(ibv_dereg_mr(third), 0);
  ibv_mr* const again = registered(0, 1);
  CHECK(again != nullptr);
  for (ibv_mr* region : {untold, two, again}) CHECK_EQ(ibv_dereg_mr(region), 0);
  unsetenv("SOFTEFA_MEMLOCK");
  setrlimit(RLIMIT_MEMLOCK, &before);
}

TEST(refuses_direct_access_to_its_queues_and_regions) {
  nic();
  Opened device;
  ibv_qp* const pair = device.pair();
  const Region region(device, 1, IBV_ACCESS_LOCAL_WRITE, 'a');
  CHECK_EQ(efadv_query_qp_wqs(pair, nullptr, nullptr, 0), EOPNOTSUPP);
  CHECK_EQ(efadv_query_cq(ibv_cq_ex_to_cq(device.queue), nullptr, 0), EOPNOTSUPP);
  CHECK_EQ(efadv_query_mr(region.region, nullptr, 0), EOPNOTSUPP);
  CHECK_EQ(ibv_destroy_qp(pair), 0);
}

// The last one: nothing runs on the device afterwards.
TEST(the_nic_ends_well_with_the_command_that_started_it) { CHECK_EQ(nic().end(), 0); }
