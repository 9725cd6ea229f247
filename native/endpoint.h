#pragma once

#include "address_vector.h"
#include "completion_queue.h"
#include "domain.h"
#include "environment.h"
#include "event_queue.h"

namespace ofi {

class EndpointObject : public FidObject<fid_ep> {
 public:
  static constexpr Kind kKind = Kind::Endpoint;
  EndpointObject() : FidObject(kKind, "Endpoint") {}

  void before_close() override;
  int close_blocking() override;
  void after_close() override;
  // What is bound, each once.
  std::vector<CompletionQueueObject*> queues() const;

  fid_domain* domain = nullptr;
  bool enabled = false;
  bool needs_descriptor = false;
  // What is bound; held through the graph.
  CompletionQueueObject* transmit_queue = nullptr;
  CompletionQueueObject* receive_queue = nullptr;
  AddressVectorObject* addresses = nullptr;
  EventQueueObject* events = nullptr;
  // Contexts of operations that the provider dropped at close, by queue: transmit then receive.
  std::shared_ptr<std::vector<uint32_t>> dropped = std::make_shared<std::vector<uint32_t>>();
  // An shm endpoint's file in /dev/shm, and the lock that says it is in use.
  std::string shm_name;
  int shm_lock_fd = -1;
};

void register_endpoint(Napi::Object exports, Environment* environment);

}  // namespace ofi
