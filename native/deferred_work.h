#pragma once

#include <vector>

#include "endpoint.h"
#include "memory_block.h"

namespace ofi {

// An operation in the queue of a domain, which starts when a counter reaches a threshold (fi_trigger(3)). The provider
// keeps pointers to nearly all of it: it stays, with the memory that it names, until it was cancelled or the program says
// that it is done. What it refers to is among its parents.
class DeferredWorkObject : public Object {
 public:
  static constexpr Kind kKind = Kind::DeferredWork;
  DeferredWorkObject() : Object(kKind, "DeferredWork") {}

  // Cancels it where it may still wait.
  int refuse_close() override;
  bool has_started() const { return trigger->has_reached(work.threshold); }

  fid_domain* domain = nullptr;
  CounterObject* trigger = nullptr;
  CounterObject* changed = nullptr;  // by an operation on a counter
  // The provider has no use for it any more.
  bool is_over = false;

  fi_deferred_work work = zeroed<fi_deferred_work>();
  union {
    fi_op_msg message;
    fi_op_tagged tagged;
    fi_op_rma rma;
    // An operation that only writes, or fetches, is laid out as the first members of this.
    fi_op_atomic atomic;
    fi_op_fetch_atomic fetch;
    fi_op_compare_atomic compare;
    fi_op_cntr counter;
  } operation{};
  std::vector<iovec> vectors;
  std::vector<fi_ioc> elements;
  std::vector<void*> descriptors;
  std::vector<fi_rma_iov> remotes;
  std::vector<fi_rma_ioc> remote_elements;
  std::vector<BlockReference> blocks;
};

void register_deferred_work(Napi::Object exports, Environment* environment);

}  // namespace ofi
