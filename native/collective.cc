// fi_collective(3): operations that all members of a group make.
#include "atomic.h"
#include "av_set.h"
#include "handle.h"
#include "message.h"

namespace ofi {

namespace {

// Which operation, as src/fi/collective-endpoint.ts numbers them: enum fi_collective_op.
constexpr uint32_t kLastOperation = FI_GATHER;
// The last whose size libfabric's collectives know, up to 2.6: of others they would move nothing.
constexpr uint32_t kLastDatatype = 15;  // FI_UINT128

// The arguments, as registers().call has them: endpoint, context, memory, offset, count, group, resultOffset, root,
// datatype, operation, kind.
struct CollectiveCall {
  explicit CollectiveCall(const FastCall& a)
      : kind(static_cast<fi_collective_op>(a.u32(10))),
        count(a.u53(4)),
        result(a.u53(6)),
        root_address(a.i32(7)),
        datatype(a.u32(8)),
        operation(a.u32(9)) {}
  fi_collective_op kind;
  uint64_t count;
  uint64_t result;
  int32_t root_address;
  // What providers take for the root's address: its place among the members.
  int32_t root_rank = 0;
  uint32_t datatype;
  uint32_t operation;
};

bool has_root(fi_collective_op kind) {
  return kind == FI_BROADCAST || kind == FI_REDUCE || kind == FI_SCATTER || kind == FI_GATHER;
}

bool reduces(fi_collective_op kind) {
  return kind == FI_ALLREDUCE || kind == FI_REDUCE || kind == FI_REDUCE_SCATTER;
}

// How many elements an operation reads and writes: by count, and by how many members there are.
struct Lengths {
  uint64_t read;
  uint64_t written;
};

Lengths lengths_of(const CollectiveCall& call, uint64_t members) {
  const uint64_t all = call.count * members;
  switch (call.kind) {
    case FI_BARRIER: return {0, 0};
    // It is cut into equal parts: what is beyond the count is written too.
    case FI_BROADCAST: return {(call.count + members - 1) / members * members, 0};
    case FI_ALLREDUCE:
    case FI_REDUCE: return {call.count, call.count};
    case FI_ALLGATHER:
    case FI_GATHER: return {call.count, all};
    case FI_SCATTER: return {all, call.count};
    default: return {all, all};
  }
}

bool has_call(const fi_ops_collective* ops, fi_collective_op kind) {
  switch (kind) {
    case FI_BARRIER: return OFI_HAS_OP(ops, fi_ops_collective, barrier);
    case FI_BROADCAST: return OFI_HAS_OP(ops, fi_ops_collective, broadcast);
    case FI_ALLTOALL: return OFI_HAS_OP(ops, fi_ops_collective, alltoall);
    case FI_ALLREDUCE: return OFI_HAS_OP(ops, fi_ops_collective, allreduce);
    case FI_ALLGATHER: return OFI_HAS_OP(ops, fi_ops_collective, allgather);
    case FI_REDUCE_SCATTER: return OFI_HAS_OP(ops, fi_ops_collective, reduce_scatter);
    case FI_REDUCE: return OFI_HAS_OP(ops, fi_ops_collective, reduce);
    case FI_SCATTER: return OFI_HAS_OP(ops, fi_ops_collective, scatter);
    case FI_GATHER: return OFI_HAS_OP(ops, fi_ops_collective, gather);
  }
  return false;
}

ssize_t call_provider(const CollectiveCall& call, const Post& post, fi_addr_t group) {
  fid_ep* ep = post.endpoint->fid;
  const auto datatype = static_cast<fi_datatype>(call.datatype);
  const auto operation = static_cast<fi_op>(call.operation);
  const auto root = static_cast<fi_addr_t>(call.root_rank);
  uint8_t* result = post.block->data() + call.result;
  void* descriptor = post.descriptor;
  void* context = &post.operation->context;
  switch (call.kind) {
    case FI_BARRIER: return fi_barrier(ep, group, context);
    case FI_BROADCAST:
      return fi_broadcast(ep, post.data, call.count, descriptor, group, root, datatype, 0, context);
    case FI_ALLTOALL:
      return fi_alltoall(ep, post.data, call.count, descriptor, result, descriptor, group, datatype, 0,
                         context);
    case FI_ALLREDUCE:
      return fi_allreduce(ep, post.data, call.count, descriptor, result, descriptor, group, datatype,
                          operation, 0, context);
    case FI_ALLGATHER:
      return fi_allgather(ep, post.data, call.count, descriptor, result, descriptor, group, datatype, 0,
                          context);
    case FI_REDUCE_SCATTER:
      return fi_reduce_scatter(ep, post.data, call.count, descriptor, result, descriptor, group, datatype,
                               operation, 0, context);
    case FI_REDUCE:
      return fi_reduce(ep, post.data, call.count, descriptor, result, descriptor, group, root, datatype,
                       operation, 0, context);
    case FI_SCATTER:
      return fi_scatter(ep, post.data, call.count, descriptor, result, descriptor, group, root, datatype, 0,
                        context);
    case FI_GATHER:
      return fi_gather(ep, post.data, call.count, descriptor, result, descriptor, group, root, datatype, 0,
                       context);
  }
  return -FI_ENOSYS;
}

// fi_query_collective(3). A status.
int query(fid_domain* domain, fi_collective_op kind, uint32_t datatype, uint32_t operation,
          size_t* most_members) {
  auto attributes = zeroed<fi_collective_attr>();
  attributes.datatype = static_cast<fi_datatype>(datatype);
  attributes.op = static_cast<fi_op>(operation);
  const int status = fi_query_collective(domain, kind, &attributes, 0);
  *most_members = attributes.max_members;
  return status;
}

// Asked once. Providers take a combination that they lack, and crash with it, or never complete it.
bool can_reduce(EndpointObject& endpoint, const CollectiveCall& call, size_t members) {
  if (call.operation >= AtomicLimits::kOperations) return false;
  if (endpoint.reduction_limits == nullptr) endpoint.reduction_limits = std::make_unique<AtomicLimits>();
  size_t kind = 0;
  if (call.kind != FI_ALLREDUCE) kind = call.kind == FI_REDUCE ? 1 : 2;
  int64_t& limit = endpoint.reduction_limits->of[kind][call.datatype][call.operation];
  if (limit < 0) {
    size_t most = 0;
    const bool can = query(endpoint.domain, call.kind, call.datatype, call.operation, &most) == 0;
    limit = can ? static_cast<int64_t>(most) : 0;
  }
  return members <= static_cast<size_t>(limit);
}

int32_t refusal(const CollectiveCall& call, const Post& post, const CollectiveGroupObject& group,
                uint64_t offset) {
  if (call.kind > kLastOperation || !has_call(post.endpoint->fid->collective, call.kind)) return kUnsupported;
  if (call.kind == FI_BARRIER) return kOk;
  if (call.root_rank < 0) return kNoSuchPeer;
  const size_t members = group.members.size();
  if (call.datatype > kLastDatatype) return kUnsupported;
  if (reduces(call.kind) && !can_reduce(*post.endpoint, call, members)) return kUnsupported;
  // They are computed by the processor, from the memory itself.
  if (post.block->is_device()) return kDeviceMemory;
  const uint64_t size = datatype_size(call.datatype);
  const Lengths lengths = lengths_of(call, members);
  if (call.count == 0 || call.count > UINT32_MAX) return kOutOfRange;
  if (!post.block->contains(offset, lengths.read * size)) return kOutOfRange;
  if (!post.block->contains(call.result, lengths.written * size)) return kOutOfRange;
  return offset % size == 0 && call.result % size == 0 ? kOk : kMisaligned;
}

// collective (CollectiveCall): one of fi_collective(3)'s operations.
napi_value collective(napi_env env, napi_callback_info info) {
  const FastCall a(env, info);
  CollectiveCall call(a);
  auto* group = a.environment().open<CollectiveGroupObject>(a.u32(5));
  auto* endpoint = a.environment().open<EndpointObject>(a.u32(0));
  if (group == nullptr || endpoint == nullptr || group->endpoint.lock().get() != endpoint)
    return a.answer(kClosed);
  // Until the event has told that all have joined, the group has no number.
  if (!group->joined) return a.answer(-FI_EOPBADSTATE);
  // Any member stands for all: it must still be in the address vector.
  const Post post =
      prepare_operation(a.environment(), a.u32(1), {a.u32(0), a.u32(2), a.u53(3), 0, group->members.front()},
                        Direction::Transmit);
  if (post.status != kOk) return a.answer(post.status);
  if (has_root(call.kind)) call.root_rank = rank_of(group->members, call.root_address);
  const int32_t refused = refusal(call, post, *group, a.u53(3));
  if (refused != kOk) return a.answer(finish_post(post, refused));
  // What an operation has to do next lies in a list of the provider's that has no lock: whoever makes progress takes from it.
  if (!endpoint->try_lock_progress()) return a.answer(finish_post(post, -FI_EAGAIN));
  const int32_t status = finish_post(post, call_provider(call, post, fi_mc_addr(group->fid)));
  if (status == kOk) group->note(post.operation);
  endpoint->unlock_progress();
  return a.answer(status);
}

// queryCollective(domain, kind, datatype, operation): fi_query_collective(3). The most members, or a negative status.
Napi::Value query_collective(const Napi::CallbackInfo& info) {
  auto* domain = Environment::of(info).open<DomainObject>(handle_argument(info, 0));
  if (domain == nullptr) return Napi::Number::New(info.Env(), kClosed);
  size_t most = 0;
  const int status = query(domain->fid, static_cast<fi_collective_op>(handle_argument(info, 1)),
                           handle_argument(info, 2), handle_argument(info, 3), &most);
  return status == 0 ? size_value(info.Env(), most) : Napi::Number::New(info.Env(), status);
}

}  // namespace

void register_collective(Napi::Object exports, Environment* environment) {
  define_fast(exports, "collective", collective, environment);
  define(exports, "queryCollective", query_collective, environment);
}

}  // namespace ofi
