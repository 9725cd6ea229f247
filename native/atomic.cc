#include "atomic.h"

#include <array>

#include "handle.h"
#include "message.h"

namespace ofi {

namespace {

// Bytes of enum fi_datatype, up to libfabric 2.6.
constexpr std::array<uint8_t, AtomicLimits::kDatatypes> kDatatypeSizes{1, 1,  2,  2,  4,  4,  8, 8, 4, 8,
                                                                       8, 16, 16, 32, 16, 16, 2, 2, 1, 1};

// How many elements one operation may have; 0 where the provider lacks it. Asked once: not every provider checks, and
// one that does not ends the process, its own or its peer's.
size_t ask_limit(fid_ep* ep, uint32_t kind, fi_datatype datatype, fi_op operation) {
  const bool compares = operation >= FI_CSWAP && operation <= FI_MSWAP;
  if (compares != (kind == kAtomicCompare)) return 0;
  size_t count = 0;
  int status = -FI_ENOSYS;
  if (kind == kAtomicCompare) {
    if (OFI_HAS_OP(ep->atomic, fi_ops_atomic, compwritevalid))
      status = fi_compare_atomicvalid(ep, datatype, operation, &count);
  } else if (kind == kAtomicFetch) {
    if (OFI_HAS_OP(ep->atomic, fi_ops_atomic, readwritevalid))
      status = fi_fetch_atomicvalid(ep, datatype, operation, &count);
  } else if (operation != FI_ATOMIC_READ && OFI_HAS_OP(ep->atomic, fi_ops_atomic, writevalid)) {
    status = fi_atomicvalid(ep, datatype, operation, &count);
  }
  return status == 0 ? count : 0;
}

}  // namespace

uint32_t datatype_size(uint32_t datatype) {
  return datatype < kDatatypeSizes.size() ? kDatatypeSizes[datatype] : 1;
}

size_t atomic_limit_of(EndpointObject& endpoint, uint32_t kind, uint32_t datatype, uint32_t operation) {
  if (kind > kAtomicInject || datatype >= AtomicLimits::kDatatypes || operation >= AtomicLimits::kOperations)
    return 0;
  if ((endpoint.capabilities & FI_ATOMIC) == 0 || endpoint.fid->atomic == nullptr) return 0;
  const uint32_t asked = kind == kAtomicInject ? static_cast<uint32_t>(kAtomicWrite) : kind;
  if (endpoint.atomic_limits == nullptr) endpoint.atomic_limits = std::make_unique<AtomicLimits>();
  int64_t& limit = endpoint.atomic_limits->of[asked][datatype][operation];
  if (limit < 0)
    limit = static_cast<int64_t>(
        ask_limit(endpoint.fid, asked, static_cast<fi_datatype>(datatype), static_cast<fi_op>(operation)));
  return static_cast<size_t>(limit);
}

namespace {

// The arguments, as registers().call has them: endpoint, context, memory, offset, count, peer, datatype, operation,
// kind, and the offsets of the results and of what is compared in the same memory; registers().remote_address and
// remote_key.
struct AtomicCall {
  explicit AtomicCall(const FastCall& a)
      : kind(a.u32(8)), datatype(a.u32(6)), operation(a.u32(7)), count(a.u53(4)) {
    size = datatype_size(datatype);
    length = count <= UINT32_MAX ? count * size : UINT64_MAX;
    result = a.u53(9);
    compare = a.u53(10);
  }
  bool is_aligned(uint64_t place) const { return place % datatype_alignment(datatype) == 0; }

