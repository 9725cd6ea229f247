// Endpoints of the machine's own libfabric for the tests of the C++ parts: an fi_info, and all that one side needs.
#pragma once

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "completion_reader.h"
#include "libfabric.h"
#include "progress.h"

// An RDM endpoint's fi_info of one provider, by its name.
class Provider {
 public:
  explicit Provider(const char* name) {
    if (!ofi::library().available) return;
    const std::unique_ptr<fi_info, ofi::InfoDeleter> hints(ofi::library().dupinfo(nullptr));
    hints->caps = FI_MSG | FI_TAGGED;
    hints->mode = FI_CONTEXT | FI_CONTEXT2;
    hints->ep_attr->type = FI_EP_RDM;
    hints->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY;
    hints->domain_attr->threading = FI_THREAD_SAFE;
    hints->fabric_attr->prov_name = strdup(name);
    // shm takes a node for a name.
    const bool has_addresses = std::strcmp(name, "shm") != 0;
    fi_info* found = nullptr;
    if (ofi::library().getinfo(ofi::library().api_version, has_addresses ? "127.0.0.1" : nullptr, nullptr,
                               has_addresses ? FI_SOURCE : 0, hints.get(), &found) == 0)
      info_.reset(found);
  }
  bool offered() const { return info_ != nullptr; }
  fi_info* info() const { return info_.get(); }

 private:
  std::unique_ptr<fi_info, ofi::InfoDeleter> info_;
};

template <typename Fid>
class Owned {
 public:
  Owned() = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() { reset(); }
  void reset() {
    if (fid_ != nullptr) fi_close(&fid_->fid);
    fid_ = nullptr;
  }
  Fid* get() const { return fid_; }
  // For the library's calls that return a new fid.
  Fid** out() { return &fid_; }

 private:
  Fid* fid_ = nullptr;
};

// An endpoint and whatever it stands on, with a reader for its completion queue and 1 MiB for each of two buffers.
class Side {
 public:
  static constexpr uint32_t kSlots = 64;
  static constexpr size_t kBuffer = 1 << 20;

  explicit Side(const Provider& provider, fi_wait_obj wait = FI_WAIT_NONE) : wait_object_(wait) {
    opened_ = ofi::library().fabric(provider.info()->fabric_attr, fabric_.out(), nullptr) == 0 &&
              fi_domain(fabric_.get(), provider.info(), domain_.out(), nullptr) == 0 && open_queue(wait) &&
              open_addresses() &&
              fi_endpoint(domain_.get(), provider.info(), endpoint_.out(), nullptr) == 0 &&
              fi_ep_bind(endpoint_.get(), &queue_.get()->fid, FI_TRANSMIT | FI_RECV) == 0 &&
              fi_ep_bind(endpoint_.get(), &addresses_.get()->fid, 0) == 0 &&
              fi_enable(endpoint_.get()) == 0 && register_memory(provider);
    if (!opened_) return;
    ring_ = std::make_unique<ofi::CompletionRing>(ring_block_.get(), kSlots);
    reader_ = std::make_unique<ofi::CompletionReader>(queue_.get(), FI_CQ_FORMAT_TAGGED, operations_, *ring_);
  }

  bool opened() const { return opened_; }
  fid_ep* endpoint() { return endpoint_.get(); }
  ofi::OperationTable& operations() { return operations_; }
  ofi::CompletionRing& ring() { return *ring_; }
  ofi::CompletionReader& reader() { return *reader_; }
  uint8_t* outgoing() { return memory_.get()->data(); }
  uint8_t* incoming() { return memory_.get()->data() + kBuffer; }
  // Lets go of the memory, but for what is in flight or registered.
  void forget_memory() { memory_.reset(); }
  void unregister_memory() { region_.reset(); }

  // Only a queue that was opened with a wait object may be asked for it.
  ofi::WaitFd wait() {
    ofi::WaitFd wait;
    wait.fabric = fabric_.get();
    wait.queue = &queue_.get()->fid;
    int fd = -1;
    if (wait_object_ == FI_WAIT_FD && fi_control(wait.queue, FI_GETWAIT, &fd) == 0) wait.fd = fd;
    return wait;
  }

