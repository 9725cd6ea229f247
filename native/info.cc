#include "info.h"

#include <algorithm>
#include <cstdlib>

#include "control_turn.h"
#include "handle.h"

namespace ofi {

namespace {

constexpr napi_type_tag kInfoTag = {0x6c696266'61627269ULL, 0x63000000'696e666fULL};

char* copy_text(const std::string& text) { return text.empty() ? nullptr : strdup(text.c_str()); }

// A copy that the hints own, with zeros behind it: providers read a whole address structure, whatever was given.
void copy_address(const Napi::Object& from, const char* name, void*& address, size_t& length) {
  const Napi::Value value = from.Get(name);
  if (!value.IsTypedArray()) return;
  const auto bytes = value.As<Napi::Uint8Array>();
  void* copy = calloc(1, std::max<size_t>(bytes.ByteLength() + 1, kLongestAddress));
  if (copy == nullptr) return;
  std::memcpy(copy, bytes.Data(), bytes.ByteLength());
  address = copy;
  length = bytes.ByteLength();
}

void fill_hints(fi_info* hints, const Napi::Object& from) {
  hints->caps = u64_member(from, "caps");
  hints->mode = u64_member(from, "mode");
  hints->addr_format = static_cast<uint32_t>(u64_member(from, "addressFormat"));
  copy_address(from, "sourceAddress", hints->src_addr, hints->src_addrlen);
  copy_address(from, "destinationAddress", hints->dest_addr, hints->dest_addrlen);
  hints->ep_attr->type = static_cast<fi_ep_type>(u64_member(from, "endpointType"));
  hints->ep_attr->protocol = static_cast<uint32_t>(u64_member(from, "protocol"));
  hints->ep_attr->max_msg_size = u64_member(from, "maxMessageSize");
  hints->ep_attr->mem_tag_format = u64_member(from, "tagFormat");
  hints->ep_attr->tx_ctx_cnt = u64_member(from, "transmitContexts");
  hints->ep_attr->rx_ctx_cnt = u64_member(from, "receiveContexts");
  hints->tx_attr->msg_order = u64_member(from, "transmitOrder");
  hints->tx_attr->comp_order = u64_member(from, "transmitCompletionOrder");
  hints->tx_attr->op_flags = u64_member(from, "transmitFlags");
  hints->tx_attr->size = u64_member(from, "transmitSize");
  hints->tx_attr->inject_size = u64_member(from, "injectSize");
  hints->tx_attr->iov_limit = u64_member(from, "transmitIovLimit");
  hints->tx_attr->rma_iov_limit = u64_member(from, "rmaIovLimit");
  hints->rx_attr->msg_order = u64_member(from, "receiveOrder");
  hints->rx_attr->comp_order = u64_member(from, "receiveCompletionOrder");
  hints->rx_attr->op_flags = u64_member(from, "receiveFlags");
  hints->rx_attr->size = u64_member(from, "receiveSize");
  hints->rx_attr->iov_limit = u64_member(from, "receiveIovLimit");
  hints->domain_attr->threading = static_cast<fi_threading>(u64_member(from, "threading"));
  hints->domain_attr->control_progress = static_cast<fi_progress>(u64_member(from, "controlProgress"));
  hints->domain_attr->data_progress = static_cast<fi_progress>(u64_member(from, "dataProgress"));
  hints->domain_attr->resource_mgmt = static_cast<fi_resource_mgmt>(u64_member(from, "resourceManagement"));
  hints->domain_attr->av_type = static_cast<fi_av_type>(u64_member(from, "addressVectorType"));
  hints->domain_attr->mr_mode = static_cast<int>(u64_member(from, "memoryMode"));
  hints->domain_attr->cq_data_size = u64_member(from, "immediateSize");
  hints->domain_attr->name = copy_text(text_member(from, "domainName"));
  hints->fabric_attr->name = copy_text(text_member(from, "fabricName"));
  hints->fabric_attr->prov_name = copy_text(text_member(from, "providerName"));
}

Napi::Value text_value(Napi::Env env, const char* text) {
  return text != nullptr ? Napi::String::New(env, text).As<Napi::Value>() : env.Undefined();
}

Napi::Value address_bytes(Napi::Env env, const void* address, size_t length) {
  if (address == nullptr || length == 0) return env.Undefined();
  auto buffer = Napi::ArrayBuffer::New(env, length);
  std::memcpy(buffer.Data(), address, length);
  return Napi::Uint8Array::New(env, length, buffer, 0);
}

Napi::Object transmit_object(Napi::Env env, const fi_tx_attr& attr) {
  auto object = Napi::Object::New(env);
  object.Set("caps", u64_value(env, attr.caps));
  object.Set("mode", u64_value(env, attr.mode));
  object.Set("flags", u64_value(env, attr.op_flags));
  object.Set("messageOrder", u64_value(env, attr.msg_order));
  object.Set("completionOrder", u64_value(env, attr.comp_order));
  object.Set("injectSize", size_value(env, attr.inject_size));
  object.Set("size", size_value(env, attr.size));
  object.Set("iovLimit", size_value(env, attr.iov_limit));
  object.Set("rmaIovLimit", size_value(env, attr.rma_iov_limit));
  object.Set("trafficClass", Napi::Number::New(env, attr.tclass));
  return object;
}

Napi::Object receive_object(Napi::Env env, const fi_rx_attr& attr) {
  auto object = Napi::Object::New(env);
  object.Set("caps", u64_value(env, attr.caps));
  object.Set("mode", u64_value(env, attr.mode));
  object.Set("flags", u64_value(env, attr.op_flags));
  object.Set("messageOrder", u64_value(env, attr.msg_order));
  object.Set("completionOrder", u64_value(env, attr.comp_order));
  object.Set("totalBufferedReceive", size_value(env, attr.total_buffered_recv));
  object.Set("size", size_value(env, attr.size));
  object.Set("iovLimit", size_value(env, attr.iov_limit));
  return object;
}

// FI_SHARED_CONTEXT, which no number holds exactly, as a bigint.
Napi::Value contexts_value(Napi::Env env, size_t count) {
  return count == FI_SHARED_CONTEXT ? u64_value(env, count) : size_value(env, count);
}

Napi::Object endpoint_object(Napi::Env env, const fi_ep_attr& attr) {
  auto object = Napi::Object::New(env);
  object.Set("type", Napi::Number::New(env, attr.type));
  object.Set("protocol", Napi::Number::New(env, attr.protocol));
  object.Set("protocolVersion", Napi::Number::New(env, attr.protocol_version));
  object.Set("maxMessageSize", size_value(env, attr.max_msg_size));
  object.Set("messagePrefixSize", size_value(env, attr.msg_prefix_size));
  object.Set("maxOrderRawSize", size_value(env, attr.max_order_raw_size));
  object.Set("maxOrderWarSize", size_value(env, attr.max_order_war_size));
  object.Set("maxOrderWawSize", size_value(env, attr.max_order_waw_size));
  object.Set("tagFormat", u64_value(env, attr.mem_tag_format));
  object.Set("transmitContexts", contexts_value(env, attr.tx_ctx_cnt));
  object.Set("receiveContexts", contexts_value(env, attr.rx_ctx_cnt));
  return object;
}

Napi::Object domain_object(Napi::Env env, const fi_domain_attr& attr) {
  auto object = Napi::Object::New(env);
  object.Set("name", text_value(env, attr.name));
  object.Set("threading", Napi::Number::New(env, attr.threading));
  object.Set("controlProgress", Napi::Number::New(env, attr.control_progress));
  object.Set("dataProgress", Napi::Number::New(env, attr.data_progress));
  object.Set("resourceManagement", Napi::Number::New(env, attr.resource_mgmt));
  object.Set("addressVectorType", Napi::Number::New(env, attr.av_type));
  object.Set("memoryMode", Napi::Number::New(env, attr.mr_mode));
  object.Set("memoryKeySize", size_value(env, attr.mr_key_size));
  object.Set("immediateSize", size_value(env, attr.cq_data_size));
  object.Set("completionQueues", size_value(env, attr.cq_cnt));
  object.Set("endpoints", size_value(env, attr.ep_cnt));
  object.Set("transmitContexts", size_value(env, attr.tx_ctx_cnt));
  object.Set("receiveContexts", size_value(env, attr.rx_ctx_cnt));
  object.Set("maxEndpointTransmitContexts", size_value(env, attr.max_ep_tx_ctx));
  object.Set("maxEndpointReceiveContexts", size_value(env, attr.max_ep_rx_ctx));
  object.Set("counters", size_value(env, attr.cntr_cnt));
  object.Set("memoryRegionIovLimit", size_value(env, attr.mr_iov_limit));
  object.Set("caps", u64_value(env, attr.caps));
  object.Set("mode", u64_value(env, attr.mode));
  object.Set("maxErrorData", size_value(env, attr.max_err_data));
  object.Set("memoryRegions", size_value(env, attr.mr_cnt));
  object.Set("trafficClass", Napi::Number::New(env, attr.tclass));
  return object;
}

Napi::Value nic_value(Napi::Env env, const fid_nic* nic) {
  if (nic == nullptr) return env.Undefined();
  auto object = Napi::Object::New(env);
  if (const fi_device_attr* device = nic->device_attr; device != nullptr) {
    object.Set("device", text_value(env, device->name));
    object.Set("deviceId", text_value(env, device->device_id));
    object.Set("deviceVersion", text_value(env, device->device_version));
    object.Set("vendorId", text_value(env, device->vendor_id));
    object.Set("driver", text_value(env, device->driver));
    object.Set("firmware", text_value(env, device->firmware));
  }
  if (const fi_bus_attr* bus = nic->bus_attr; bus != nullptr && bus->bus_type == FI_BUS_PCI) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%04x:%02x:%02x.%x", bus->attr.pci.domain_id,
                  bus->attr.pci.bus_id, bus->attr.pci.device_id, bus->attr.pci.function_id);
    object.Set("pciAddress", Napi::String::New(env, text.data()));
  }
  if (const fi_link_attr* link = nic->link_attr; link != nullptr) {
    object.Set("linkAddress", text_value(env, link->address));
    object.Set("mtu", size_value(env, link->mtu));
    object.Set("speedBitsPerSecond", size_value(env, link->speed));
    object.Set("linkState", Napi::Number::New(env, link->state));
    object.Set("networkType", text_value(env, link->network_type));
  }
  return object;
}