  uint32_t kind;
  uint32_t datatype;
  uint32_t operation;
  uint64_t count;
  uint64_t size;
  uint64_t length;
  uint64_t result;
  uint64_t compare;
};

int32_t check_atomic(const AtomicCall& call, EndpointObject& endpoint, const MemoryBlock& block,
                     const Registers& registers, uint64_t offset) {
  const size_t limit = atomic_limit_of(endpoint, call.kind, call.datatype, call.operation);
  if (limit == 0) return kUnsupported;
  if (call.count > limit) return -FI_EMSGSIZE;
  if (call.kind == kAtomicInject) {
    const int32_t refusal = check_inject(endpoint, block, call.length);
    if (refusal != kOk) return refusal;
  }
  if (call.count == 0) return kOutOfRange;
  if (!call.is_aligned(offset) || !call.is_aligned(registers.remote_address)) return kMisaligned;
  if (call.kind != kAtomicFetch && call.kind != kAtomicCompare) return kOk;
  if (!block.contains(call.result, call.length)) return kOutOfRange;
  if (!call.is_aligned(call.result)) return kMisaligned;
  if (call.kind == kAtomicFetch) return kOk;
  if (!block.contains(call.compare, call.length)) return kOutOfRange;
  return call.is_aligned(call.compare) ? kOk : kMisaligned;
}

ssize_t call_provider(const AtomicCall& call, const Post& post, const Registers& registers) {
  fid_ep* ep = post.endpoint->fid;
  const auto datatype = static_cast<fi_datatype>(call.datatype);
  const auto operation = static_cast<fi_op>(call.operation);
  const uint64_t address = registers.remote_address;
  const uint64_t key = registers.remote_key;
  if (call.kind == kAtomicInject)
    return OFI_HAS_OP(ep->atomic, fi_ops_atomic, inject)
               ? fi_inject_atomic(ep, post.data, call.count, post.address, address, key, datatype, operation)
               : -FI_ENOSYS;
  void* context = &post.operation->context;
  uint8_t* result = post.block->data() + call.result;
  switch (call.kind) {
    case kAtomicFetch:
      return fi_fetch_atomic(ep, post.data, call.count, post.descriptor, result, post.descriptor,
                             post.address, address, key, datatype, operation, context);
    case kAtomicCompare:
      return fi_compare_atomic(ep, post.data, call.count, post.descriptor, post.block->data() + call.compare,
                               post.descriptor, result, post.descriptor, post.address, address, key, datatype,
                               operation, context);
    default:
      return fi_atomic(ep, post.data, call.count, post.descriptor, post.address, address, key, datatype,
                       operation, context);
  }
}

// atomic (AtomicCall): fi_atomic(3), fi_fetch_atomic(3), fi_compare_atomic(3) or fi_inject_atomic(3).
napi_value atomic(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  const AtomicCall call(a);
  const PostArguments arguments{a.u32(0), a.u32(2), a.u53(3), call.length, a.i32(5)};
  const Post post = call.kind == kAtomicInject
                        ? prepare_post(a.environment(), arguments, Direction::Transmit)
                        : prepare_operation(a.environment(), a.u32(1), arguments, Direction::Transmit);
  if (post.status != kOk) return a.answer(post.status);
  const Registers& registers = a.environment().registers();
  const int32_t refusal = check_atomic(call, *post.endpoint, *post.block, registers, a.u53(3));
  if (refusal != kOk) return a.answer(finish_post(post, refusal));
  return a.answer(finish_post(post, call_provider(call, post, registers)));
}

// atomicLimit(endpoint, kind, datatype, operation): fi_atomicvalid(3), fi_fetch_atomicvalid(3) or
// fi_compare_atomicvalid(3): how many elements, 0 where there is no such operation.
Napi::Value atomic_limit(const Napi::CallbackInfo& info) {
  auto* endpoint = Environment::of(info).open<EndpointObject>(handle_argument(info, 0));
  if (endpoint == nullptr || !endpoint->enabled) return Napi::Number::New(info.Env(), kClosed);
  return size_value(info.Env(), atomic_limit_of(*endpoint, handle_argument(info, 1), handle_argument(info, 2),
                                                handle_argument(info, 3)));
}

}  // namespace

void register_atomic(Napi::Object exports, Environment* environment) {
  define_fast(exports, "atomic", atomic, environment);
  define(exports, "atomicLimit", atomic_limit, environment);
}

}  // namespace ofi
