#include "nic.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

namespace softefa {

namespace {

constexpr uint32_t kQueuePairNumbers = 0xffff;

Reply failed(int error) { return {.error = error}; }

bool is_capacity(uint32_t capacity, uint32_t most) {
  return capacity > 0 && capacity <= most && capacity == power_of_two(capacity);
}

}  // namespace

Mapping::Mapping(int fd, size_t bytes) : bytes_(bytes) {
  struct stat status{};
  // Reading beyond the end of a shorter file would kill the NIC.
  if (fstat(fd, &status) != 0 || static_cast<size_t>(status.st_size) < bytes) return;
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory != MAP_FAILED) memory_ = static_cast<std::byte*>(memory);
}

Mapping::~Mapping() {
  if (memory_ != nullptr) munmap(memory_, bytes_);
}

Nic::CompletionQueue::CompletionQueue(int fd, int event_fd, uint32_t capacity, uint64_t owner)
    : mapping(fd, completion_queue_bytes(capacity)),
      notice(reinterpret_cast<Notice*>(mapping.memory())),
      ring(mapping.memory() + sizeof(Notice), capacity),
      event(event_fd < 0 ? -1 : fcntl(event_fd, F_DUPFD_CLOEXEC, 0)),
      program(owner) {}

Nic::QueuePair::QueuePair(int fd, const Request& request, const Program& owner)
    : mapping(fd, Ring<SendEntry>::bytes(request.send_capacity) +
                      Ring<ReceiveEntry>::bytes(request.receive_capacity)),
      sends(mapping.memory(), request.send_capacity),
      receives(mapping.memory() + Ring<SendEntry>::bytes(request.send_capacity), request.receive_capacity),
      program(owner),
      is_datagram(request.is_datagram != 0),
      takes_unsolicited_writes(request.takes_unsolicited_writes != 0) {}

Nic::Nic(const Gid& gid, uint64_t incarnation, const TransportLimits& limits, Wire& wire, bool has_rdma)
    : gid_(gid),
      incarnation_(incarnation),
      wire_(wire),
      transport_(gid, incarnation, limits, *this),
      // Where the numbers start differs, so that an address of an earlier NIC is not taken for one of this.
      next_qpn_(static_cast<uint32_t>(incarnation % kQueuePairNumbers)),
      has_rdma_(has_rdma) {}

Reply Nic::handle(const Program& program, const Request& request, int fd, int event_fd) {
  switch (request.kind) {
    case RequestKind::kHello:
      return {.error = request.version == kProtocolVersion ? 0 : EPROTO, .gid = gid_, .has_rdma = has_rdma_};
    case RequestKind::kCreateCompletionQueue: return create_completion_queue(program, request, fd, event_fd);
    case RequestKind::kDestroyCompletionQueue:
      if (completions_of(program, request.object) == nullptr) return failed(EINVAL);
      completion_queues_.erase(request.object);
      return {};
    case RequestKind::kCreateQueuePair: return create_queue_pair(program, request, fd);
    case RequestKind::kModifyQueuePair: return modify_queue_pair(program, request);
    case RequestKind::kDestroyQueuePair:
      if (queue_pair_of(program, request.object) == nullptr) return failed(EINVAL);
      erase_queue_pair(request.object);
      return {};
    case RequestKind::kRegister: return register_memory(program, request);
    case RequestKind::kDeregister: return deregister_memory(program, request);
  }
  return failed(EINVAL);
}

std::shared_ptr<Nic::CompletionQueue> Nic::completions_of(const Program& program, uint32_t number) {
  const auto found = completion_queues_.find(number);
  if (found == completion_queues_.end() || found->second->program != program.id) return nullptr;
  return found->second;
}

Nic::QueuePair* Nic::queue_pair_of(const Program& program, uint32_t qpn) {
  const auto found = queue_pairs_.find(qpn);
  if (found == queue_pairs_.end() || found->second->program.id != program.id) return nullptr;
  return found->second.get();
}

Reply Nic::create_completion_queue(const Program& program, const Request& request, int fd, int event_fd) {
  const uint32_t capacity = request.receive_capacity;
  if (!is_capacity(capacity, kMaxCompletions)) return failed(EINVAL);
  auto queue = std::make_shared<CompletionQueue>(fd, event_fd, capacity, program.id);
  if (queue->mapping.memory() == nullptr || (event_fd >= 0 && !queue->event.is_open())) return failed(ENOMEM);
  const uint32_t number = next_completion_queue_++;
  completion_queues_[number] = std::move(queue);
  return {.object = number};
}

Reply Nic::create_queue_pair(const Program& program, const Request& request, int fd) {
  if (!is_capacity(request.send_capacity, kMaxSendQueue) ||
      !is_capacity(request.receive_capacity, kMaxReceiveQueue))
    return failed(EINVAL);
  if (queue_pairs_.size() >= kQueuePairNumbers) return failed(ENOMEM);
  auto pair = std::make_unique<QueuePair>(fd, request, program);
  if (pair->mapping.memory() == nullptr) return failed(ENOMEM);
  pair->send_completions = completions_of(program, request.send_completions);
  pair->receive_completions = completions_of(program, request.receive_completions);
  if (!pair->send_completions || !pair->receive_completions) return failed(EINVAL);
  do {
    next_qpn_ = (next_qpn_ % kQueuePairNumbers) + 1;
  } while (queue_pairs_.contains(next_qpn_));
  pair->qpn = next_qpn_;
  queue_pairs_[next_qpn_] = std::move(pair);
  return {.object = next_qpn_};
}

Reply Nic::modify_queue_pair(const Program& program, const Request& request) {
  QueuePair* const pair = queue_pair_of(program, request.object);
  if (pair == nullptr) return failed(EINVAL);
  pair->queue_key = request.queue_key;
  pair->is_ready = request.is_ready != 0;
  if (request.receiver_not_ready_retries != Request::kNoChange)
    pair->receiver_not_ready_retries = static_cast<uint8_t>(request.receiver_not_ready_retries);
  return {};
}

void Nic::erase_queue_pair(uint32_t qpn) {
  queue_pairs_.erase(qpn);
  transport_.forget([qpn](uint64_t token) { return token >> 32 == qpn; });
}

Reply Nic::register_memory(const Program& program, const Request& request) {
  if (request.address + request.length < request.address) return failed(EINVAL);
  const uint32_t key = next_key_++;
  regions_[key] = {program.id, request.address, request.length, request.access};
  return {.object = key};
}

Reply Nic::deregister_memory(const Program& program, const Request& request) {
  const auto found = regions_.find(request.object);
  if (found == regions_.end() || found->second.program != program.id) return failed(EINVAL);
  regions_.erase(found);
  return {};
}

void Nic::remove(uint64_t program) {
  std::vector<uint32_t> gone;
  for (const auto& [qpn, pair] : queue_pairs_)
    if (pair->program.id == program) gone.push_back(qpn);
  for (const uint32_t qpn : gone) erase_queue_pair(qpn);
  std::erase_if(completion_queues_, [&](const auto& item) { return item.second->program == program; });
  std::erase_if(regions_, [&](const auto& item) { return item.second.program == program; });
}

}  // namespace softefa
