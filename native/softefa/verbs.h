// The objects behind the verbs that the efa provider calls. Each begins with the struct that the provider knows.
#pragma once

// What is defined here replaces libibverbs' and libefa's own functions, so it must be seen from outside.
#pragma GCC visibility push(default)
#include <infiniband/efadv.h>
#include <infiniband/verbs.h>
#pragma GCC visibility pop
// Macros that would hide the functions of the same names.
#undef ibv_query_port
#undef ibv_reg_mr
#undef ibv_reg_mr_iova

#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "channel.h"

namespace softefa {

struct Device : ibv_device {
  std::string socket_path;
};

struct QueuePair;

// An open device.
struct Context : verbs_context {
  static Context* of(ibv_context* context);

  // The number of a GID's address handles; kNoAddressHandle where it has none.
  uint16_t address_handle(const Gid& gid);

  static constexpr uint16_t kNoAddressHandle = 0xffff;

  struct AddressHandles {
    uint16_t number = 0;
    int count = 0;
  };
  Channel channel;
  std::mutex address_handles_mutex;
  std::map<Gid, AddressHandles> address_handles;
};

struct AddressHandle : ibv_ah {
  Gid gid;
  uint16_t number = 0;
};

struct CompletionQueue;

// What tells of completions: an eventfd, to which the NIC adds one for each event of each of its queues.
struct CompletionChannel : ibv_comp_channel {
  Descriptor event;
  std::mutex mutex;
  std::vector<CompletionQueue*> queues;
};

struct CompletionQueue : ibv_cq_ex {
  // The provider's second view of the queue: libefa's efadv_cq as of rdma-core 56. Declared here, since what older headers
  // have ends before the last function, and a provider that was built with newer ones calls it.
  struct SourceView {
    uint64_t compatibility_mask = 0;
    int (*wc_read_sgid)(efadv_cq* view, ibv_gid* gid) = nullptr;
    bool (*wc_is_unsolicited)(efadv_cq* view) = nullptr;
    CompletionQueue* queue = nullptr;
  };
  uint32_t number = 0;
  SharedMemory memory;
  Notice* notice = nullptr;
  CompletionChannel* told_by = nullptr;
  uint32_t events_taken = 0;  // under `mutex`, as what the program has acknowledged of them
  Ring<CompletionEntry> ring;
  CompletionEntry current;
  SourceView source_view;
  // Held from start_poll to end_poll. The provider may ask for the queue's pairs in between.
  std::recursive_mutex polling;
  std::vector<QueuePair*> pairs;
  uint32_t empty_polls = 0;
};

struct QueuePair : ibv_qp_ex {
  static QueuePair* of(ibv_qp* pair) { return static_cast<QueuePair*>(reinterpret_cast<ibv_qp_ex*>(pair)); }

  SharedMemory memory;
  Ring<SendEntry> sends;
  Ring<ReceiveEntry> receives;
  CompletionQueue* send_completions = nullptr;
  CompletionQueue* receive_completions = nullptr;
  uint32_t send_capacity = 0;
  uint32_t queue_key = 0;
  std::mutex sending, receiving;
  std::vector<SendEntry> started;  // between wr_start and wr_complete
  // Posted, and their completions not polled yet.
  std::atomic<uint32_t> outstanding_sends{0};
};

// The functions of a context's and an object's tables.
int post_send(ibv_qp* pair, ibv_send_wr* first, ibv_send_wr** bad);
int post_receive(ibv_qp* pair, ibv_recv_wr* first, ibv_recv_wr** bad);
ibv_cq_ex* create_completion_queue(ibv_context* context, ibv_cq_init_attr_ex* attributes);
ibv_qp* create_queue_pair(ibv_context* context, ibv_qp_init_attr_ex* attributes,
                          bool takes_unsolicited_writes);
// verbs_events.cc: asking for the next event; a queue's part in its channel, and the end of that.
int request_notification(ibv_cq* queue, int solicited_only);
void join_channel(CompletionQueue& queue, ibv_comp_channel* channel);
void leave_channel(CompletionQueue& queue);
void set_work_request_functions(QueuePair& pair);

}  // namespace softefa