Napi::Value info_external(Napi::Env env, const fi_info* info) {
  fi_info* copy = library().dupinfo(info);
  if (copy == nullptr) return env.Undefined();
  auto* shared = new std::shared_ptr<fi_info>(copy, InfoDeleter());
  auto external = Napi::External<std::shared_ptr<fi_info>>::New(
      env, shared, [](Napi::BasicEnv, std::shared_ptr<fi_info>* pointer) { delete pointer; });
  external.TypeTag(&kInfoTag);
  return external;
}

// getInfo(hints | undefined, node, service, flags): an array of infos, or a negative status.
Napi::Value get_info(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  const Napi::Env env = info.Env();
  if (!library().available || environment.is_shut_down()) return resolved(env, kUnavailable);
  std::shared_ptr<fi_info> hints;
  if (info[0].IsObject()) {
    hints = std::shared_ptr<fi_info>(library().dupinfo(nullptr), InfoDeleter());
    if (hints == nullptr) return resolved(env, -FI_ENOMEM);
    fill_hints(hints.get(), info[0].As<Napi::Object>());
  }
  const std::string node = info[1].IsString() ? info[1].As<Napi::String>().Utf8Value() : "";
  const std::string service = info[2].IsString() ? info[2].As<Napi::String>().Utf8Value() : "";
  bool lossless = false;
  const uint64_t flags = info[3].IsBigInt() ? info[3].As<Napi::BigInt>().Uint64Value(&lossless) : 0;
  auto result = std::make_shared<InfoPointer>();
  auto deferred = std::make_shared<Napi::Promise::Deferred>(env);
  environment.run_blocking(
      [hints, node, service, flags, result] {
        const ControlTurn turn;
        const SignalGuard guard;
        fi_info* chain = nullptr;
        const int status =
            library().getinfo(library().api_version, node.empty() ? nullptr : node.c_str(),
                              service.empty() ? nullptr : service.c_str(), flags, hints.get(), &chain);
        if (status == 0) result->reset(chain);
        return status;
      },
      [result, deferred](Environment& owner, int status) {
        const Napi::Env inner = owner.env();
        if (status != 0) {
          deferred->Resolve(Napi::Number::New(inner, status));
          return;
        }
        auto list = Napi::Array::New(inner);
        uint32_t index = 0;
        for (const fi_info* entry = result->get(); entry != nullptr; entry = entry->next)
          list.Set(index++, info_object(inner, entry));
        deferred->Resolve(list);
      });
  return deferred->Promise();
}

}  // namespace

