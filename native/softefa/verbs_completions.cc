// Completion queues: a ring that the NIC fills.
#include <dlfcn.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <span>

#include "verbs.h"

using namespace softefa;

namespace {

// A program that spins leaves the processor to its NIC now and then: both may have only one.
constexpr uint32_t kEmptyPollsToYield = 16;

CompletionQueue& of(ibv_cq_ex* queue) { return *static_cast<CompletionQueue*>(queue); }

ibv_wc_status status_of(uint32_t status) {
  switch (static_cast<Status>(status)) {
    case Status::kSuccess: return IBV_WC_SUCCESS;
    case Status::kFlushed: return IBV_WC_WR_FLUSH_ERR;
    case Status::kInvalidLocalKey: return IBV_WC_LOC_PROT_ERR;
    case Status::kLocalBadLength: return IBV_WC_LOC_LEN_ERR;
    case Status::kRemoteBadAddress: return IBV_WC_REM_ACCESS_ERR;
    case Status::kReceiverNotReady: return IBV_WC_RNR_RETRY_EXC_ERR;
    case Status::kUnresponsive: return IBV_WC_RESP_TIMEOUT_ERR;
    default: return IBV_WC_GENERAL_ERR;
  }
}

bool is_receive(Operation operation) {
  return operation == Operation::kReceive || operation == Operation::kReceiveWrite;
}

// What a queue pair that was destroyed had completed is not told: its wr_id may point to what is freed by now.
int next_poll(ibv_cq_ex* base) {
  CompletionQueue& queue = of(base);
  while (queue.ring.pop(queue.current)) {
    const auto pair = std::ranges::find_if(
        queue.pairs, [&](const QueuePair* each) { return each->qp_base.qp_num == queue.current.qpn; });
    if (pair == queue.pairs.end()) continue;
    if (!is_receive(queue.current.operation))
      (*pair)->outstanding_sends.fetch_sub(1, std::memory_order_relaxed);
    queue.wr_id = queue.current.id;
    queue.status = status_of(queue.current.status);
    return 0;
  }
  return ENOENT;
}

int start_poll(ibv_cq_ex* base, ibv_poll_cq_attr* /*attributes*/) {
  CompletionQueue& queue = of(base);
  queue.polling.lock();
  const int result = next_poll(base);
  if (result == 0) {
    queue.empty_polls = 0;
    return 0;
  }
  const bool yields = ++queue.empty_polls % kEmptyPollsToYield == 0;
  queue.polling.unlock();
  if (yields) sched_yield();
  return result;
}

void end_poll(ibv_cq_ex* base) { of(base).polling.unlock(); }

// rdma-core before 48 called a finished read a send, and libfabric of that time knows it by no other name. libefa's next
// function tells which one there is.
bool reads_are_sends() {
  static const bool is_old = [] {
    void* const libefa = dlopen("libefa.so.1", RTLD_LAZY | RTLD_NOLOAD);
    if (libefa == nullptr) return false;
    const bool result = dlsym(libefa, "efadv_query_mr") == nullptr;
    dlclose(libefa);
    return result;
  }();
  return is_old;
}

ibv_wc_opcode read_opcode(ibv_cq_ex* queue) {
  switch (of(queue).current.operation) {
    case Operation::kSend: return IBV_WC_SEND;
    case Operation::kReceive: return IBV_WC_RECV;
    case Operation::kRead: return reads_are_sends() ? IBV_WC_SEND : IBV_WC_RDMA_READ;
    case Operation::kWrite: return IBV_WC_RDMA_WRITE;
    case Operation::kReceiveWrite: return IBV_WC_RECV_RDMA_WITH_IMM;
  }
  return IBV_WC_SEND;
}
uint32_t read_vendor_error(ibv_cq_ex* queue) { return of(queue).current.status; }
uint32_t read_length(ibv_cq_ex* queue) { return of(queue).current.length; }
__be32 read_immediate(ibv_cq_ex* queue) { return of(queue).current.immediate; }
uint32_t read_qpn(ibv_cq_ex* queue) { return of(queue).current.qpn; }
uint32_t read_source_qpn(ibv_cq_ex* queue) { return of(queue).current.source_qpn; }
unsigned read_flags(ibv_cq_ex* queue) { return of(queue).current.has_immediate != 0 ? IBV_WC_WITH_IMM : 0; }
uint8_t read_zero(ibv_cq_ex* /*queue*/) { return 0; }

// The sender's address handle, as the NIC's own table of them would say.
uint32_t read_source_handle(ibv_cq_ex* queue) {
  return Context::of(queue->context)->address_handle(of(queue).current.source);
}

int read_source_gid(efadv_cq* view, ibv_gid* gid) {
  const CompletionQueue& queue = *reinterpret_cast<CompletionQueue::SourceView*>(view)->queue;
  // As libefa has it: a GID only where there is no address handle to name the sender by.
  if (Context::of(queue.context)->address_handle(queue.current.source) != Context::kNoAddressHandle)
    return -1;
  std::memcpy(gid->raw, queue.current.source.raw.data(), sizeof gid->raw);
  return 0;
}

bool is_unsolicited(efadv_cq* view) {
  return reinterpret_cast<CompletionQueue::SourceView*>(view)->queue->current.is_unsolicited != 0;
}

void set_functions(CompletionQueue& queue) {
  queue.start_poll = start_poll;
  queue.next_poll = next_poll;
  queue.end_poll = end_poll;
  queue.read_opcode = read_opcode;
  queue.read_vendor_err = read_vendor_error;
  queue.read_byte_len = read_length;
  queue.read_imm_data = read_immediate;
  queue.read_qp_num = read_qpn;
  queue.read_src_qp = read_source_qpn;
  queue.read_wc_flags = read_flags;
  queue.read_slid = read_source_handle;
  queue.read_sl = read_zero;
  queue.read_dlid_path_bits = read_zero;
  queue.source_view.wc_read_sgid = read_source_gid;
  queue.source_view.wc_is_unsolicited = is_unsolicited;
  queue.source_view.queue = &queue;
}

}  // namespace

