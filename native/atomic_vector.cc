// Atomic operations on several pieces of memory, and the calls with flags: fi_atomicv(3), fi_atomicmsg(3) and their like.
#include "atomic.h"
#include "handle.h"
#include "parts.h"
#include "trigger.h"

namespace ofi {

namespace {

constexpr uint32_t kHasFlags =
    4;  // added to the kind: the form that ends in msg, with registers().operation_flags

// As registers().call has them: endpoint, context, call, datatype, operation, peer, and how many parts hold operands,
// what is compared, and results, in this order; how many are remote.
struct AtomicVectorCall {
  explicit AtomicVectorCall(const FastCall& a)
      : kind(a.u32(2) & ~kHasFlags),
        has_flags((a.u32(2) & kHasFlags) != 0),
        datatype(a.u32(3)),
        operation(a.u32(4)),
        operands(a.u32(6)),
        compares(a.u32(7)),
        results(a.u32(8)),
        remotes(remote_count(a.u32(9))) {}

  uint32_t kind;
  bool has_flags;
  uint32_t datatype;
  uint32_t operation;
  uint32_t operands;
  uint32_t compares;
  uint32_t results;
  uint32_t remotes;
};

bool is_there(const fid_ep* ep, const AtomicVectorCall& call) {
  const fi_ops_atomic* ops = ep->atomic;
  switch (call.kind) {
    case kAtomicFetch:
      return call.has_flags ? OFI_HAS_OP(ops, fi_ops_atomic, readwritemsg)
                            : OFI_HAS_OP(ops, fi_ops_atomic, readwritev);
    case kAtomicCompare:
      return call.has_flags ? OFI_HAS_OP(ops, fi_ops_atomic, compwritemsg)
                            : OFI_HAS_OP(ops, fi_ops_atomic, compwritev);
    default:
      return call.has_flags ? OFI_HAS_OP(ops, fi_ops_atomic, writemsg)
                            : OFI_HAS_OP(ops, fi_ops_atomic, writev);
  }
}

// The parts of one list, counted in elements.
class Elements {
 public:
  Elements(const Parts& parts, uint32_t first, uint32_t count, uint32_t size) {
    for (uint32_t i = 0; i < count; ++i) {
      const iovec& vector = parts.vectors(first)[i];
      vectors_[i] = {vector.iov_base, vector.iov_len / size};
      total_ += vectors_[i].count;
    }
  }
  const fi_ioc* vectors() const { return vectors_.data(); }
  uint64_t total() const { return total_; }

