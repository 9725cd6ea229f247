// The NIC's data path: posted sends out, arrived messages in, completions to the programs.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <utility>

#include "nic.h"

namespace softefa {

namespace {

// What one queue pair may have under way: more stays in its queue, as it does in a NIC's.
constexpr size_t kMaxSent = 256;
constexpr int kSendsPerTurn = 64;
// How soon to look again whether a full completion queue has room.
constexpr uint64_t kRoomAgainUs = 1'000;

}  // namespace

bool Nic::has_posted() const {
  return std::ranges::any_of(queue_pairs_, [](const auto& item) {
    const QueuePair& pair = *item.second;
    return pair.is_ready && pair.under_way() < kMaxSent && !pair.sends.is_empty();
  });
}

bool Nic::poll(uint64_t now_us) {
  now_us_ = now_us;
  bool any = false;
  for (const auto& [qpn, pair] : queue_pairs_) any |= take_sends(*pair, now_us);
  return any;
}

uint64_t Nic::advance(uint64_t now_us) {
  now_us_ = now_us;
  const uint64_t next = transport_.advance(now_us);
  return give_waiting() ? std::min(next, now_us + kRoomAgainUs) : next;
}

bool Nic::take_sends(QueuePair& pair, uint64_t now_us) {
  if (!pair.is_ready) return false;
  SendEntry entry;
  int taken = 0;
  while (taken < kSendsPerTurn && pair.under_way() < kMaxSent && pair.sends.pop(entry)) {
    const Status fault = fault_rules_.status_of(entry.operation, entry.target);
    if (fault != Status::kSuccess)
      finish_send(pair, {entry.id, 0, entry.operation}, fault);
    else if (entry.operation == Operation::kSend)
      start_send(pair, entry, now_us);
    else
      start_transfer(pair, entry);
    ++taken;
  }
  return taken > 0;
}

void Nic::start_send(QueuePair& pair, const SendEntry& entry, uint64_t now_us) {
  Transport::Message message;
  const Status status = read_payload(pair, entry, message.payload);
  const SentEntry sent{entry.id, static_cast<uint32_t>(message.payload.size())};
  if (status != Status::kSuccess) {
    finish_send(pair, sent, status);
    return;
  }
  ++counters_.send_wrs;
  counters_.send_bytes += sent.length;
  message.header = header_for(pair, entry);
  if (pair.is_datagram) {
    message.header.kind = PacketKind::kDatagram;
    transmit(entry.target, message.header, message.payload);
    finish_send(pair, sent, Status::kSuccess);
    return;
  }
  const uint32_t number = pair.next_sent++;
  pair.sent[number] = sent;
  message.target = entry.target;
  message.token = token_of(pair.qpn, number);
  message.receiver_not_ready_retries = pair.receiver_not_ready_retries;
  transport_.send(std::move(message), now_us);
}

PacketHeader Nic::header_for(const QueuePair& pair, const SendEntry& entry) const {
  PacketHeader header;
  header.source = gid_;
  header.incarnation = incarnation_;
  header.source_qpn = pair.qpn;
  header.target_qpn = entry.target_qpn;
  header.queue_key = entry.queue_key;
  header.has_immediate = static_cast<uint8_t>(entry.has_immediate);
  header.immediate = entry.immediate;
  header.operation = entry.operation;
  return header;
}

// What its elements add up to, which have to be the program's own registered memory.
Status Nic::local_length(const QueuePair& pair, const SendEntry& entry, uint64_t& length) const {
  length = 0;
  if (entry.element_count > kMaxElements) return Status::kLocalBadLength;
  for (uint32_t index = 0; index < entry.element_count; ++index) {
    if (!is_registered(pair, entry.elements[index])) return Status::kInvalidLocalKey;
    length += entry.elements[index].length;
  }
  return Status::kSuccess;
}

// The NIC's way to read a program's memory is the kernel's: nothing of it has to be shared, and the program need not run.
Status Nic::read_payload(const QueuePair& pair, const SendEntry& entry, std::vector<std::byte>& payload) {
  if (entry.inline_bytes > 0) {
    if (entry.inline_bytes > kInlineBytes) return Status::kLocalBadLength;
    payload.assign(entry.inline_data, entry.inline_data + entry.inline_bytes);
    return Status::kSuccess;
  }
  uint64_t length = 0;
  if (const Status status = local_length(pair, entry, length); status != Status::kSuccess) return status;
  iovec remote[kMaxElements];
  for (uint32_t index = 0; index < entry.element_count; ++index)
    remote[index] = {reinterpret_cast<void*>(entry.elements[index].address), entry.elements[index].length};
  if (length > kMaxMessageBytes) return Status::kLocalBadLength;
  payload.resize(length);
  if (length == 0) return Status::kSuccess;
  const iovec local{payload.data(), length};
  const ssize_t count = process_vm_readv(pair.program.process, &local, 1, remote, entry.element_count, 0);
  return count == static_cast<ssize_t>(length) ? Status::kSuccess : Status::kInvalidLocalKey;
}

bool Nic::is_registered(const QueuePair& pair, const Element& element) const {
  const auto found = regions_.find(element.key);
  if (found == regions_.end() || found->second.program != pair.program.id) return false;
  const MemoryRegion& region = found->second;
  return element.address >= region.address && element.length <= region.length &&
         element.address - region.address <= region.length - element.length;
}

void Nic::transmit(const Gid& target, const PacketHeader& header, std::span<const std::byte> payload) {
  ++counters_.tx_pkts;
  counters_.tx_bytes += sizeof header + payload.size();
  wire_.send(target, header, payload);
}

Counters Nic::counters() const {
  Counters result = counters_;
  result.retrans_pkts = transport_.counters().retransmitted;
  result.unresponsive_remote_events = transport_.counters().lost_peers;
  return result;
}

void Nic::receive(const PacketHeader& header, std::span<const std::byte> payload, uint64_t now_us) {
  if (header.magic != kPacketMagic || header.version != kPacketVersion) return;
  ++counters_.rx_pkts;
  counters_.rx_bytes += sizeof header + payload.size();
  now_us_ = now_us;
  if (header.kind != PacketKind::kDatagram) {
    transport_.receive(header, payload, now_us);
    return;
  }
  std::vector<std::byte> none;
  // Lost where there is no buffer: that is what a datagram is.
  if (header.operation != Operation::kSend || deliver(header, payload, none) != Status::kSuccess)
    ++counters_.rx_drops;
}

Status Nic::deliver(const PacketHeader& header, std::span<const std::byte> payload,
                    std::vector<std::byte>& answer) {
  const auto found = queue_pairs_.find(header.target_qpn);
  if (found == queue_pairs_.end()) return Status::kBadTargetQueuePair;
  QueuePair& pair = *found->second;
  const bool is_datagram = header.kind == PacketKind::kDatagram;
  if (!pair.is_ready || pair.is_datagram != is_datagram || pair.queue_key != header.queue_key)
    return Status::kBadTargetQueuePair;
  if (header.operation != Operation::kSend) return serve_rdma(pair, header, payload, answer);
  ReceiveEntry entry;
  if (!pair.receives.pop(entry)) return Status::kReceiverNotReady;
  const Status status = scatter(pair, entry, payload);
  const uint32_t prefix = is_datagram ? kDatagramPrefixBytes : 0;
  CompletionEntry completion;
  completion.id = entry.id;
  completion.operation = Operation::kReceive;
  completion.status = static_cast<uint32_t>(status);
  completion.length = static_cast<uint32_t>(payload.size()) + prefix;
  completion.qpn = pair.qpn;
  completion.source_qpn = header.source_qpn;
  completion.has_immediate = header.has_immediate;
  completion.immediate = header.immediate;
  completion.source = header.source;
  complete(*pair.receive_completions, completion);
  if (status == Status::kSuccess) {
    ++counters_.recv_wrs;
    counters_.recv_bytes += payload.size();
    return status;
  }
  return status == Status::kLocalBadLength ? Status::kRemoteBadLength : Status::kRemoteBadAddress;
}

// Into the receive's buffers, after the room for a datagram's prefix.
Status Nic::scatter(QueuePair& pair, const ReceiveEntry& entry, std::span<const std::byte> payload) {
  if (entry.element_count > kMaxElements) return Status::kLocalBadLength;
  iovec remote[kMaxElements];
  uint64_t skip = pair.is_datagram ? kDatagramPrefixBytes : 0;
  uint64_t room = 0;
  for (uint32_t index = 0; index < entry.element_count; ++index) {
    const Element& element = entry.elements[index];
    if (!is_registered(pair, element)) return Status::kInvalidLocalKey;
    const uint64_t skipped = std::min<uint64_t>(skip, element.length);
    skip -= skipped;
    remote[index] = {reinterpret_cast<void*>(element.address + skipped), element.length - skipped};
    room += element.length - skipped;
  }
  if (skip > 0 || room < payload.size()) return Status::kLocalBadLength;
  if (payload.empty()) return Status::kSuccess;
  const iovec local{const_cast<std::byte*>(payload.data()), payload.size()};
  const ssize_t count = process_vm_writev(pair.program.process, &local, 1, remote, entry.element_count, 0);
  return count == static_cast<ssize_t>(payload.size()) ? Status::kSuccess : Status::kInvalidLocalKey;
}

void Nic::settled(uint64_t token, Status status, std::span<const std::byte> answer) {
  const auto found = queue_pairs_.find(static_cast<uint32_t>(token >> 32));
  if (found == queue_pairs_.end()) return;
  QueuePair& pair = *found->second;
  if (const auto part = pair.segments.find(static_cast<uint32_t>(token)); part != pair.segments.end()) {
    const Segment segment = part->second;
    pair.segments.erase(part);
    settle_segment(pair, segment, status, answer);
    return;
  }
  const auto sent = pair.sent.find(static_cast<uint32_t>(token));
  if (sent == pair.sent.end()) return;
  const SentEntry entry = sent->second;
  pair.sent.erase(sent);
  finish_send(pair, entry, status);
}

void Nic::finish_send(QueuePair& pair, const SentEntry& sent, Status status) {
  if (status != Status::kSuccess && sent.operation == Operation::kRead) ++counters_.rdma_read_wr_err;
  if (status != Status::kSuccess && sent.operation == Operation::kWrite) ++counters_.rdma_write_wr_err;
  CompletionEntry completion;
  completion.id = sent.id;
  completion.operation = sent.operation;
  completion.status = static_cast<uint32_t>(status);
  completion.length = sent.length;
  completion.qpn = pair.qpn;
  complete(*pair.send_completions, completion);
}

// Who wants to be told says so, and then looks once more: one of the two sees what the other has written.
bool Nic::CompletionQueue::push(const CompletionEntry& entry) {
  if (!ring.push(entry)) return false;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!event.is_open() || notice->is_wanted.load(std::memory_order_relaxed) == 0) return true;
  if (notice->is_wanted.exchange(0, std::memory_order_acq_rel) == 0) return true;
  notice->events.fetch_add(1, std::memory_order_release);
  const uint64_t once = 1;
  static_cast<void>(!write(event.get(), &once, sizeof once));
  return true;
}

// A full queue loses nothing: what has no room waits here.
void Nic::complete(CompletionQueue& queue, const CompletionEntry& entry) {
  if (!queue.waiting.empty() || !queue.push(entry)) queue.waiting.push_back(entry);
}

bool Nic::give_waiting() {
  bool any = false;
  for (const auto& [number, queue] : completion_queues_) {
    while (!queue->waiting.empty() && queue->push(queue->waiting.front())) queue->waiting.pop_front();
    any |= !queue->waiting.empty();
  }
  return any;
}

}  // namespace softefa
