// A software EFA device for tests: its NIC's process, and objects of libibverbs on it, made as the efa provider makes them.
#pragma once

#include <infiniband/efadv.h>
#include <infiniband/verbs.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "harness.h"

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

  ibv_cq_ex* completions(ibv_comp_channel* channel = nullptr, void* cq_context = nullptr) const {
    ibv_cq_init_attr_ex attributes{};
    attributes.cqe = 64;
    attributes.channel = channel;
    attributes.cq_context = cq_context;
    ibv_cq_ex* const made = efadv_create_cq(context, &attributes, nullptr, 0);
    REQUIRE(made != nullptr);
    return made;
  }
  ibv_qp* pair(bool takes_unsolicited_writes = false, ibv_cq_ex* send_queue = nullptr,
               ibv_cq_ex* receive_queue = nullptr) const {
    ibv_qp_init_attr_ex attributes{};
    attributes.cap.max_send_wr = attributes.cap.max_recv_wr = 16;
    attributes.qp_type = IBV_QPT_DRIVER;
    attributes.send_cq = ibv_cq_ex_to_cq(send_queue == nullptr ? queue : send_queue);
    attributes.recv_cq = ibv_cq_ex_to_cq(receive_queue == nullptr ? queue : receive_queue);
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

inline void post(const Opened& device, ibv_qp* from, const ibv_qp* to, const Posting& posting) {
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

inline void receive(ibv_qp* pair, ibv_sge element, uint64_t id) {
  ibv_recv_wr request{};
  request.wr_id = id;
  request.sg_list = &element;
  request.num_sge = 1;
  ibv_recv_wr* bad = nullptr;
  CHECK_EQ(ibv_post_recv(pair, &request, &bad), 0);
}

// The one that all tests of a program have.
inline NicProcess& nic() {
  static NicProcess only;
  return only;
}
