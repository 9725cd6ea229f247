#include "address_vector.h"

#include <climits>

#include "handle.h"

namespace ofi {

namespace {

// openAddressVector(domain, count): fi_av_open(3), always FI_AV_TABLE: its addresses are small integers.
Napi::Value open_address_vector(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto domain = environment.open_shared<DomainObject>(handle_argument(info, 0));
  if (domain == nullptr) return resolved(info.Env(), kClosed);
  const uint32_t count = handle_argument(info, 1);
  auto object = std::make_shared<AddressVectorObject>();
  object->domain = domain->fid;
  return environment.open_object(object, {domain}, [object, count] {
    AvAttributes attributes = zeroed<AvAttributes>();
    attributes.attr.type = FI_AV_TABLE;
    attributes.attr.count = count;
    return fi_av_open(object->domain, &attributes.attr, &object->fid, nullptr);
  });
}

// insertAddresses(av, bytes, addressLength): fi_av_insert(3), one at a time from a private copy, since EFA stops at the
// first failure and writes into the caller's buffer. Resolves with an array: an address, or a negative status, each.
Napi::Value insert_addresses(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto av = environment.open_shared<AddressVectorObject>(handle_argument(info, 0));
  if (av == nullptr) return resolved(info.Env(), kClosed);
  const auto bytes = info[1].As<Napi::Uint8Array>();
  const size_t length = handle_argument(info, 2);
  auto copy = std::make_shared<std::vector<uint8_t>>(bytes.Data(), bytes.Data() + bytes.ByteLength());
  auto results = std::make_shared<std::vector<int32_t>>();
  auto deferred = std::make_shared<Napi::Promise::Deferred>(info.Env());
  environment.run_blocking(
      [av, copy, length, results] {
        for (size_t offset = 0; offset + length <= copy->size(); offset += length) {
          fi_addr_t address = FI_ADDR_NOTAVAIL;
          const int inserted = fi_av_insert(av->fid, copy->data() + offset, 1, &address, 0, nullptr);
          if (inserted == 1 && address <= INT32_MAX)
            results->push_back(static_cast<int32_t>(address));
          else
            results->push_back(inserted < 0 ? inserted : -FI_EADDRNOTAVAIL);
        }
        return 0;
      },
      [av, results, deferred](Environment& owner, int) {
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
  std::vector<uint8_t> copy(bytes.Data(), bytes.Data() + bytes.ByteLength());
  fi_addr_t address = FI_ADDR_NOTAVAIL;
  const int inserted = fi_av_insert(av->fid, copy.data(), 1, &address, 0, nullptr);
  if (inserted != 1 || address > INT32_MAX)
    return Napi::Number::New(info.Env(), inserted < 0 ? inserted : -FI_EADDRNOTAVAIL);
  av->set_live(static_cast<int32_t>(address), true);
  return Napi::Number::New(info.Env(), static_cast<int32_t>(address));
}

// removeAddress(av, address): fi_av_remove(3).
Napi::Value remove_address(const Napi::CallbackInfo& info) {
  auto* av = Environment::of(info).open<AddressVectorObject>(handle_argument(info, 0));
  if (av == nullptr) return Napi::Number::New(info.Env(), kClosed);
  const int32_t index = info[1].As<Napi::Number>().Int32Value();
  if (!av->is_live(index)) return Napi::Number::New(info.Env(), kNoSuchPeer);
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
  std::array<uint8_t, 512> bytes{};
  size_t length = bytes.size();
  const int status = fi_av_lookup(av->fid, static_cast<fi_addr_t>(index), bytes.data(), &length);
  if (status != 0) return Napi::Number::New(env, status);
  length = std::min(length, bytes.size());
  auto buffer = Napi::ArrayBuffer::New(env, length);
  std::memcpy(buffer.Data(), bytes.data(), length);
  return Napi::Uint8Array::New(env, length, buffer, 0);
}

// addressText(av, bytes): fi_av_straddr(3).
Napi::Value address_text(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto* av = Environment::of(info).open<AddressVectorObject>(handle_argument(info, 0));
  if (av == nullptr) return Napi::Number::New(env, kClosed);
  const auto bytes = info[1].As<Napi::Uint8Array>();
  // Providers read a whole address structure, whatever was given.
  std::vector<uint8_t> copy(bytes.Data(), bytes.Data() + bytes.ByteLength());
  copy.resize(std::max<size_t>(copy.size(), 256), 0);
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
  define(exports, "removeAddress", remove_address, environment);
  define(exports, "lookupAddress", lookup_address, environment);
  define(exports, "addressText", address_text, environment);
}

}  // namespace ofi