namespace softefa {

ibv_cq_ex* create_completion_queue(ibv_context* context, ibv_cq_init_attr_ex* attributes) {
  auto queue = std::make_unique<CompletionQueue>();
  static_cast<ibv_cq_ex&>(*queue) = {};
  queue->source_view = {};
  const uint32_t capacity = power_of_two(std::clamp(attributes->cqe, 1U, kMaxCompletions));
  if (!queue->memory.create(completion_queue_bytes(capacity))) {
    errno = ENOMEM;
    return nullptr;
  }
  queue->notice = new (queue->memory.memory()) Notice();
  queue->ring = Ring<CompletionEntry>(queue->memory.memory() + sizeof(Notice), capacity);
  Request request;
  request.kind = RequestKind::kCreateCompletionQueue;
  request.receive_capacity = capacity;
  const ibv_comp_channel* const tells = attributes->channel;
  const std::array along{queue->memory.fd(), tells == nullptr ? -1 : tells->fd};
  const Reply reply =
      Context::of(context)->channel.ask(request, std::span(along).first(tells == nullptr ? 1 : 2));
  if (reply.error != 0) {
    errno = reply.error;
    return nullptr;
  }
  queue->memory.close_file();
  queue->number = reply.object;
  queue->context = context;
  queue->cqe = static_cast<int>(capacity);
  queue->cq_context = attributes->cq_context;
  pthread_mutex_init(&queue->mutex, nullptr);
  pthread_cond_init(&queue->cond, nullptr);
  set_functions(*queue);
  if (attributes->channel != nullptr) join_channel(*queue, attributes->channel);
  return queue.release();
}

}  // namespace softefa

extern "C" {

ibv_cq_ex* efadv_create_cq(ibv_context* context, ibv_cq_init_attr_ex* attributes, efadv_cq_init_attr* /*efa*/,
                           uint32_t /*length*/) {
  return create_completion_queue(context, attributes);
}

efadv_cq* efadv_cq_from_ibv_cq_ex(ibv_cq_ex* queue) {
  return reinterpret_cast<efadv_cq*>(&of(queue).source_view);
}

ibv_cq* ibv_create_cq(ibv_context* context, int entries, void* cq_context, ibv_comp_channel* channel,
                      int vector) {
  ibv_cq_init_attr_ex attributes{};
  attributes.cqe = static_cast<uint32_t>(entries);
  attributes.cq_context = cq_context;
  attributes.channel = channel;
  attributes.comp_vector = static_cast<uint32_t>(vector);
  ibv_cq_ex* const queue = create_completion_queue(context, &attributes);
  return queue == nullptr ? nullptr : ibv_cq_ex_to_cq(queue);
}

int ibv_destroy_cq(ibv_cq* base) {
  CompletionQueue& queue = of(reinterpret_cast<ibv_cq_ex*>(base));
  Request request;
  request.kind = RequestKind::kDestroyCompletionQueue;
  request.object = queue.number;
  const Reply reply = Context::of(queue.context)->channel.ask(request);
  if (reply.error != 0 && reply.error != EIO) return reply.error;
  if (queue.told_by != nullptr) leave_channel(queue);
  pthread_mutex_destroy(&queue.mutex);
  pthread_cond_destroy(&queue.cond);
  delete &queue;
  return 0;
}

}  // extern "C"