Napi::Object info_object(Napi::Env env, const fi_info* info) {
  auto object = Napi::Object::New(env);
  object.Set("native", info_external(env, info));
  object.Set("caps", u64_value(env, info->caps));
  object.Set("mode", u64_value(env, info->mode));
  object.Set("addressFormat", Napi::Number::New(env, info->addr_format));
  object.Set("sourceAddress", address_bytes(env, info->src_addr, info->src_addrlen));
  object.Set("destinationAddress", address_bytes(env, info->dest_addr, info->dest_addrlen));
  if (info->tx_attr != nullptr) object.Set("transmit", transmit_object(env, *info->tx_attr));
  if (info->rx_attr != nullptr) object.Set("receive", receive_object(env, *info->rx_attr));
  if (info->ep_attr != nullptr) object.Set("endpoint", endpoint_object(env, *info->ep_attr));
  if (info->domain_attr != nullptr) object.Set("domain", domain_object(env, *info->domain_attr));
  if (const fi_fabric_attr* fabric = info->fabric_attr; fabric != nullptr) {
    auto attributes = Napi::Object::New(env);
    attributes.Set("name", text_value(env, fabric->name));
    attributes.Set("provider", text_value(env, fabric->prov_name));
    attributes.Set("providerVersion", Napi::Number::New(env, fabric->prov_version));
    attributes.Set("apiVersion", Napi::Number::New(env, fabric->api_version));
    object.Set("fabric", attributes);
  }
  object.Set("nic", nic_value(env, info->nic));
  return object;
}

std::shared_ptr<fi_info> info_of(const Napi::Value& value) {
  if (!value.IsExternal()) return nullptr;
  auto external = value.As<Napi::External<std::shared_ptr<fi_info>>>();
  return external.CheckTypeTag(&kInfoTag) ? *external.Data() : nullptr;
}

void register_info(Napi::Object exports, Environment* environment) {
  define(exports, "getInfo", get_info, environment);
}

}  // namespace ofi
