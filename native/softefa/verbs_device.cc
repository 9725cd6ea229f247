// Devices, protection domains and address handles.
#include <dirent.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "verbs.h"

using namespace softefa;

namespace {

constexpr uint32_t kAmazon = 0x1d0f;
constexpr uint32_t kFirstGeneration = 0xefa0;   // which has no RDMA
constexpr uint32_t kSecondGeneration = 0xefa1;  // which has
// Older headers of rdma-core do not know these.
constexpr uint32_t kCanRdmaWrite = 1 << 3;
constexpr uint32_t kCanTakeUnsolicitedWrites = 1 << 4;
constexpr const char* kSocketSuffix = ".sock";

Gid gid_of(const ibv_gid& gid) {
  Gid result;
  std::memcpy(result.raw.data(), gid.raw, sizeof gid.raw);
  return result;
}

void set_name(char* to, size_t room, const std::string& name) { std::snprintf(to, room, "%s", name.c_str()); }

// The command left a socket for each NIC that it started, and SYSFS_PATH names what it wrote about them.
std::vector<std::unique_ptr<Device>> find_devices() {
  std::vector<std::unique_ptr<Device>> devices;
  const char* const folder = std::getenv("SOFTEFA_DIRECTORY");
  const char* const sysfs = std::getenv("SYSFS_PATH");
  DIR* const listing = folder == nullptr || sysfs == nullptr ? nullptr : opendir(folder);
  if (listing == nullptr) return devices;
  std::vector<std::string> names;
  while (const dirent* entry = readdir(listing)) {
    const std::string name = entry->d_name;
    if (name.ends_with(kSocketSuffix)) names.push_back(name.substr(0, name.size() - strlen(kSocketSuffix)));
  }
  closedir(listing);
  // By number where that is all they differ in.
  std::ranges::sort(names, {}, [](const std::string& name) { return std::pair(name.size(), name); });
  for (const std::string& name : names) {
    auto device = std::make_unique<Device>();
    static_cast<ibv_device&>(*device) = {};
    device->node_type = IBV_NODE_UNSPECIFIED;
    device->transport_type = IBV_TRANSPORT_UNSPECIFIED;
    const std::string path = std::string(sysfs) + "/class/infiniband/" + name;
    set_name(device->name, sizeof device->name, name);
    set_name(device->dev_name, sizeof device->dev_name, "uverbs" + std::to_string(devices.size()));
    set_name(device->dev_path, sizeof device->dev_path, path);
    set_name(device->ibdev_path, sizeof device->ibdev_path, path);
    device->socket_path = std::string(folder) + "/" + name + kSocketSuffix;
    devices.push_back(std::move(device));
  }
  return devices;
}

// Looked for once: what a program has seen must stay.
const std::vector<std::unique_ptr<Device>>& devices() {
  static const std::vector<std::unique_ptr<Device>> all = find_devices();
  return all;
}

int query_port(ibv_context* /*context*/, uint8_t /*port*/, ibv_port_attr* attributes, size_t length) {
  ibv_port_attr port{};
  port.state = IBV_PORT_ACTIVE;
  port.max_mtu = port.active_mtu = IBV_MTU_4096;
  port.max_msg_sz = kMaxMessageBytes;
  port.gid_tbl_len = port.pkey_tbl_len = 1;
  port.active_width = 2;   // 4 lanes
  port.active_speed = 32;  // of 25 Gbit/s
  port.phys_state = 5;     // link up
  port.link_layer = IBV_LINK_LAYER_UNSPECIFIED;
  std::memset(attributes, 0, length);
  std::memcpy(attributes, &port, std::min(length, sizeof port));
  return 0;
}

int query_device(ibv_context* context, const ibv_query_device_ex_input* /*input*/,
                 ibv_device_attr_ex* attributes, size_t size) {
  std::memset(attributes, 0, size);
  return ibv_query_device(context, &attributes->orig_attr);
}

}  // namespace

Context* Context::of(ibv_context* context) {
  char* const start = reinterpret_cast<char*>(context) - offsetof(verbs_context, context);
  return static_cast<Context*>(reinterpret_cast<verbs_context*>(start));
}

uint16_t Context::address_handle(const Gid& gid) {
  const std::lock_guard lock(address_handles_mutex);
  const auto found = address_handles.find(gid);
  return found == address_handles.end() ? kNoAddressHandle : found->second.number;
}

