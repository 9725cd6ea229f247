// The library that is preloaded, and the NIC's process: libibverbs' functions, called as the efa provider calls them.
#include <infiniband/efadv.h>
#include <infiniband/verbs.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "harness.h"

// Of newer libefas, whose headers this machine may not have.
struct efadv_wq_attr;
struct efadv_cq_attr;
struct efadv_mr_attr;
extern "C" int efadv_query_qp_wqs(ibv_qp* pair, efadv_wq_attr* sends, efadv_wq_attr* receives,
                                  uint32_t length);
extern "C" int efadv_query_cq(ibv_cq* queue, efadv_cq_attr* attributes, uint32_t length);
extern "C" int efadv_query_mr(ibv_mr* region, efadv_mr_attr* attributes, uint32_t length);

namespace {

constexpr uint32_t kQueueKey = 0x1234;
constexpr const char* kDevice = "rdmap0s6";

// A NIC in a process of its own, as the command starts it; it ends when its standard input does.
class NicProcess {
 public:
  NicProcess() {
    char name[] = "/tmp/softefa-test-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    folder_ = name;
    setenv("SOFTEFA_DIRECTORY", name, 1);
    setenv("SYSFS_PATH", name, 1);
    setenv("SOFTEFA_RDMA", "1", 1);
    int to[2], from[2];
    REQUIRE(pipe(to) == 0 && pipe(from) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, to[1]);
    posix_spawn_file_actions_addclose(&actions, from[0]);
    const std::string socket = folder_ + "/" + kDevice + ".sock";
    std::string program = SOFTEFA_NIC;
    char* arguments[] = {program.data(), const_cast<char*>(socket.c_str()), nullptr};
    REQUIRE(posix_spawn(&process_, SOFTEFA_NIC, &actions, nullptr, arguments, environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    input_ = to[1];
    char ready = 0;
    REQUIRE(read(from[0], &ready, 1) == 1);
    close(from[0]);
  }
  NicProcess(const NicProcess&) = delete;
  NicProcess& operator=(const NicProcess&) = delete;
  ~NicProcess() {
    end();
    std::filesystem::remove_all(folder_);
  }
  // Ends it, and answers how that went. A sanitizer's complaint is its exit status.
  int end() {
    if (input_ < 0) return -1;
    close(std::exchange(input_, -1));
    int status = 0;
    return waitpid(process_, &status, 0) == process_ ? status : -1;
  }

 private:
  std::string folder_;
  pid_t process_ = 0;
  int input_ = -1;
};

struct Completed {
  uint64_t id = 0;
  ibv_wc_opcode opcode = IBV_WC_SEND;
  uint32_t error = 0;
  uint32_t length = 0;
  uint32_t immediate = 0;
  bool is_unsolicited = false;
};

// As libefa has it since rdma-core 56, and as a provider that was built with that calls it.
struct SourceView {
  uint64_t compatibility_mask;
  int (*read_source)(efadv_cq* view, ibv_gid* gid);
  bool (*is_unsolicited)(efadv_cq* view);
};
static_assert(sizeof(efadv_cq) <= sizeof(SourceView));

// A device that is open, with a completion queue that all its queue pairs share, and another for sends alone.
class Opened {
 public:
  Opened() {
    ibv_device** list = ibv_get_device_list(nullptr);
    REQUIRE(list != nullptr && list[0] != nullptr);
    context = ibv_open_device(list[0]);
    ibv_free_device_list(list);
    REQUIRE(context != nullptr);
    domain = ibv_alloc_pd(context);
    queue = completions();
    sent = completions();
    ibv_ah_attr address{};
    CHECK_EQ((ibv_query_gid)(context, 1, 0, &address.grh.dgid), 0);
    handle = ibv_create_ah(domain, &address);
  }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;
  ~Opened() {
    CHECK_EQ(ibv_destroy_ah(handle), 0);
    for (ibv_cq_ex* each : {queue, sent}) CHECK_EQ(ibv_destroy_cq(ibv_cq_ex_to_cq(each)), 0);
    CHECK_EQ(ibv_dealloc_pd(domain), 0);
    CHECK_EQ(ibv_close_device(context), 0);
  }

  ibv_cq_ex* completions() const {
    ibv_cq_init_attr_ex attributes{};
    attributes.cqe = 64;
    ibv_cq_ex* const made = efadv_create_cq(context, &attributes, nullptr, 0);
    REQUIRE(made != nullptr);
    return made;
  }
  ibv_qp* pair(bool takes_unsolicited_writes = false, ibv_cq_ex* send_queue = nullptr) {
    ibv_qp_init_attr_ex attributes{};
    attributes.cap.max_send_wr = attributes.cap.max_recv_wr = 16;
    attributes.qp_type = IBV_QPT_DRIVER;
    attributes.send_cq = ibv_cq_ex_to_cq(send_queue == nullptr ? queue : send_queue);
    attributes.recv_cq = ibv_cq_ex_to_cq(queue);
    attributes.pd = domain;
    // Newer headers call it `flags`.
    efadv_qp_init_attr efa{};
    const uint16_t flags = takes_unsolicited_writes ? 1 : 0;
    std::memcpy(reinterpret_cast<char*>(&efa) + 12, &flags, sizeof flags);
    ibv_qp* const made = efadv_create_qp_ex(context, &attributes, &efa, sizeof efa);
    REQUIRE(made != nullptr);
    ibv_qp_attr wanted{};
    wanted.qp_state = IBV_QPS_RTS;
    wanted.qkey = kQueueKey;
    wanted.rnr_retry = 0;
    CHECK_EQ(ibv_modify_qp(made, &wanted, IBV_QP_STATE | IBV_QP_QKEY | IBV_QP_RNR_RETRY), 0);
    return made;
  }

  // The next completion. A NIC that does not answer is a failure, not a hang.
  Completed next() const { return next(queue); }
  static Completed next(ibv_cq_ex* from) {
    ibv_poll_cq_attr none{};
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (ibv_start_poll(from, &none) != 0) {
      REQUIRE(std::chrono::steady_clock::now() < deadline);
      std::this_thread::yield();
    }
    Completed completed{from->wr_id, ibv_wc_read_opcode(from),
                        from->status == IBV_WC_SUCCESS ? 0 : ibv_wc_read_vendor_err(from),
                        ibv_wc_read_byte_len(from), ibv_wc_read_imm_data(from)};
    efadv_cq* const view = efadv_cq_from_ibv_cq_ex(from);
    completed.is_unsolicited = reinterpret_cast<SourceView*>(view)->is_unsolicited(view);
    ibv_end_poll(from);
    return completed;
  }
  bool has_none() {
    ibv_poll_cq_attr none{};
    if (ibv_start_poll(queue, &none) != 0) return true;
    ibv_end_poll(queue);
    return false;
  }

  ibv_context* context = nullptr;
  ibv_pd* domain = nullptr;
  ibv_cq_ex *queue = nullptr, *sent = nullptr;
  ibv_ah* handle = nullptr;
};

// Registered memory.
class Region {
 public:
  Region(const Opened& device, size_t length, int access, char fill) : bytes(length, fill) {
    region = ibv_reg_mr(device.domain, bytes.data(), length, access);
    REQUIRE(region != nullptr);
  }
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  ~Region() { CHECK_EQ(ibv_dereg_mr(region), 0); }
  uint64_t address(size_t offset = 0) const { return reinterpret_cast<uint64_t>(bytes.data()) + offset; }
  ibv_sge element(size_t offset, size_t length) const {
    return {address(offset), static_cast<uint32_t>(length), region->lkey};
  }
  std::vector<char> bytes;
  ibv_mr* region = nullptr;
};

enum class Kind { Send, Read, Write, WriteImmediate };

struct Posting {
  Kind kind = Kind::Send;
  std::vector<ibv_sge> elements;
  uint32_t key = 0;
  uint64_t address = 0;
  uint64_t id = 1;
};

void post(const Opened& device, ibv_qp* from, const ibv_qp* to, const Posting& posting) {
  ibv_qp_ex* const pair = ibv_qp_to_qp_ex(from);
  ibv_wr_start(pair);
  pair->wr_id = posting.id;
  switch (posting.kind) {
    case Kind::Send: ibv_wr_send(pair); break;
    case Kind::Read: ibv_wr_rdma_read(pair, posting.key, posting.address); break;
    case Kind::Write: ibv_wr_rdma_write(pair, posting.key, posting.address); break;
    case Kind::WriteImmediate: ibv_wr_rdma_write_imm(pair, posting.key, posting.address, 77); break;
  }
  ibv_wr_set_sge_list(pair, posting.elements.size(), posting.elements.data());
  ibv_wr_set_ud_addr(pair, device.handle, to->qp_num, kQueueKey);
  CHECK_EQ(ibv_wr_complete(pair), 0);
}

void receive(ibv_qp* pair, ibv_sge element, uint64_t id) {
  ibv_recv_wr request{};
  request.wr_id = id;
  request.sg_list = &element;
  request.num_sge = 1;
  ibv_recv_wr* bad = nullptr;
  CHECK_EQ(ibv_post_recv(pair, &request, &bad), 0);
}

constexpr int kReadable = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ;
constexpr int kWritable = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE;
// Many packets, and no whole number of them.
constexpr size_t kLong = 1'000'001;
constexpr size_t kPageBytes = 4096;

NicProcess& nic() {
  static NicProcess only;
  return only;
}

}  // namespace

TEST(says_that_it_has_rdma) {
  nic();
  const Opened device;
  efadv_device_attr attributes{};
  CHECK_EQ(efadv_query_device(device.context, &attributes, sizeof attributes), 0);
  CHECK((attributes.device_caps & EFADV_DEVICE_ATTR_CAPS_RDMA_READ) != 0);
  CHECK_EQ(attributes.max_rdma_size, 1U << 30);
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
