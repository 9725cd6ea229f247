// Queue pairs: rings that the NIC empties.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "verbs.h"

using namespace softefa;

namespace {

QueuePair& of(ibv_qp_ex* pair) { return *static_cast<QueuePair*>(pair); }

// Answers an errno.
int add_elements(SendEntry& entry, const ibv_sge* elements, size_t count) {
  if (count > kMaxElements) return EINVAL;
  entry.element_count = static_cast<uint32_t>(count);
  for (size_t index = 0; index < count; ++index)
    entry.elements[index] = {elements[index].addr, elements[index].length, elements[index].lkey};
  return 0;
}

int add_inline(SendEntry& entry, const void* data, size_t length) {
  if (entry.inline_bytes + length > kInlineBytes) return EINVAL;
  std::memcpy(entry.inline_data + entry.inline_bytes, data, length);
  entry.inline_bytes += static_cast<uint32_t>(length);
  return 0;
}

void set_target(SendEntry& entry, const ibv_ah* handle, uint32_t qpn, uint32_t queue_key) {
  entry.target = static_cast<const AddressHandle*>(handle)->gid;
  entry.target_qpn = qpn;
  entry.queue_key = queue_key;
}

int push_send(QueuePair& pair, const SendEntry& entry) {
  if (pair.outstanding_sends.load(std::memory_order_relaxed) >= pair.send_capacity) return ENOMEM;
  // Counted first: its completion may be polled before push() has returned.
  pair.outstanding_sends.fetch_add(1, std::memory_order_relaxed);
  if (pair.sends.push(entry)) return 0;
  pair.outstanding_sends.fetch_sub(1, std::memory_order_relaxed);
  return ENOMEM;
}

int entry_of(const ibv_send_wr& request, SendEntry& entry) {
  if (request.opcode != IBV_WR_SEND && request.opcode != IBV_WR_SEND_WITH_IMM) return EOPNOTSUPP;
  entry.id = request.wr_id;
  entry.has_immediate = request.opcode == IBV_WR_SEND_WITH_IMM ? 1 : 0;
  entry.immediate = request.imm_data;
  set_target(entry, request.wr.ud.ah, request.wr.ud.remote_qpn, request.wr.ud.remote_qkey);
  if ((request.send_flags & IBV_SEND_INLINE) == 0)
    return add_elements(entry, request.sg_list, static_cast<size_t>(request.num_sge));
  for (int index = 0; index < request.num_sge; ++index) {
    const ibv_sge& element = request.sg_list[index];
    if (const int error = add_inline(entry, reinterpret_cast<void*>(element.addr), element.length))
      return error;
  }
  return 0;
}

Channel& channel_of(const QueuePair& pair) { return Context::of(pair.qp_base.context)->channel; }

void wr_start(ibv_qp_ex* base) {
  of(base).sending.lock();
  of(base).started.clear();
}

int wr_complete(ibv_qp_ex* base) {
  QueuePair& pair = of(base);
  int error = 0;
  for (const SendEntry& entry : pair.started) {
    error = push_send(pair, entry);
    if (error != 0) break;
  }
  pair.sending.unlock();
  channel_of(pair).ring();
  return error;
}

void wr_abort(ibv_qp_ex* base) { of(base).sending.unlock(); }

void wr_send(ibv_qp_ex* base) { of(base).started.emplace_back().id = base->wr_id; }

void wr_send_imm(ibv_qp_ex* base, __be32 immediate) {
  SendEntry& entry = of(base).started.emplace_back();
  entry.id = base->wr_id;
  entry.has_immediate = 1;
  entry.immediate = immediate;
}

void start_rdma(ibv_qp_ex* base, Operation operation, uint32_t key, uint64_t address) {
  SendEntry& entry = of(base).started.emplace_back();
  entry.id = base->wr_id;
  entry.operation = operation;
  entry.remote_key = key;
  entry.remote_address = address;
}

void wr_rdma_read(ibv_qp_ex* base, uint32_t key, uint64_t address) {
  start_rdma(base, Operation::kRead, key, address);
}

void wr_rdma_write(ibv_qp_ex* base, uint32_t key, uint64_t address) {
  start_rdma(base, Operation::kWrite, key, address);
}

void wr_rdma_write_imm(ibv_qp_ex* base, uint32_t key, uint64_t address, __be32 immediate) {
  start_rdma(base, Operation::kWrite, key, address);
  of(base).started.back().has_immediate = 1;
  of(base).started.back().immediate = immediate;
}

void wr_set_ud_addr(ibv_qp_ex* base, ibv_ah* handle, uint32_t qpn, uint32_t queue_key) {
  set_target(of(base).started.back(), handle, qpn, queue_key);
}

// The setters cannot refuse: more elements or bytes than there is room for is for the NIC to fail.
void wr_set_sge_list(ibv_qp_ex* base, size_t count, const ibv_sge* elements) {
  SendEntry& entry = of(base).started.back();
  if (add_elements(entry, elements, count) != 0) entry.element_count = UINT32_MAX;
}

void wr_set_sge(ibv_qp_ex* base, uint32_t key, uint64_t address, uint32_t length) {
  const ibv_sge element{address, length, key};
  wr_set_sge_list(base, 1, &element);
}

void wr_set_inline_data_list(ibv_qp_ex* base, size_t count, const ibv_data_buf* buffers) {
  SendEntry& entry = of(base).started.back();
  for (size_t index = 0; index < count; ++index)
    if (add_inline(entry, buffers[index].addr, buffers[index].length) != 0)
      entry.inline_bytes = kInlineBytes + 1;
}

void wr_set_inline_data(ibv_qp_ex* base, void* address, size_t length) {
  const ibv_data_buf buffer{address, length};
  wr_set_inline_data_list(base, 1, &buffer);
}

void attach(CompletionQueue& queue, QueuePair* pair) {
  const std::lock_guard lock(queue.polling);
  queue.pairs.push_back(pair);
}

void detach(CompletionQueue& queue, QueuePair* pair) {
  const std::lock_guard lock(queue.polling);
  std::erase(queue.pairs, pair);
}

}  // namespace