extern "C" {

ibv_device** ibv_get_device_list(int* count) {
  const auto& all = devices();
  auto* const list = static_cast<ibv_device**>(std::calloc(all.size() + 1, sizeof(ibv_device*)));
  if (list == nullptr) return nullptr;
  for (size_t index = 0; index < all.size(); ++index) list[index] = all[index].get();
  if (count != nullptr) *count = static_cast<int>(all.size());
  return list;
}

void ibv_free_device_list(ibv_device** list) { std::free(static_cast<void*>(list)); }

const char* ibv_get_device_name(ibv_device* device) { return device->name; }

__be64 ibv_get_device_guid(ibv_device* /*device*/) { return 0; }

int ibv_get_device_index(ibv_device* /*device*/) { return -1; }

ibv_context* ibv_open_device(ibv_device* device) {
  auto context = std::make_unique<Context>();
  static_cast<verbs_context&>(*context) = {};
  const std::string& path = static_cast<Device*>(device)->socket_path;
  if (const int error = context->channel.connect(path); error != 0) {
    std::fprintf(stderr, "softefa: the device %s cannot be opened: %s%s\n", device->name,
                 std::strerror(error), error == EPERM ? " (its NIC may not read this process's memory)" : "");
    errno = error;
    return nullptr;
  }
  context->sz = sizeof(verbs_context);
  context->create_cq_ex = create_completion_queue;
  context->create_qp_ex = [](ibv_context* opened, ibv_qp_init_attr_ex* attributes) {
    return create_queue_pair(opened, attributes, false);
  };
  context->query_device_ex = query_device;
  context->query_port = query_port;
  ibv_context& base = context->context;
  base.abi_compat = __VERBS_ABI_IS_EXTENDED;
  base.device = device;
  base.cmd_fd = base.async_fd = -1;
  base.num_comp_vectors = 1;
  base.ops.post_send = post_send;
  base.ops.post_recv = post_receive;
  base.ops.req_notify_cq = request_notification;
  return &context.release()->context;
}

int ibv_close_device(ibv_context* context) {
  delete Context::of(context);
  return 0;
}

int ibv_query_device(ibv_context* context, ibv_device_attr* attributes) {
  *attributes = {};
  std::strcpy(attributes->fw_ver, "0.0.0.0");
  attributes->vendor_id = kAmazon;
  attributes->vendor_part_id =
      Context::of(context)->channel.has_rdma() ? kSecondGeneration : kFirstGeneration;
  attributes->max_mr_size = 1ULL << 40;
  attributes->page_size_cap = ~4095ULL;
  attributes->max_qp = 256;
  attributes->max_qp_wr = kMaxSendQueue;
  attributes->max_sge = kMaxElements;
  attributes->max_sge_rd = Context::of(context)->channel.has_rdma() ? 1 : 0;
  attributes->max_cq = 512;
  attributes->max_cqe = kMaxCompletions;
  attributes->max_mr = 1 << 16;
  attributes->max_pd = 256;
  attributes->max_ah = 4096;
  attributes->phys_port_cnt = 1;
  return 0;
}

int ibv_query_port(ibv_context* context, uint8_t port, _compat_ibv_port_attr* attributes) {
  return query_port(context, port, reinterpret_cast<ibv_port_attr*>(attributes),
                    offsetof(ibv_port_attr, port_cap_flags2));
}

int ibv_query_gid(ibv_context* context, uint8_t /*port*/, int /*index*/, ibv_gid* gid) {
  std::memcpy(gid->raw, Context::of(context)->channel.gid().raw.data(), sizeof gid->raw);
  return 0;
}

int ibv_query_pkey(ibv_context* /*context*/, uint8_t /*port*/, int /*index*/, __be16* key) {
  *key = 0xffff;
  return 0;
}

int efadv_query_device(ibv_context* context, efadv_device_attr* attributes, uint32_t length) {
  efadv_device_attr device{};
  device.max_sq_wr = kMaxSendQueue;
  device.max_rq_wr = kMaxReceiveQueue;
  device.max_sq_sge = device.max_rq_sge = kMaxElements;
  device.inline_buf_size = kInlineBytes;
  device.device_caps = EFADV_DEVICE_ATTR_CAPS_RNR_RETRY | EFADV_DEVICE_ATTR_CAPS_CQ_WITH_SGID;
  if (Context::of(context)->channel.has_rdma()) {
    device.device_caps |= EFADV_DEVICE_ATTR_CAPS_RDMA_READ | kCanRdmaWrite | kCanTakeUnsolicitedWrites;
    device.max_rdma_size = kMaxRdmaBytes;
  }
  std::memset(attributes, 0, length);
  std::memcpy(attributes, &device, std::min<size_t>(length, sizeof device));
  return 0;
}

ibv_pd* ibv_alloc_pd(ibv_context* context) {
  auto* const domain = new ibv_pd{};
  domain->context = context;
  return domain;
}

int ibv_dealloc_pd(ibv_pd* domain) {
  delete domain;
  return 0;
}

ibv_ah* ibv_create_ah(ibv_pd* domain, ibv_ah_attr* attributes) {
  Context* const context = Context::of(domain->context);
  auto handle = std::make_unique<AddressHandle>();
  static_cast<ibv_ah&>(*handle) = {};
  handle->context = domain->context;
  handle->pd = domain;
  handle->gid = gid_of(attributes->grh.dgid);
  const std::lock_guard lock(context->address_handles_mutex);
  auto& all = context->address_handles;
  Context::AddressHandles& same = all[handle->gid];
  if (same.count == 0) {
    // The lowest number that no other GID has.
    const auto is_taken = [&](uint16_t number) {
      return std::ranges::any_of(
          all, [&](const auto& item) { return item.second.count > 0 && item.second.number == number; });
    };
    same.number = 0;
    while (is_taken(same.number)) ++same.number;
  }
  ++same.count;
  handle->number = same.number;
  handle->handle = same.number;
  return handle.release();
}

int ibv_destroy_ah(ibv_ah* base) {
  auto* const handle = static_cast<AddressHandle*>(base);
  Context* const context = Context::of(handle->context);
  {
    const std::lock_guard lock(context->address_handles_mutex);
    const auto found = context->address_handles.find(handle->gid);
    if (found != context->address_handles.end() && --found->second.count == 0)
      context->address_handles.erase(found);
  }
  delete handle;
  return 0;
}

int efadv_query_ah(ibv_ah* base, efadv_ah_attr* attributes, uint32_t length) {
  std::memset(attributes, 0, length);
  attributes->ahn = static_cast<AddressHandle*>(base)->number;
  return 0;
}

}  // extern "C"
