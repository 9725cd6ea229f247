#include "address_vector.h"

#include <atomic>
#include <climits>
#include <cstring>
#include <mutex>
#include <shared_mutex>

#include "av_set.h"
#include "handle.h"
#include "shm_files.h"

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

// openAddressVector(domain, count, type, contextBits): fi_av_open(3).
Napi::Value open_address_vector(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info);
  auto domain = environment.open_shared<DomainObject>(handle_argument(info, 0));
  if (domain == nullptr) return resolved(info.Env(), kClosed);
  AvAttributes attributes = zeroed<AvAttributes>();
  attributes.attr.count = handle_argument(info, 1);
  attributes.attr.type = static_cast<fi_av_type>(handle_argument(info, 2));
  attributes.attr.rx_ctx_bits = static_cast<int>(handle_argument(info, 3));
  auto object = std::make_shared<SharedAddressVector>();
  object->domain = domain->fid;
  object->context_bits = handle_argument(info, 3);
  return environment.open_object(object, {domain}, [object, attributes]() mutable {
    return fi_av_open(object->domain, &attributes.attr, &object->fid, nullptr);
  });
}

// What became of one address.
struct Inserted {
  int32_t status = -FI_EADDRNOTAVAIL;
  fi_addr_t address = FI_ADDR_NOTAVAIL;
};

Inserted inserted_one(int count, fi_addr_t address) {
  if (count < 0) return {count};
  return count == 1 && address != FI_ADDR_NOTAVAIL ? Inserted{0, address} : Inserted{};
}

// Its number, or a negative status.
int32_t number_of(AddressVectorObject& av, const Inserted& one) {
  return one.status < 0 ? one.status : av.take(one.address);
}

// Of addresses that lie `stride` bytes apart, in the order of the results.
void note_names(AddressVectorObject& av, const std::vector<Inserted>& results,
                const std::vector<uint8_t>& bytes, size_t stride) {
  for (size_t i = 0; i < results.size(); ++i)
    if (results[i].status == 0 && results[i].address < static_cast<fi_addr_t>(AddressVectorObject::kWide))
      av.note_name(static_cast<int32_t>(results[i].address), bytes.data() + i * stride, stride);
}

Napi::Value numbers_of(Napi::Env env, AddressVectorObject& av, const std::vector<Inserted>& results) {
  auto list = Napi::Array::New(env, results.size());
  for (uint32_t i = 0; i < results.size(); ++i)
    list.Set(i, Napi::Number::New(env, number_of(av, results[i])));
  return list;
}