namespace softefa {

void set_work_request_functions(QueuePair& pair) {
  pair.wr_start = wr_start;
  pair.wr_complete = wr_complete;
  pair.wr_abort = wr_abort;
  pair.wr_send = wr_send;
  pair.wr_send_imm = wr_send_imm;
  pair.wr_rdma_read = wr_rdma_read;
  pair.wr_rdma_write = wr_rdma_write;
  pair.wr_rdma_write_imm = wr_rdma_write_imm;
  pair.wr_set_ud_addr = wr_set_ud_addr;
  pair.wr_set_sge = wr_set_sge;
  pair.wr_set_sge_list = wr_set_sge_list;
  pair.wr_set_inline_data = wr_set_inline_data;
  pair.wr_set_inline_data_list = wr_set_inline_data_list;
}

int post_send(ibv_qp* base, ibv_send_wr* first, ibv_send_wr** bad) {
  QueuePair& pair = *QueuePair::of(base);
  int error = 0;
  {
    const std::lock_guard lock(pair.sending);
    for (ibv_send_wr* request = first; request != nullptr && error == 0; request = request->next) {
      SendEntry entry;
      error = entry_of(*request, entry);
      if (error == 0) error = push_send(pair, entry);
      if (error != 0) *bad = request;
    }
  }
  channel_of(pair).ring();
  return error;
}

int post_receive(ibv_qp* base, ibv_recv_wr* first, ibv_recv_wr** bad) {
  QueuePair& pair = *QueuePair::of(base);
  const std::lock_guard lock(pair.receiving);
  for (ibv_recv_wr* request = first; request != nullptr; request = request->next) {
    ReceiveEntry entry;
    entry.id = request->wr_id;
    entry.element_count = static_cast<uint32_t>(request->num_sge);
    const bool fits = request->num_sge >= 0 && entry.element_count <= kMaxElements;
    for (uint32_t index = 0; fits && index < entry.element_count; ++index)
      entry.elements[index] = {request->sg_list[index].addr, request->sg_list[index].length,
                               request->sg_list[index].lkey};
    if (!fits || !pair.receives.push(entry)) {
      *bad = request;
      return fits ? ENOMEM : EINVAL;
    }
  }
  return 0;
}

ibv_qp* create_queue_pair(ibv_context* context, ibv_qp_init_attr_ex* attributes,
                          bool takes_unsolicited_writes) {
  Request request;
  request.kind = RequestKind::kCreateQueuePair;
  request.send_capacity = power_of_two(std::clamp(attributes->cap.max_send_wr, 1U, kMaxSendQueue));
  request.receive_capacity = power_of_two(std::clamp(attributes->cap.max_recv_wr, 1U, kMaxReceiveQueue));
  request.takes_unsolicited_writes = takes_unsolicited_writes ? 1 : 0;
  request.is_datagram = attributes->qp_type == IBV_QPT_UD ? 1 : 0;
  auto pair = std::make_unique<QueuePair>();
  static_cast<ibv_qp_ex&>(*pair) = {};
  pair->send_completions = static_cast<CompletionQueue*>(reinterpret_cast<ibv_cq_ex*>(attributes->send_cq));
  pair->receive_completions =
      static_cast<CompletionQueue*>(reinterpret_cast<ibv_cq_ex*>(attributes->recv_cq));
  request.send_completions = pair->send_completions->number;
  request.receive_completions = pair->receive_completions->number;
  const size_t send_bytes = Ring<SendEntry>::bytes(request.send_capacity);
  if (!pair->memory.create(send_bytes + Ring<ReceiveEntry>::bytes(request.receive_capacity))) {
    errno = ENOMEM;
    return nullptr;
  }
  pair->sends = Ring<SendEntry>(pair->memory.memory(), request.send_capacity);
  pair->receives = Ring<ReceiveEntry>(pair->memory.memory() + send_bytes, request.receive_capacity);
  pair->send_capacity = request.send_capacity;
  const Reply reply = Context::of(context)->channel.ask(request, std::array{pair->memory.fd()});
  if (reply.error != 0) {
    errno = reply.error;
    return nullptr;
  }
  pair->memory.close_file();
  ibv_qp& base = pair->qp_base;
  base.context = context;
  base.qp_context = attributes->qp_context;
  base.pd = attributes->pd;
  base.send_cq = attributes->send_cq;
  base.recv_cq = attributes->recv_cq;
  base.qp_num = reply.object;
  base.qp_type = attributes->qp_type;
  base.state = IBV_QPS_RESET;
  set_work_request_functions(*pair);
  attach(*pair->send_completions, pair.get());
  if (pair->receive_completions != pair->send_completions) attach(*pair->receive_completions, pair.get());
  return &pair.release()->qp_base;
}

}  // namespace softefa

