#pragma once

#include <array>
#include <memory>
#include <mutex>

#include "address_vector.h"
#include "completion_queue.h"
#include "counter.h"
#include "domain.h"
#include "environment.h"
#include "event_queue.h"

namespace ofi {

// How many elements one atomic operation may have, by kind (write, fetch, compare), enum fi_datatype and enum fi_op; or how
// many members a collective one (allreduce, reduce, reduce_scatter). -1 where the provider was not asked yet.
struct AtomicLimits {
  static constexpr uint32_t kDatatypes = 20;
  static constexpr uint32_t kOperations = 20;
  AtomicLimits() {
    for (auto& kind : of)
      for (auto& datatype : kind) datatype.fill(-1);
  }
  std::array<std::array<std::array<int64_t, kOperations>, kDatatypes>, 3> of;
};

enum class Direction : uint8_t { Transmit, Receive };

// What an endpoint is: one by itself, or a part of others (fi_endpoint(3)).
enum class Role : uint8_t {
  Whole,
  Alias,     // the same endpoint, with other flags for calls without
  Scalable,  // an address, and contexts that send and receive
  Transmit,  // such contexts
  Receive,
  SharedReceive,  // receives for several endpoints
};

// What data calls look at, which an alias has from its endpoint. What is bound is held through the graph.
struct DataTraits {
  fid_fabric* fabric = nullptr;
  fid_domain* domain = nullptr;
  bool enabled = false;
  bool needs_descriptor = false;
  // Whether operations of each direction are posted here, and not on a context or on nothing.
  bool transmits = true;
  bool receives = true;
  // Operations are in a SharedTransmitContext of sockets, which goes on with them by pointers into the endpoint, also where
  // that was closed.
  bool transmits_outlive = false;
  size_t inject_size = 0;  // with the prefix
  // FI_EP_DGRAM: providers only assert that a message is as long as its prefix, and no longer than they can send.
  bool sends_datagrams = false;
  size_t transmit_prefix = 0;
  size_t receive_prefix = 0;
  size_t longest_message = 0;  // without the prefix
  // Of operations whose calls have no flags, by the endpoint's own: enum OperationTrait.
  uint8_t transmit_traits = 0;
  uint8_t receive_traits = 0;
  // Whether an operation of one direction completes only where its flags ask for it (FI_SELECTIVE_COMPLETION).
  bool selects_transmits = false;
  bool selects_receives = false;
  uint64_t transmit_flags = 0;  // of the calls without flags (fi_tx_attr.op_flags, fi_rx_attr.op_flags)
  uint64_t receive_flags = 0;
  uint64_t capabilities = 0;
  // FI_EP_MSG: one peer, that it connects to, and no address vector.
  bool connects = false;
  // efa-direct and EFA's datagrams: a completion that is read after its endpoint's close, and memory that is not
  // registered, crash libfabric 2.1.
  bool is_raw_efa = false;
  // Its queue is read before its close and, where it was the last, not after: that crashes the endpoints above; and net and tcp
  // hear then from those who were just connecting to it, and tell a listener of it that was freed.
  bool is_read_before_close = false;
  // efa, shm and tcp;ofi_rxm of libfabric 1.17 crash where a queue or a counter is read whose endpoint is not enabled yet.
  bool is_read_enabled = false;
  // Of shm, where it guards what the provider would wait for without end.
  std::shared_ptr<const ShmLock> own_lock;
  CompletionQueueObject* transmit_queue = nullptr;
  CompletionQueueObject* receive_queue = nullptr;
  AddressVectorObject* addresses = nullptr;
};

class EndpointObject : public FidObject<fid_ep>, public DataTraits {
 public:
  static constexpr Kind kKind = Kind::Endpoint;
  explicit EndpointObject(Role role = Role::Whole, const char* name = "Endpoint")
      : FidObject(kKind, name), role(role) {}
  ~EndpointObject() override;

  // While an operation waits for a counter, which the provider would make after the endpoint's end, or is in a shared
  // queue, where the provider would look at the endpoint.
  int refuse_close() override;
  void before_close() override;
  int close_blocking() override;
  void after_close() override;
  // What is bound, each once.
  std::vector<CompletionQueueObject*> queues() const;
  // While these are locked, nobody reads a queue or a counter of the endpoint, in which providers go on with what was begun.
  // The first never waits; the second does, on a thread of its own.
  bool try_lock_progress();
  void lock_progress();
  void unlock_progress();
  // Held on threads of their own, while it is enabled, connected or closed, or joins others. Whoever holds it looks at `fid`
  // then, which is null once it was closed.
  std::mutex changing;