// On a thread of its own. -10001 where it closes meanwhile.
int insert_one(SharedAddressVector& av, const uint8_t* bytes, size_t length, Inserted* result) {
  std::vector<uint8_t> copy = padded(bytes, length);
  fi_addr_t address = FI_ADDR_NOTAVAIL;
  const int count = av.use([&] { return fi_av_insert(av.fid, copy.data(), 1, &address, 0, nullptr); });
  *result = inserted_one(count, address);
  return count == kClosed ? static_cast<int>(kClosed) : 0;
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
  auto results = std::make_shared<std::vector<Inserted>>();
  auto deferred = std::make_shared<Napi::Promise::Deferred>(info.Env());
  environment.run_blocking(
      [av, copy, stride, results] {
        for (size_t offset = 0; offset + stride <= copy->size(); offset += stride) {
          const int status = insert_one(*av, copy->data() + offset, stride, &results->emplace_back());
          if (status != 0) return status;
        }
        return 0;
      },
      [av, copy, stride, results, deferred](Environment& owner, int status) {
        if (status < 0) {
          deferred->Resolve(Napi::Number::New(owner.env(), status));
          return;
        }
        note_names(*av, *results, *copy, stride);
        deferred->Resolve(numbers_of(owner.env(), *av, *results));
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
  const int count = fi_av_insert(av->fid, copy.data(), 1, &address, 0, nullptr);
  const int32_t number = number_of(*av, inserted_one(count, address));
  av->note_name(number, bytes.Data(), bytes.ByteLength());
  return Napi::Number::New(info.Env(), number);
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
  auto result = std::make_shared<Inserted>();
  auto deferred = std::make_shared<Napi::Promise::Deferred>(info.Env());
  environment.run_blocking(
      [av, node, service, result] {
        fi_addr_t address = FI_ADDR_NOTAVAIL;
        const int count = av->use(
            [&] { return fi_av_insertsvc(av->fid, node.c_str(), service.c_str(), &address, 0, nullptr); });
        *result = inserted_one(count, address);
        return 0;
      },
      [av, deferred, result](Environment& owner, int) {
        deferred->Resolve(Napi::Number::New(owner.env(), number_of(*av, *result)));
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
  auto results = std::make_shared<std::vector<Inserted>>();
  auto deferred = std::make_shared<Napi::Promise::Deferred>(info.Env());
  environment.run_blocking(
      [av, node, nodes, service, services, results] {
        std::vector<fi_addr_t> addresses(nodes * services, FI_ADDR_NOTAVAIL);
        const int count = av->use([&] {
          return fi_av_insertsym(av->fid, node.c_str(), nodes, service.c_str(), services, addresses.data(), 0,
                                 nullptr);
        });
        for (const fi_addr_t address : addresses)
          results->push_back(inserted_one(count > 0 ? 1 : 0, address));
        return std::min(count, 0);
      },
      [av, results, deferred](Environment& owner, int status) {
        if (status < 0)
          deferred->Resolve(Napi::Number::New(owner.env(), status));
        else
          deferred->Resolve(numbers_of(owner.env(), *av, *results));
      });
  return deferred->Promise();
}

// removeAddress(av, address): fi_av_remove(3).
Napi::Value remove_address(const Napi::CallbackInfo& info) {
  auto* av = Environment::of(info).open<AddressVectorObject>(handle_argument(info, 0));
  if (av == nullptr) return Napi::Number::New(info.Env(), kClosed);
  const int32_t number = info[1].As<Napi::Number>().Int32Value();
  // What names a receive context goes with its address.
  if (!av->is_live(number) || av->base_of(number) != number)
    return Napi::Number::New(info.Env(), kNoSuchPeer);
  // A set would go on naming it.
  for (const Object* dependant : av->dependants())
    if (dependant->kind == Kind::AvSet &&
        rank_of(static_cast<const AvSetObject*>(dependant)->members, number) >= 0)
      return Napi::Number::New(info.Env(), kBusy);
  fi_addr_t address = av->address_of(number);
  const int status = fi_av_remove(av->fid, &address, 1, 0);
  if (status == 0) av->remove(number);
  return Napi::Number::New(info.Env(), status);
}

// lookupAddress(av, address): fi_av_lookup(3). The address bytes, or a negative status.
Napi::Value lookup_address(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto* av = Environment::of(info).open<AddressVectorObject>(handle_argument(info, 0));
  if (av == nullptr) return Napi::Number::New(env, kClosed);
  const int32_t number = info[1].As<Napi::Number>().Int32Value();
  if (!av->is_live(number)) return Napi::Number::New(env, kNoSuchPeer);
  const fi_addr_t address = av->address_of(av->base_of(number));
  return address_value(env, [av, address](uint8_t* bytes, size_t* length) {
    return fi_av_lookup(av->fid, address, bytes, length);
  });
}

// fabricAddress(av, address): its fi_addr_t, or a negative status.
Napi::Value fabric_address(const Napi::CallbackInfo& info) {
  auto* av = Environment::of(info).open<AddressVectorObject>(handle_argument(info, 0));
  if (av == nullptr) return Napi::Number::New(info.Env(), kClosed);
  const int32_t number = info[1].As<Napi::Number>().Int32Value();
  if (!av->is_live(number)) return Napi::Number::New(info.Env(), kNoSuchPeer);
  return u64_value(info.Env(), av->address_of(number));
}

// receiveContextAddress(av, address, index): fi_rx_addr(3). An address, or a negative status.
Napi::Value receive_context_address(const Napi::CallbackInfo& info) {
  auto* av = Environment::of(info).open<AddressVectorObject>(handle_argument(info, 0));
  if (av == nullptr) return Napi::Number::New(info.Env(), kClosed);
  const int32_t number = info[1].As<Napi::Number>().Int32Value();
  if (!av->is_live(number) || av->base_of(number) != number)
    return Napi::Number::New(info.Env(), kNoSuchPeer);
  return Napi::Number::New(info.Env(), av->take_context(number, handle_argument(info, 2)));
}

// struct fi_ops_av as of libfabric 2: what 1.17 declares, and three calls more.
struct AvOperations {
  size_t size;
  void* older[7];
  int (*insert_auth_key)(fid_av*, const void*, size_t, fi_addr_t*, uint64_t);
  int (*lookup_auth_key)(fid_av*, fi_addr_t, void*, size_t*);
  int (*set_user_id)(fid_av*, fi_addr_t, fi_addr_t, uint64_t);
};
static_assert(offsetof(AvOperations, insert_auth_key) == offsetof(fi_ops_av, av_set) + sizeof(void*));

const AvOperations* operations_of(const AddressVectorObject& av) {
  return reinterpret_cast<const AvOperations*>(av.fid->ops);
}

// As the headers of libfabric 2 have them, which 1.17's have not.
int fi_av_insert_auth_key(const AddressVectorObject& av, const void* key, size_t length, fi_addr_t* address) {
  const AvOperations* ops = operations_of(av);
  return OFI_HAS_OP(ops, AvOperations, insert_auth_key)
             ? ops->insert_auth_key(av.fid, key, length, address, 0)
             : static_cast<int>(kUnsupported);
}

int fi_av_lookup_auth_key(const AddressVectorObject& av, fi_addr_t address, void* key, size_t* length) {
  const AvOperations* ops = operations_of(av);
  return OFI_HAS_OP(ops, AvOperations, lookup_auth_key) ? ops->lookup_auth_key(av.fid, address, key, length)
                                                        : static_cast<int>(kUnsupported);
}

int fi_av_set_user_id(const AddressVectorObject& av, fi_addr_t address, fi_addr_t user_id, uint64_t flags) {
  const AvOperations* ops = operations_of(av);
  return OFI_HAS_OP(ops, AvOperations, set_user_id) ? ops->set_user_id(av.fid, address, user_id, flags)
                                                    : static_cast<int>(kUnsupported);
}

// insertAuthKey(av, bytes): fi_av_insert_auth_key(3). An address, or a negative status.
Napi::Value insert_auth_key(const Napi::CallbackInfo& info) {
  auto* av = Environment::of(info).open<AddressVectorObject>(handle_argument(info, 0));
  if (av == nullptr) return Napi::Number::New(info.Env(), kClosed);
  const auto bytes = info[1].As<Napi::Uint8Array>();
  fi_addr_t address = FI_ADDR_NOTAVAIL;
  const int status = fi_av_insert_auth_key(*av, bytes.Data(), bytes.ByteLength(), &address);
  return Napi::Number::New(info.Env(), status == 0 ? av->take(address) : status);
}

// lookupAuthKey(av, address): fi_av_lookup_auth_key(3). The key's bytes, or a negative status.
Napi::Value lookup_auth_key(const Napi::CallbackInfo& info) {
  auto* av = Environment::of(info).open<AddressVectorObject>(handle_argument(info, 0));
  if (av == nullptr) return Napi::Number::New(info.Env(), kClosed);
  const int32_t number = info[1].As<Napi::Number>().Int32Value();
  if (!av->is_live(number)) return Napi::Number::New(info.Env(), kNoSuchPeer);
  return address_value(info.Env(), [av, number](uint8_t* bytes, size_t* length) {
    return fi_av_lookup_auth_key(*av, av->address_of(number), bytes, length);
  });
}

// setUserId(av, address, id, flags): fi_av_set_user_id(3). A status.
Napi::Value set_user_id(const Napi::CallbackInfo& info) {
  auto* av = Environment::of(info).open<AddressVectorObject>(handle_argument(info, 0));
  if (av == nullptr) return Napi::Number::New(info.Env(), kClosed);
  const int32_t number = info[1].As<Napi::Number>().Int32Value();
  if (!av->is_live(number)) return Napi::Number::New(info.Env(), kNoSuchPeer);
  bool lossless = false;
  const uint64_t id = info[2].As<Napi::BigInt>().Uint64Value(&lossless);
  const uint64_t flags = info[3].As<Napi::BigInt>().Uint64Value(&lossless);
  return Napi::Number::New(info.Env(), fi_av_set_user_id(*av, av->address_of(number), id, flags));
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

int32_t AddressVectorObject::take_wide(fi_addr_t address, int32_t base) {
  const auto known = wide_numbers.find(address);
  const size_t place = known != wide_numbers.end() ? static_cast<size_t>(known->second - kWide) : wide.size();
  if (place >= static_cast<size_t>(kWide)) return -FI_ENOMEM;
  const auto number = static_cast<int32_t>(place) + kWide;
  if (known == wide_numbers.end()) {
    wide.push_back({});
    wide_numbers.emplace(address, number);
  }
  wide[place] = {address, base < 0 ? number : base, true};
  senders->add(address, number);
  return number;
}

int32_t AddressVectorObject::take(fi_addr_t address) {
  if (address >= static_cast<fi_addr_t>(kWide)) return take_wide(address, -1);
  const auto place = static_cast<size_t>(address);
  if (place >= live.size()) live.resize(place + 1, 0);
  live[place] = 1;
  return static_cast<int32_t>(address);
}

int32_t AddressVectorObject::take_context(int32_t base, uint32_t index) {
  if (context_bits == 0 || index >= (1U << context_bits)) return -FI_EINVAL;
  const fi_addr_t address =
      fi_rx_addr(address_of(base), static_cast<int>(index), static_cast<int>(context_bits));
  // The first of them is the address itself.
  return address == address_of(base) ? base : take_wide(address, base);
}

void AddressVectorObject::note_name(int32_t address, const uint8_t* bytes, size_t length) {
  if (address < 0 || address >= kWide) return;
  const std::string name(reinterpret_cast<const char*>(bytes),
                         strnlen(reinterpret_cast<const char*>(bytes), length));
  if (!ShmLock::is_name(name)) return;
  const auto place = static_cast<size_t>(address);
  if (place >= shm_peers_.size()) shm_peers_.resize(place + 1);
  shm_peers_[place] = {name, ShmLock::of(kShmDirectory, name)};
}

// It may be told of before its file is there.
bool AddressVectorObject::is_free(ShmPeer& peer, LookAgain again) {
  if (peer.lock == nullptr && !peer.name.empty()) peer.lock = ShmLock::of(kShmDirectory, peer.name);
  if (peer.lock == nullptr) return true;
  peer.lock->prefetch();
  return peer.lock->becomes_free(again);
}

void AddressVectorObject::remove(int32_t address) {
  if (address < kWide) live[static_cast<size_t>(address)] = 0;
  if (static_cast<size_t>(address) < shm_peers_.size()) shm_peers_[static_cast<size_t>(address)] = {};
  for (WideAddress& other : wide) {
    if (other.base != address) continue;
    other.live = false;
    senders->remove(other.address);
  }
}

void register_address_vector(Napi::Object exports, Environment* environment) {
  define(exports, "openAddressVector", open_address_vector, environment);
  define(exports, "insertAddresses", insert_addresses, environment);
  define(exports, "insertAddress", insert_address, environment);
  define(exports, "insertService", insert_service, environment);
  define(exports, "insertSymmetric", insert_symmetric, environment);
  define(exports, "removeAddress", remove_address, environment);
  define(exports, "lookupAddress", lookup_address, environment);
  define(exports, "addressText", address_text, environment);
  define(exports, "insertAuthKey", insert_auth_key, environment);
  define(exports, "lookupAuthKey", lookup_auth_key, environment);
  define(exports, "setUserId", set_user_id, environment);
  define(exports, "fabricAddress", fabric_address, environment);
  define(exports, "receiveContextAddress", receive_context_address, environment);
}

}  // namespace ofi