extern "C" {

ibv_qp* efadv_create_qp_ex(ibv_context* context, ibv_qp_init_attr_ex* attributes, efadv_qp_init_attr* efa,
                           uint32_t length) {
  // The first bit of what newer headers call `flags`; in older ones it is reserved.
  constexpr size_t kFlags = offsetof(efadv_qp_init_attr, driver_qp_type) + sizeof(uint32_t);
  uint16_t flags = 0;
  if (efa != nullptr && length >= kFlags + sizeof flags)
    std::memcpy(&flags, reinterpret_cast<const char*>(efa) + kFlags, sizeof flags);
  return create_queue_pair(context, attributes, (flags & 1) != 0);
}

ibv_qp* ibv_create_qp(ibv_pd* domain, ibv_qp_init_attr* attributes) {
  ibv_qp_init_attr_ex extended{};
  std::memcpy(&extended, attributes, sizeof *attributes);
  extended.pd = domain;
  return create_queue_pair(domain->context, &extended, false);
}

ibv_qp_ex* ibv_qp_to_qp_ex(ibv_qp* pair) { return QueuePair::of(pair); }

int ibv_modify_qp(ibv_qp* base, ibv_qp_attr* attributes, int mask) {
  QueuePair& pair = *QueuePair::of(base);
  const ibv_qp_state state = (mask & IBV_QP_STATE) != 0 ? attributes->qp_state : base->state;
  if ((mask & IBV_QP_QKEY) != 0) pair.queue_key = attributes->qkey;
  Request request;
  request.kind = RequestKind::kModifyQueuePair;
  request.object = base->qp_num;
  request.queue_key = pair.queue_key;
  request.is_ready = state == IBV_QPS_RTR || state == IBV_QPS_RTS ? 1 : 0;
  if ((mask & IBV_QP_RNR_RETRY) != 0) request.receiver_not_ready_retries = attributes->rnr_retry;
  const Reply reply = channel_of(pair).ask(request);
  if (reply.error == 0) base->state = state;
  return reply.error;
}

int ibv_query_qp(ibv_qp* base, ibv_qp_attr* attributes, int /*mask*/, ibv_qp_init_attr* initial) {
  *attributes = {};
  *initial = {};
  attributes->qp_state = base->state;
  attributes->qkey = QueuePair::of(base)->queue_key;
  return 0;
}

int ibv_query_qp_data_in_order(ibv_qp* /*pair*/, ibv_wr_opcode /*operation*/, uint32_t /*flags*/) {
  return 0;
}

int ibv_destroy_qp(ibv_qp* base) {
  QueuePair* const pair = QueuePair::of(base);
  Request request;
  request.kind = RequestKind::kDestroyQueuePair;
  request.object = base->qp_num;
  const Reply reply = channel_of(*pair).ask(request);
  if (reply.error != 0 && reply.error != EIO) return reply.error;
  detach(*pair->send_completions, pair);
  detach(*pair->receive_completions, pair);
  delete pair;
  return 0;
}

}  // extern "C"