  const Role role;
  // Whose the operations are: an alias posts those of its endpoint, which go on without it.
  EndpointObject* owner = this;
  // FI_SHARED_CONTEXT: not enabled without.
  bool needs_transmit_context = false;
  bool needs_receive_context = false;
  Object* transmit_context = nullptr;
  EndpointObject* receive_context = nullptr;
  // Of a shared context: whether the provider has its queue, and so can say what became of a cancelled receive.
  bool reports_cancelled = true;
  // The same: which receives (enum OperationMark) might be given a message to an endpoint that is gone.
  uint8_t lost = 0;
  // Of an endpoint of sockets: messages may have come for it into its shared receive context.
  bool leaves_messages = false;
  bool was_enabled = false;
  void note_lost_messages();
  bool is_full() const;
  // Of a context: its scalable endpoint, and its place there.
  EndpointObject* scalable = nullptr;
  uint32_t index = 0;
  // Of a scalable one: how many contexts it can have, by direction; and whether one was closed, at which sockets goes on
  // looking where the whole is told something.
  std::array<uint32_t, 2> context_count{};
  bool lost_context = false;
  // Its place in the order of closing at the environment's end.
  int rank_at_end() const {
    switch (role) {
      case Role::Whole: return 0;
      case Role::Scalable:
      case Role::SharedReceive: return 1;
      default: return -1;
    }
  }
  // Nobody reads these until it is enabled, or closed.
  std::vector<CompletionQueueObject*> held_queues;
  std::vector<CounterObject*> held_counters;
  void release_reads();
  // While nobody reads these.
  void guard_memory();
  void take_info(const fi_info& info, const DomainObject& of);
  // shm crashes where an endpoint is asked for an option before it is enabled, FI_OPT_MIN_MULTI_RECV being its only; and so do
  // those before libfabric 2.0 where it is set then, while later ones want it set then. So it is kept here; 0: not set.
  bool has_late_options = false;
  size_t min_multi_recv = 0;
  int set_late_options();
  uint8_t default_traits(Direction direction) const {
    return direction == Direction::Transmit ? transmit_traits : receive_traits;
  }
  void update_traits();
  // FI_SETOPSFLAG has set these, for the direction that they name.
  void note_flags(uint64_t flags);
  bool connected = false;
  bool has_request = false;  // it was opened to accept one
  bool connecting = false;   // it has asked for its connection, or accepted it
  // Room that its file in /dev/shm may need at most.
  uint64_t shm_bytes = 0;
  std::unique_ptr<AtomicLimits> atomic_limits;
  std::unique_ptr<AtomicLimits> reduction_limits;
  EventQueueObject* events = nullptr;
  // In one order everywhere, since two endpoints may lock those that they share.
  std::vector<CounterObject*> counters;
  // Operations with FI_TRIGGER that may be in flight, each until `counter` reaches `threshold` in the provider's hands.
  struct Triggered {
    const Operation* operation;
    uint32_t generation;
    CounterObject* counter;
    uint64_t threshold;
    bool is_over(const EndpointObject* of) const {
      return operation->state.load() != SlotState::Busy || operation->endpoint != of ||
             operation->generation != generation;
    }
  };
  std::vector<Triggered> triggered;
  // Contexts of operations that the provider dropped at close, by queue: transmit then receive.
  std::shared_ptr<std::vector<uint32_t>> dropped = std::make_shared<std::vector<uint32_t>>();
  // An shm endpoint's file in /dev/shm, and the lock that says it is in use.
  std::string shm_name;
  int shm_lock_fd = -1;
  // Its number among the process's endpoints that share memory (shm_neighbours.h); 0: it is none of them.
  uint64_t neighbour = 0;
  // fi_enable, and what it needs that nobody bound. `name`: of its file in /dev/shm, where it has one of ours.
  int enable_blocking(const std::string& name);
  // Whether an endpoint that still works may look at this one's memory.
  bool is_needed() const;

 private:
  void bind_stand_in();
  void close_stand_ins();
  void bind_event_queue();
  bool try_lock_readers();
  void unlock_readers();
  // An address vector, bound by the close where nothing else was.
  fid_av* stand_in_ = nullptr;
  // An event queue, bound where nobody bound one.
  fid_eq* own_events_ = nullptr;
};

void register_endpoint(Napi::Object exports, Environment* environment);

}  // namespace ofi