  bool connect_to(Side& peer) {
    std::array<char, 1024> name{};
    size_t length = name.size();
    return fi_getname(&peer.endpoint_.get()->fid, name.data(), &length) == 0 &&
           fi_av_insert(addresses_.get(), name.data(), 1, &peer_, 0, nullptr) == 1;
  }
  fi_addr_t peer() const { return peer_; }

  ssize_t receive(uint32_t slot, size_t length) {
    return finish(slot, [&](void* context) {
      return fi_recv(endpoint_.get(), incoming(), length, descriptor(), FI_ADDR_UNSPEC, context);
    });
  }
  ssize_t send(uint32_t slot, size_t length) {
    return finish(slot, [&](void* context) {
      return fi_send(endpoint_.get(), outgoing(), length, descriptor(), peer_, context);
    });
  }
  ssize_t receive_tagged(uint32_t slot, size_t length, uint64_t tag, uint64_t ignore) {
    return finish(slot, [&](void* context) {
      return fi_trecv(endpoint_.get(), incoming(), length, descriptor(), FI_ADDR_UNSPEC, tag, ignore,
                      context);
    });
  }
  ssize_t send_tagged(uint32_t slot, size_t length, uint64_t data, uint64_t tag) {
    return finish(slot, [&](void* context) {
      return fi_tsenddata(endpoint_.get(), outgoing(), length, descriptor(), data, peer_, tag, context);
    });
  }

  // Closes the endpoint and answers for each slot still in flight, as the addon does.
  std::vector<uint32_t> close_endpoint() {
    endpoint_.reset();
    while (reader_->read(kSlots) != 0) {
    }
    std::vector<uint32_t> dropped;
    operations_.drop_all_of(this, [&dropped](uint32_t slot) { dropped.push_back(slot); });
    return dropped;
  }

 private:
  template <typename Call>
  ssize_t finish(uint32_t slot, const Call& call) {
    ofi::Operation* operation = operations_.acquire(slot, this, memory_.get());
    if (operation == nullptr) return -FI_EBUSY;
    const ssize_t status = call(&operation->context);
    if (status != 0) operations_.abandon(operation);
    return status;
  }
  void* descriptor() { return memory_.get()->descriptor(domain_.get()); }

  bool open_queue(fi_wait_obj wait) {
    auto attributes = ofi::zeroed<ofi::CqAttributes>();
    attributes.attr.size = kSlots;
    attributes.attr.format = FI_CQ_FORMAT_TAGGED;
    attributes.attr.wait_obj = wait;
    return fi_cq_open(domain_.get(), &attributes.attr, queue_.out(), nullptr) == 0;
  }
  bool open_addresses() {
    auto attributes = ofi::zeroed<ofi::AvAttributes>();
    attributes.attr.type = FI_AV_TABLE;
    return fi_av_open(domain_.get(), &attributes.attr, addresses_.out(), nullptr) == 0;
  }
  bool register_memory(const Provider& provider) {
    if ((provider.info()->domain_attr->mr_mode & FI_MR_LOCAL) == 0) return true;
    ofi::MemoryBlock* block = memory_.get();
    if (fi_mr_reg(domain_.get(), block->data(), block->size(), FI_SEND | FI_RECV, 0, 1, 0, region_.out(),
                  nullptr) != 0)
      return false;
    block->add_descriptor(domain_.get(), fi_mr_desc(region_.get()));
    return true;
  }

  bool opened_ = false;
  fi_wait_obj wait_object_;
  ofi::BlockReference memory_{ofi::MemoryBlock::allocate(2 * kBuffer)};
  ofi::BlockReference ring_block_{ofi::MemoryBlock::allocate(kSlots * sizeof(ofi::CompletionRecord))};
  ofi::OperationTable operations_{kSlots};
  std::unique_ptr<ofi::CompletionRing> ring_;
  std::unique_ptr<ofi::CompletionReader> reader_;
  fi_addr_t peer_ = FI_ADDR_NOTAVAIL;
  // Closed from the last to the first.
  Owned<fid_fabric> fabric_;
  Owned<fid_domain> domain_;
  Owned<fid_cq> queue_;
  Owned<fid_av> addresses_;
  Owned<fid_mr> region_;
  Owned<fid_ep> endpoint_;
};
