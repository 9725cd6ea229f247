// RDMA reads and writes: segments of one packet each at the initiator, checked and served by the target's NIC alone.
#include <algorithm>
#include <utility>

#include "nic.h"

namespace softefa {

namespace {

// Of one read or write: enough to keep the wire busy, and no more of its memory held here.
constexpr uint32_t kSegmentsUnderWay = 16;

}  // namespace

void Nic::start_transfer(QueuePair& pair, const SendEntry& entry) {
  uint64_t length = 0;
  Status status = local_length(pair, entry, length);
  if (!has_rdma_ || pair.is_datagram || entry.inline_bytes > 0 ||
      (entry.operation != Operation::kRead && entry.operation != Operation::kWrite))
    status = Status::kUnsupported;
  else if (status == Status::kSuccess && length > kMaxRdmaBytes)
    status = Status::kLocalBadLength;
  if (status != Status::kSuccess) {
    finish_send(pair, {entry.id, 0, entry.operation}, status);
    return;
  }
  const bool is_read = entry.operation == Operation::kRead;
  ++(is_read ? counters_.rdma_read_wrs : counters_.rdma_write_wrs);
  (is_read ? counters_.rdma_read_bytes : counters_.rdma_write_bytes) += length;
  const uint32_t number = pair.next_sent++;
  pair.transfers[number] = {.entry = entry, .length = length};
  issue(pair, number);
}

// Sends what may be under way, and completes the transfer once nothing of it is.
void Nic::issue(QueuePair& pair, uint32_t number) {
  Transfer& transfer = pair.transfers.at(number);
  while (transfer.status == Status::kSuccess && transfer.under_way < kSegmentsUnderWay &&
         (transfer.issued < transfer.length || transfer.segments_issued == 0))
    if (!issue_segment(pair, number, transfer)) break;
  if (transfer.under_way > 0) return;
  const SentEntry done{transfer.entry.id, static_cast<uint32_t>(transfer.length), transfer.entry.operation};
  const Status status = transfer.status;
  pair.transfers.erase(number);
  finish_send(pair, done, status);
}

// False where the next one has to wait, or can never be.
bool Nic::issue_segment(QueuePair& pair, uint32_t number, Transfer& transfer) {
  const uint64_t left = transfer.length - transfer.issued;
  const bool is_last = left <= kSegmentBytes;
  const bool is_write = transfer.entry.operation == Operation::kWrite;
  // Immediate data says that all the rest is there.
  if (is_write && is_last && transfer.entry.has_immediate != 0 && transfer.under_way > 0) return false;
  const Segment segment{number, transfer.issued,
                        static_cast<uint32_t>(std::min<uint64_t>(left, kSegmentBytes))};
  Transport::Message message;
  message.header = header_for(pair, transfer.entry);
  if (!is_write || !is_last) message.header.has_immediate = 0;
  message.header.remote_key = transfer.entry.remote_key;
  message.header.remote_address = transfer.entry.remote_address + segment.offset;
  message.header.length = is_write ? static_cast<uint32_t>(transfer.length) : segment.length;
  if (is_write) {
    message.payload.resize(segment.length);
    transfer.status = copy_local(pair, transfer.entry, segment, message.payload, false);
    if (transfer.status != Status::kSuccess) return false;
  }
  message.target = transfer.entry.target;
  const uint32_t part = pair.next_sent++;
  message.token = token_of(pair.qpn, part);
  message.receiver_not_ready_retries = pair.receiver_not_ready_retries;
  pair.segments[part] = segment;
  transfer.issued += segment.length;
  ++transfer.segments_issued;
  ++transfer.under_way;
  transport_.send(std::move(message), now_us_);
  return true;
}

void Nic::settle_segment(QueuePair& pair, const Segment& segment, Status status,
                         std::span<const std::byte> answer) {
  Transfer& transfer = pair.transfers.at(segment.transfer);
  --transfer.under_way;
  if (status == Status::kSuccess && transfer.entry.operation == Operation::kRead) {
    // What is written to memory is not changed: the span is const for the other direction's sake.
    const std::span<std::byte> bytes(const_cast<std::byte*>(answer.data()), answer.size());
    status = answer.size() == segment.length ? copy_local(pair, transfer.entry, segment, bytes, true)
                                             : Status::kBadResponse;
  }
  if (transfer.status == Status::kSuccess) transfer.status = status;
  issue(pair, segment.transfer);
}

// Between `bytes` and the program's memory that the segment is about. It may have been deregistered meanwhile.
Status Nic::copy_local(const QueuePair& pair, const SendEntry& entry, const Segment& segment,
                       std::span<std::byte> bytes, bool is_write) const {
  iovec remote[kMaxElements];
  uint64_t skip = segment.offset, left = segment.length;
  for (uint32_t index = 0; index < entry.element_count; ++index) {
    const Element& element = entry.elements[index];
    if (!is_registered(pair, element)) return Status::kInvalidLocalKey;
    const uint64_t skipped = std::min<uint64_t>(skip, element.length);
    const uint64_t taken = std::min<uint64_t>(left, element.length - skipped);
    remote[index] = {reinterpret_cast<void*>(element.address + skipped), taken};
    skip -= skipped;
    left -= taken;
  }
  if (bytes.empty()) return Status::kSuccess;
  const iovec local{bytes.data(), bytes.size()};
  const pid_t process = pair.program.process;
  const ssize_t count = is_write ? process_vm_writev(process, &local, 1, remote, entry.element_count, 0)
                                 : process_vm_readv(process, &local, 1, remote, entry.element_count, 0);
  return count == static_cast<ssize_t>(bytes.size()) ? Status::kSuccess : Status::kInvalidLocalKey;
}

bool Nic::may_access(const QueuePair& pair, const PacketHeader& header, uint64_t length) const {
  const auto found = regions_.find(header.remote_key);
  if (found == regions_.end() || found->second.program != pair.program.id) return false;
  const MemoryRegion& region = found->second;
  const uint32_t needed = header.operation == Operation::kRead ? kAccessRemoteRead : kAccessRemoteWrite;
  return (region.access & needed) != 0 && header.remote_address >= region.address &&
         length <= region.length && header.remote_address - region.address <= region.length - length;
}

// At the target, whose program has no part in it.
Status Nic::serve_rdma(QueuePair& pair, const PacketHeader& header, std::span<const std::byte> payload,
                       std::vector<std::byte>& answer) {
  const bool is_read = header.operation == Operation::kRead;
  if (!has_rdma_ || (!is_read && header.operation != Operation::kWrite)) return Status::kUnsupported;
  if (is_read && header.length > kMaxMessageBytes) return Status::kRemoteBadLength;
  const uint64_t length = is_read ? header.length : payload.size();
  if (!may_access(pair, header, length)) return Status::kRemoteBadAddress;
  ReceiveEntry entry;
  if (header.has_immediate != 0 && !pair.takes_unsolicited_writes && !pair.receives.pop(entry))
    return Status::kReceiverNotReady;
  if (is_read) answer.resize(length);
  const iovec local{is_read ? answer.data() : const_cast<std::byte*>(payload.data()), length};
  const iovec remote{reinterpret_cast<void*>(header.remote_address), length};
  const pid_t process = pair.program.process;
  const ssize_t count = length == 0 ? 0
                        : is_read   ? process_vm_readv(process, &local, 1, &remote, 1, 0)
                                    : process_vm_writev(process, &local, 1, &remote, 1, 0);
  const bool is_done = count == static_cast<ssize_t>(length);
  if (!is_done) answer.clear();
  if (is_done) (is_read ? counters_.rdma_read_resp_bytes : counters_.rdma_write_recv_bytes) += length;
  if (header.has_immediate != 0) {
    CompletionEntry completion;
    completion.id = entry.id;
    completion.operation = Operation::kReceiveWrite;
    completion.status = static_cast<uint32_t>(is_done ? Status::kSuccess : Status::kInvalidLocalKey);
    completion.length = header.length;
    completion.qpn = pair.qpn;
    completion.source_qpn = header.source_qpn;
    completion.has_immediate = 1;
    completion.is_unsolicited = pair.takes_unsolicited_writes ? 1 : 0;
    completion.immediate = header.immediate;
    completion.source = header.source;
    complete(*pair.receive_completions, completion);
  }
  return is_done ? Status::kSuccess : Status::kRemoteBadAddress;
}

}  // namespace softefa
