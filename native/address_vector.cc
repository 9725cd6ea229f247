#include "address_vector.h"

#include <atomic>
#include <climits>
#include <mutex>
#include <shared_mutex>

#include "av_set.h"
#include "handle.h"

namespace ofi {

namespace {

std::vector<uint8_t> padded(const uint8_t* bytes, size_t length) {
  std::vector<uint8_t> copy(bytes, bytes + length);
  copy.resize(std::max(length + 1, kLongestAddress), 0);
  return copy;
}

// What is opened here: addresses are inserted on threads of their own too, which a close waits for.
class SharedAddressVector : public AddressVectorObject {
 public:
  void before_close() override { closing_.store(true); }
  int close_blocking() override {
    const std::unique_lock<std::shared_mutex> alone(use_);
    const int status = FidObject::close_blocking();
    // It may be tried again.
    if (status != 0) closing_.store(false);
    return status;
  }
  // Unless it closes: what `work` answers.
  template <typename Work>
  int use(Work work) {
    const std::shared_lock<std::shared_mutex> held(use_);
    return closing_.load() ? kClosed : work();
  }

 private:
  std::atomic<bool> closing_{false};
  std::shared_mutex use_;
};

std::shared_ptr<SharedAddressVector> shared_vector(const Napi::CallbackInfo& info) {
  return std::static_pointer_cast<SharedAddressVector>(
      Environment::of(info).open_shared<AddressVectorObject>(handle_argument(info, 0)));
}

// openAddressVector(domain, count): fi_av_open(3), always FI_AV_TABLE: its addresses are small integers.
Napi::Value open_address_vector(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto domain = environment.open_shared<DomainObject>(handle_argument(info, 0));
  if (domain == nullptr) return resolved(info.Env(), kClosed);
  const uint32_t count = handle_argument(info, 1);
  auto object = std::make_shared<SharedAddressVector>();
  object->domain = domain->fid;
  return environment.open_object(object, {domain}, [object, count] {
    AvAttributes attributes = zeroed<AvAttributes>();
    attributes.attr.type = FI_AV_TABLE;
    attributes.attr.count = count;
    return fi_av_open(object->domain, &attributes.attr, &object->fid, nullptr);
  });
}

// insertAddresses(av, bytes, stride): fi_av_insert(3) for the address at each multiple of the stride, one at a time from
// a private copy, since EFA stops at the first failure and writes into the caller's buffer. Resolves with an array: an
// address, or a negative status, each.
Napi::Value insert_addresses(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto av = shared_vector(info);
  if (av == nullptr) return resolved(info.Env(), kClosed);
  const auto bytes = info[1].As<Napi::Uint8Array>();
  const size_t stride = handle_argument(info, 2);
  auto copy = std::make_shared<std::vector<uint8_t>>(bytes.Data(), bytes.Data() + bytes.ByteLength());
  auto results = std::make_shared<std::vector<int32_t>>();
  auto deferred = std::make_shared<Napi::Promise::Deferred>(info.Env());
  environment.run_blocking(
      [av, copy, stride, results] {
        for (size_t offset = 0; offset + stride <= copy->size(); offset += stride) {
          fi_addr_t address = FI_ADDR_NOTAVAIL;
          std::vector<uint8_t> one = padded(copy->data() + offset, stride);
          const int inserted =
              av->use([&] { return fi_av_insert(av->fid, one.data(), 1, &address, 0, nullptr); });
          if (inserted == kClosed) return static_cast<int>(kClosed);
          if (inserted == 1 && address <= INT32_MAX)
            results->push_back(static_cast<int32_t>(address));
          else
            results->push_back(inserted < 0 ? inserted : -FI_EADDRNOTAVAIL);
        }
        return 0;
      },
      [av, results, deferred](Environment& owner, int status) {
        if (status < 0) {
          deferred->Resolve(Napi::Number::New(owner.env(), status));
          return;
        }
        auto list = Napi::Array::New(owner.env(), results->size());
        for (uint32_t i = 0; i < results->size(); ++i) {
          if ((*results)[i] >= 0) av->set_live((*results)[i], true);
          list.Set(i, Napi::Number::New(owner.env(), (*results)[i]));
        }
        deferred->Resolve(list);
      });
  return deferred->Promise();
}

// insertAddress(av, bytes): the same for one address, at once. fi_av_insert of one address does not block.
Napi::Value insert_address(const Napi::CallbackInfo& info) {
  auto* av = Environment::of(info).open<AddressVectorObject>(handle_argument(info, 0));
  if (av == nullptr) return Napi::Number::New(info.Env(), kClosed);
  const auto bytes = info[1].As<Napi::Uint8Array>();
  std::vector<uint8_t> copy = padded(bytes.Data(), bytes.ByteLength());
  fi_addr_t address = FI_ADDR_NOTAVAIL;
  const int inserted = fi_av_insert(av->fid, copy.data(), 1, &address, 0, nullptr);
  if (inserted != 1 || address > INT32_MAX)
    return Napi::Number::New(info.Env(), inserted < 0 ? inserted : -FI_EADDRNOTAVAIL);
  av->set_live(static_cast<int32_t>(address), true);
  return Napi::Number::New(info.Env(), static_cast<int32_t>(address));
}

std::vector<int32_t> inserted_addresses(const std::vector<fi_addr_t>& addresses, int count) {
  std::vector<int32_t> list;
  for (const fi_addr_t address : addresses) {
    const bool is_there = count > 0 && address <= INT32_MAX;
    list.push_back(is_there ? static_cast<int32_t>(address) : -FI_EADDRNOTAVAIL);
  }
  return list;
}

// insertService(av, node, service): fi_av_insertsvc(3), which may ask a name server. Resolves with an address, or a
// negative status.
Napi::Value insert_service(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto av = shared_vector(info);
  if (av == nullptr) return resolved(info.Env(), kClosed);
  if (!OFI_HAS_OP(av->fid->ops, fi_ops_av, insertsvc)) return resolved(info.Env(), kUnsupported);
  const std::string node = info[1].As<Napi::String>().Utf8Value();
  const std::string service = info[2].As<Napi::String>().Utf8Value();
  auto deferred = std::make_shared<Napi::Promise::Deferred>(info.Env());
  environment.run_blocking(
      [av, node, service]() -> int {
        fi_addr_t address = FI_ADDR_NOTAVAIL;
        const int count = av->use(
            [&] { return fi_av_insertsvc(av->fid, node.c_str(), service.c_str(), &address, 0, nullptr); });
        if (count < 0) return count;
        return count == 1 && address <= INT32_MAX ? static_cast<int>(address) : -FI_EADDRNOTAVAIL;
      },
      [av, deferred](Environment& owner, int status) {
        if (status >= 0) av->set_live(status, true);
        deferred->Resolve(Napi::Number::New(owner.env(), status));
      });
  return deferred->Promise();
}

// insertSymmetric(av, node, nodes, service, services): fi_av_insertsym(3). Resolves with an array as insertAddresses, or a
// negative status.
Napi::Value insert_symmetric(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto av = shared_vector(info);
  if (av == nullptr) return resolved(info.Env(), kClosed);
  if (!OFI_HAS_OP(av->fid->ops, fi_ops_av, insertsym)) return resolved(info.Env(), kUnsupported);
  const std::string node = info[1].As<Napi::String>().Utf8Value();
  const size_t nodes = handle_argument(info, 2);
  const std::string service = info[3].As<Napi::String>().Utf8Value();
  const size_t services = handle_argument(info, 4);
  auto results = std::make_shared<std::vector<int32_t>>();
  auto deferred = std::make_shared<Napi::Promise::Deferred>(info.Env());
  environment.run_blocking(
      [av, node, nodes, service, services, results] {
        std::vector<fi_addr_t> addresses(nodes * services, FI_ADDR_NOTAVAIL);
        const int count = av->use([&] {
          return fi_av_insertsym(av->fid, node.c_str(), nodes, service.c_str(), services, addresses.data(), 0,
                                 nullptr);
        });
        *results = inserted_addresses(addresses, count);
        return std::min(count, 0);
      },
      [av, results, deferred](Environment& owner, int status) {
        if (status < 0) {
          deferred->Resolve(Napi::Number::New(owner.env(), status));
          return;
        }
        auto list = Napi::Array::New(owner.env(), results->size());
        for (uint32_t i = 0; i < results->size(); ++i) {
          if ((*results)[i] >= 0) av->set_live((*results)[i], true);
          list.Set(i, Napi::Number::New(owner.env(), (*results)[i]));
        }
        deferred->Resolve(list);
      });
  return deferred->Promise();
}

// removeAddress(av, address): fi_av_remove(3).
Napi::Value remove_address(const Napi::CallbackInfo& info) {
  auto* av = Environment::of(info).open<AddressVectorObject>(handle_argument(info, 0));
  if (av == nullptr) return Napi::Number::New(info.Env(), kClosed);
  const int32_t index = info[1].As<Napi::Number>().Int32Value();
  if (!av->is_live(index)) return Napi::Number::New(info.Env(), kNoSuchPeer);
  // A set would go on naming it.
  for (const Object* dependant : av->dependants())
    if (dependant->kind == Kind::AvSet &&
        rank_of(static_cast<const AvSetObject*>(dependant)->members, index) >= 0)
      return Napi::Number::New(info.Env(), kBusy);
  fi_addr_t address = static_cast<fi_addr_t>(index);
  const int status = fi_av_remove(av->fid, &address, 1, 0);
  if (status == 0) av->set_live(index, false);
  return Napi::Number::New(info.Env(), status);
}

// lookupAddress(av, address): fi_av_lookup(3). The address bytes, or a negative status.
Napi::Value lookup_address(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto* av = Environment::of(info).open<AddressVectorObject>(handle_argument(info, 0));
  if (av == nullptr) return Napi::Number::New(env, kClosed);
  const int32_t index = info[1].As<Napi::Number>().Int32Value();
  if (!av->is_live(index)) return Napi::Number::New(env, kNoSuchPeer);
  return address_value(env, [av, index](uint8_t* bytes, size_t* length) {
    return fi_av_lookup(av->fid, static_cast<fi_addr_t>(index), bytes, length);
  });
}

// addressText(av, bytes): fi_av_straddr(3).
Napi::Value address_text(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto* av = Environment::of(info).open<AddressVectorObject>(handle_argument(info, 0));
  if (av == nullptr) return Napi::Number::New(env, kClosed);
  const auto bytes = info[1].As<Napi::Uint8Array>();
  std::vector<uint8_t> copy = padded(bytes.Data(), bytes.ByteLength());
  std::array<char, 512> text{};
  size_t length = text.size();
  fi_av_straddr(av->fid, copy.data(), text.data(), &length);
  text.back() = '\0';
  return Napi::String::New(env, text.data());
}

}  // namespace

void register_address_vector(Napi::Object exports, Environment* environment) {
  define(exports, "openAddressVector", open_address_vector, environment);
  define(exports, "insertAddresses", insert_addresses, environment);
  define(exports, "insertAddress", insert_address, environment);
  define(exports, "insertService", insert_service, environment);
  define(exports, "insertSymmetric", insert_symmetric, environment);
  define(exports, "removeAddress", remove_address, environment);
  define(exports, "lookupAddress", lookup_address, environment);
  define(exports, "addressText", address_text, environment);
}

}  // namespace ofi
