// fi_trigger(3): operations that wait in a domain's queue for a counter to reach a threshold.
#include "deferred_work.h"

#include "atomic.h"
#include "handle.h"
#include "parts.h"

namespace ofi {

namespace {

// What queueWork() is given, besides registers().parts and remote_parts.
struct WorkArguments {
  explicit WorkArguments(const Napi::Object& from)
      : type(static_cast<fi_op_type>(number(from, "type"))),
        threshold(u64_member(from, "threshold")),
        trigger(number(from, "trigger")),
        completion(number(from, "completion")),
        subject(number(from, "subject")),
        peer(from.Get("peer").As<Napi::Number>().Int32Value()),
        operands(number(from, "operands")),
        compares(number(from, "compares")),
        results(number(from, "results")),
        remotes(remote_count(number(from, "remotes"))),
        datatype(number(from, "datatype")),
        operation(number(from, "operation")),
        flags(u64_member(from, "flags")),
        value(u64_member(from, "value")),
        tag(u64_member(from, "tag")),
        ignore(u64_member(from, "ignore")) {}
  static uint32_t number(const Napi::Object& from, const char* name) {
    return from.Get(name).As<Napi::Number>().Uint32Value();
  }

  fi_op_type type;
  uint64_t threshold;
  uint32_t trigger;
  uint32_t completion;
  uint32_t subject;  // the endpoint, or the counter that is changed
  int32_t peer;
  // How many of registers().parts, in this order; those of an operation that is no atomic are all operands.
  uint32_t operands;
  uint32_t compares;
  uint32_t results;
  uint32_t remotes;
  uint32_t datatype;
  uint32_t operation;
  uint64_t flags;
  uint64_t value;  // remote CQ data, or what a counter is changed by
  uint64_t tag;
  uint64_t ignore;
};

bool receives(fi_op_type type) { return type == FI_OP_RECV || type == FI_OP_TRECV; }
bool is_atomic(fi_op_type type) { return type >= FI_OP_ATOMIC && type <= FI_OP_COMPARE_ATOMIC; }
bool is_remote(fi_op_type type) { return type >= FI_OP_READ && type <= FI_OP_COMPARE_ATOMIC; }

// Whether a change of one counter leads, by work that waits in the domain, to a change of another. Providers start such
// work while they hold the counter, and would wait for themselves.
bool leads_to(const Object& domain, const CounterObject* from, const CounterObject* to) {
  std::vector<const CounterObject*> reached{from};
  for (size_t next = 0; next < reached.size(); ++next) {
    if (reached[next] == to) return true;
    for (const Object* dependant : domain.dependants()) {
      if (dependant->kind != Kind::DeferredWork) continue;
      const auto* other = static_cast<const DeferredWorkObject*>(dependant);
      if (other->is_over || other->changed == nullptr || other->trigger != reached[next]) continue;
      if (std::find(reached.begin(), reached.end(), other->changed) == reached.end())
        reached.push_back(other->changed);
    }
  }
  return false;
}

// The pieces of memory, which the object holds from now on.
void keep_parts(DeferredWorkObject& object, Parts& parts, const WorkArguments& a,
                const Registers& registers) {
  const uint32_t size = is_atomic(a.type) ? datatype_size(a.datatype) : 1;
  for (uint32_t i = 0; i < parts.count(); ++i) {
    const iovec& vector = parts.vectors()[i];
    object.vectors.push_back(vector);
    object.elements.push_back({vector.iov_base, vector.iov_len / size});
    object.descriptors.push_back(parts.descriptors()[i]);
    parts.blocks()[i]->retain();
    object.blocks.emplace_back(parts.blocks()[i]);
  }
  for (uint32_t i = 0; i < a.remotes; ++i) {
    const Registers::RemotePart& part = registers.remote_parts[i];
    object.remotes.push_back({part.address, part.length, part.key});
    object.remote_elements.push_back({part.address, part.length / size, part.key});
  }
}

void fill_atomic(DeferredWorkObject& object, const WorkArguments& a, const Post& post) {
  fi_ioc* elements = object.elements.data();
  void** descriptors = object.descriptors.data();
  const fi_msg_atomic message{elements,
                              descriptors,
                              a.operands,
                              post.address,
                              object.remote_elements.data(),
                              a.remotes,
                              static_cast<fi_datatype>(a.datatype),
                              static_cast<fi_op>(a.operation),
                              &object.work.context,
                              0};
  const fi_msg_compare compare{elements + a.operands, descriptors + a.operands, a.compares};
  const fi_msg_fetch fetch{elements + a.operands + a.compares, descriptors + a.operands + a.compares,
                           a.results};
  switch (a.type) {
    case FI_OP_ATOMIC: object.operation.atomic = {post.endpoint->fid, message, a.flags}; break;
    case FI_OP_FETCH_ATOMIC: object.operation.fetch = {post.endpoint->fid, message, fetch, a.flags}; break;
    default: object.operation.compare = {post.endpoint->fid, message, fetch, compare, a.flags}; break;
  }
}

// What the operation is, for the provider: struct fi_op_msg and its like.
void fill_operation(DeferredWorkObject& object, const WorkArguments& a, const Post& post) {
  fid_ep* ep = post.endpoint->fid;
  void* context = &object.work.context;
  const iovec* vectors = object.vectors.data();
  void** descriptors = object.descriptors.data();
  switch (a.type) {
    case FI_OP_RECV:
    case FI_OP_SEND:
      object.operation.message = {
          ep, {vectors, descriptors, a.operands, post.address, context, a.value}, a.flags};
      break;
    case FI_OP_TRECV:
    case FI_OP_TSEND:
      object.operation.tagged = {
          ep, {vectors, descriptors, a.operands, post.address, a.tag, a.ignore, context, a.value}, a.flags};
      break;
    case FI_OP_READ:
    case FI_OP_WRITE:
      object.operation.rma = {ep,
                              {vectors, descriptors, a.operands, post.address, object.remotes.data(),
                               a.remotes, context, a.value},
                              a.flags};
      break;
    default: fill_atomic(object, a, post); break;
  }
}

int32_t check_atomic(EndpointObject& endpoint, const WorkArguments& a, const Parts& parts,
                     const Registers& registers) {
  const uint32_t kind = a.type - FI_OP_ATOMIC;
  const size_t limit = atomic_limit_of(endpoint, kind, a.datatype, a.operation);
  if (limit == 0) return kUnsupported;
  const uint32_t alignment = datatype_alignment(a.datatype);
  if (!parts.are_aligned(alignment)) return kMisaligned;
  for (uint32_t i = 0; i < a.remotes; ++i)
    if (registers.remote_parts[i].address % alignment != 0) return kMisaligned;
  uint64_t length = 0;
  for (uint32_t i = 0; i < a.operands; ++i) length += parts.vectors()[i].iov_len;
  if (length == 0) return kOutOfRange;
  return length / datatype_size(a.datatype) > limit ? -FI_EMSGSIZE : kOk;
}

// Fills an operation on data. A status.
int32_t take_data(Environment& environment, const WorkArguments& a, DeferredWorkObject& object) {
  const Registers& registers = environment.registers();
  const Direction direction = receives(a.type) ? Direction::Receive : Direction::Transmit;
  const Post post = prepare_peer(environment, a.subject, a.peer, direction);
  if (post.status != kOk) return post.status;
  EndpointObject& endpoint = *post.endpoint;
  const uint64_t needed = is_atomic(a.type) ? FI_ATOMIC : is_remote(a.type) ? FI_RMA : 0;
  if ((endpoint.capabilities & needed) != needed) return kUnsupported;
  if (a.operands > Parts::kMax || a.compares > Parts::kMax || a.results > Parts::kMax) return -FI_EINVAL;
  Parts parts;
  const uint32_t unit = is_atomic(a.type) ? datatype_size(a.datatype) : 1;
  const int32_t refusal = parts.add(environment, endpoint, 0, a.operands + a.compares + a.results, unit);
  if (refusal != kOk) return refusal;
  const int32_t misfit = is_atomic(a.type)   ? check_atomic(endpoint, a, parts, registers)
                         : is_remote(a.type) ? static_cast<int32_t>(kOk)
                                             : check_datagram(endpoint, parts.length(), direction);
  if (misfit != kOk) return misfit;
  keep_parts(object, parts, a, registers);
  fill_operation(object, a, post);
  object.work.op.msg = &object.operation.message;
  return kOk;
}

// Fills an operation on a counter. A status.
int32_t take_counter(CounterObject* counter, const Object& domain, const WorkArguments& a,
                     DeferredWorkObject& object) {
  if (counter == nullptr) return kClosed;
  if (leads_to(domain, counter, object.trigger)) return kCircular;
  object.changed = counter;
  object.operation.counter = {counter->fid, a.value};
  object.work.op.cntr = &object.operation.counter;
  return kOk;
}

// queueWork(domain, arguments): fi_control(3) with FI_QUEUE_WORK. The work's handle, or a negative status.
Napi::Value queue_work(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto answer = [&info](int32_t status) { return Napi::Number::New(info.Env(), status); };
  const WorkArguments a(info[1].As<Napi::Object>());
  auto domain = environment.open_shared<DomainObject>(handle_argument(info, 0));
  auto trigger = environment.open_shared<CounterObject>(a.trigger);
  auto completion = environment.open_shared<CounterObject>(a.completion);
  const bool on_counter = a.type == FI_OP_CNTR_SET || a.type == FI_OP_CNTR_ADD;
  if (domain == nullptr || trigger == nullptr || (completion == nullptr && !on_counter))
    return answer(kClosed);
  auto object = std::make_shared<DeferredWorkObject>();
  object->domain = domain->fid;
  object->trigger = trigger.get();
  object->work.threshold = a.threshold;
  object->work.triggering_cntr = trigger->fid;
  object->work.completion_cntr = on_counter ? nullptr : completion->fid;
  object->work.op_type = a.type;
  int32_t status = on_counter ? take_counter(environment.open<CounterObject>(a.subject), *domain, a, *object)
                              : take_data(environment, a, *object);
  if (status == kOk) status = fi_control(&domain->fid->fid, FI_QUEUE_WORK, &object->work);
  if (status != kOk) return answer(status);
  std::vector<std::shared_ptr<Object>> needs{domain, trigger, environment.any(a.subject)};
  if (!on_counter) needs.emplace_back(completion);
  for (const auto& needed : needs) object->depend_on(needed);
  object->phase = Phase::Open;
  return answer(static_cast<int32_t>(environment.add(object)));
}

// retireWork(work): the program says that it is done. A status.
Napi::Value retire_work(const Napi::CallbackInfo& info) {
  auto* object = Environment::of(info).open<DeferredWorkObject>(handle_argument(info, 0));
  int32_t status = kClosed;
  if (object != nullptr) status = object->is_over || object->has_started() ? kOk : kWaiting;
  if (status == kOk) object->is_over = true;
  return Napi::Number::New(info.Env(), status);
}

// flushWork(domain, counter | -1): fi_control(3) with FI_FLUSH_WORK. A status.
Napi::Value flush_work(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto* domain = environment.open<DomainObject>(handle_argument(info, 0));
  if (domain == nullptr) return Napi::Number::New(info.Env(), kClosed);
  auto* counter = environment.open<CounterObject>(handle_argument(info, 1));
  fid* only = counter == nullptr ? nullptr : &counter->fid->fid;
  const int status = fi_control(&domain->fid->fid, FI_FLUSH_WORK, only);
  if (status != 0) return Napi::Number::New(info.Env(), status);
  // What has not started by now never will.
  for (Object* dependant : domain->dependants()) {
    if (dependant->kind != Kind::DeferredWork) continue;
    auto* work = static_cast<DeferredWorkObject*>(dependant);
    if ((counter == nullptr || work->trigger == counter) && !work->has_started()) work->is_over = true;
  }
  return Napi::Number::New(info.Env(), kOk);
}

}  // namespace

int DeferredWorkObject::refuse_close() {
  if (is_over) return kOk;
  if (fi_control(&domain->fid, FI_CANCEL_WORK, &work) != 0) return kWaiting;
  is_over = true;
  return kOk;
}

void register_deferred_work(Napi::Object exports, Environment* environment) {
  define(exports, "queueWork", queue_work, environment);
  define(exports, "retireWork", retire_work, environment);
  define(exports, "flushWork", flush_work, environment);
}

}  // namespace ofi