 private:
  std::array<fi_ioc, Parts::kMax> vectors_;  // NOLINT(*-member-init): as many as there are
  uint64_t total_ = 0;
};

bool remotes_are_aligned(const Registers& registers, const AtomicVectorCall& call) {
  for (uint32_t i = 0; i < call.remotes; ++i)
    if (registers.remote_parts[i].address % datatype_alignment(call.datatype) != 0) return false;
  return true;
}

int32_t read_parts(const FastCall& a, EndpointObject& endpoint, const AtomicVectorCall& call, Parts& parts) {
  if (call.operands > Parts::kMax || call.compares > Parts::kMax || call.results > Parts::kMax)
    return -FI_EINVAL;
  const size_t limit = atomic_limit_of(endpoint, call.kind, call.datatype, call.operation);
  if (limit == 0 || !is_there(endpoint.fid, call)) return kUnsupported;
  const uint32_t size = datatype_size(call.datatype);
  const uint32_t count = call.operands + call.compares + call.results;
  const int32_t refusal = parts.add(a.environment(), endpoint, 0, count, size);
  if (refusal != kOk) return refusal;
  const Registers& registers = a.environment().registers();
  if (!parts.are_aligned(datatype_alignment(call.datatype)) || !remotes_are_aligned(registers, call))
    return kMisaligned;
  // Operands, results and what is compared have as many elements each: the caller saw to it.
  const uint64_t elements = Elements(parts, 0, call.operands, size).total();
  if (elements == 0) return kOutOfRange;
  if (elements > limit) return -FI_EMSGSIZE;
  const bool injects = call.has_flags && (registers.operation_flags & FI_INJECT) != 0;
  if (!injects) return kOk;
  if (elements * size > endpoint.inject_size) return -FI_EMSGSIZE;
  if (call.kind == kAtomicWrite && !parts.forget_descriptors()) return kDeviceMemory;
  return kOk;
}

ssize_t call_vectors(const AtomicVectorCall& call, const Post& post, const Registers& registers, Parts& parts,
                     const std::array<const Elements*, 3>& lists) {
  fid_ep* ep = post.endpoint->fid;
  const auto datatype = static_cast<fi_datatype>(call.datatype);
  const auto operation = static_cast<fi_op>(call.operation);
  void* context = &post.operation->context;
  const Registers::RemotePart& remote = registers.remote_parts[0];
  void** compared = parts.descriptors(call.operands);
  void** results = parts.descriptors(call.operands + call.compares);
  switch (call.kind) {
    case kAtomicFetch:
      return fi_fetch_atomicv(ep, lists[0]->vectors(), parts.descriptors(), call.operands,
                              const_cast<fi_ioc*>(lists[2]->vectors()), results, call.results, post.address,
                              remote.address, remote.key, datatype, operation, context);
    case kAtomicCompare:
      return fi_compare_atomicv(ep, lists[0]->vectors(), parts.descriptors(), call.operands,
                                lists[1]->vectors(), compared, call.compares,
                                const_cast<fi_ioc*>(lists[2]->vectors()), results, call.results, post.address,
                                remote.address, remote.key, datatype, operation, context);
    default:
      return fi_atomicv(ep, lists[0]->vectors(), parts.descriptors(), call.operands, post.address,
                        remote.address, remote.key, datatype, operation, context);
  }
}

ssize_t call_message(const AtomicVectorCall& call, const Post& post, const Registers& registers, Parts& parts,
                     const std::array<const Elements*, 3>& lists) {
  fid_ep* ep = post.endpoint->fid;
  std::array<fi_rma_ioc, Registers::kRemoteParts> remote;  // NOLINT(*-member-init): as many as there are
  for (uint32_t i = 0; i < call.remotes; ++i) {
    const Registers::RemotePart& part = registers.remote_parts[i];
    remote[i] = {part.address, part.length / datatype_size(call.datatype), part.key};
  }
  const fi_msg_atomic message{lists[0]->vectors(),
                              parts.descriptors(),
                              call.operands,
                              post.address,
                              remote.data(),
                              call.remotes,
                              static_cast<fi_datatype>(call.datatype),
                              static_cast<fi_op>(call.operation),
                              &post.operation->context,
                              registers.immediate};
  const uint64_t flags = registers.operation_flags;
  void** compared = parts.descriptors(call.operands);
  void** results = parts.descriptors(call.operands + call.compares);
  auto* found = const_cast<fi_ioc*>(lists[2]->vectors());
  switch (call.kind) {
    case kAtomicFetch: return fi_fetch_atomicmsg(ep, &message, found, results, call.results, flags);
    case kAtomicCompare:
      return fi_compare_atomicmsg(ep, &message, lists[1]->vectors(), compared, call.compares, found, results,
                                  call.results, flags);
    default: return fi_atomicmsg(ep, &message, flags);
  }
}

// atomicVector (AtomicVectorCall): registers().parts, remote_parts, immediate, operation_flags and what
// Trigger reads.
napi_value atomic_vector(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  const AtomicVectorCall call(a);
  Post post = prepare_peer(a.environment(), a.u32(0), a.i32(5), Direction::Transmit);
  if (post.status != kOk) return a.answer(post.status);
  Parts parts;
  const int32_t refusal = read_parts(a, *post.endpoint, call, parts);
  if (refusal != kOk) return a.answer(refusal);
  const Registers& registers = a.environment().registers();
  const bool asks = !call.has_flags || (registers.operation_flags & FI_COMPLETION) != 0;
  uint8_t traits = call.has_flags ? 0 : post.endpoint->transmit_traits;
  if (!asks && post.endpoint->selects_transmits) traits = kSilent;
  const Trigger trigger(a, *post.endpoint, call.has_flags ? registers.operation_flags : 0);
  if (trigger.status() != kOk) return a.answer(trigger.status());
  take_slot(&post, a.u32(1), Direction::Transmit, parts.blocks(), parts.count(), traits);
  if (post.status != kOk) return a.answer(post.status);
  trigger.arm(post);
  const uint32_t size = datatype_size(call.datatype);
  const Elements operands(parts, 0, call.operands, size);
  const Elements compares(parts, call.operands, call.compares, size);
  const Elements results(parts, call.operands + call.compares, call.results, size);
  const std::array<const Elements*, 3> lists{&operands, &compares, &results};
  return a.answer(finish_post(post, call.has_flags ? call_message(call, post, registers, parts, lists)
                                                   : call_vectors(call, post, registers, parts, lists)));
}

}  // namespace

void register_atomic_vector(Napi::Object exports, Environment* environment) {
  define_fast(exports, "atomicVector", atomic_vector, environment);
}

}  // namespace ofi
