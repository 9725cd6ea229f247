#include "object.h"

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "harness.h"

using ofi::FidObject;
using ofi::Kind;
using ofi::Object;

namespace {

// A fid that notes its fi_close.
struct StandInFid {
  fid_domain domain{};
  std::vector<std::string>* log = nullptr;
  std::string name;
  int answer = 0;

  explicit StandInFid(std::vector<std::string>* log, std::string name) : log(log), name(std::move(name)) {
    domain.fid.ops = &ops;
  }

  static int close(fid* closed) {
    auto* self = reinterpret_cast<StandInFid*>(closed);
    self->log->push_back(self->name);
    return self->answer;
  }
  inline static fi_ops ops = {.size = sizeof(fi_ops), .close = close};
};

using TestObject = FidObject<fid_domain>;

std::shared_ptr<TestObject> make(StandInFid& fid) {
  auto object = std::make_shared<TestObject>(Kind::Domain, "Domain");
  object->fid = &fid.domain;
  return object;
}

}  // namespace

TEST(parent_knows_its_dependants_until_they_detach) {
  auto parent = std::make_shared<Object>(Kind::Fabric, "Fabric");
  auto first = std::make_shared<Object>(Kind::Domain, "Domain");
  auto second = std::make_shared<Object>(Kind::EventQueue, "EventQueue");
  CHECK(parent->dependants().empty());
  first->depend_on(parent);
  second->depend_on(parent);
  CHECK(parent->dependants() == (std::vector<Object*>{first.get(), second.get()}));
  first->detach_all();
  CHECK(parent->dependants() == std::vector<Object*>{second.get()});
  CHECK(first->parents().empty());
  first->detach_all();
  CHECK_EQ(parent->dependants().size(), 1U);
  second->detach_all();
  CHECK(parent->dependants().empty());
}

TEST(endpoint_depends_on_whatever_it_is_bound_to) {
  auto domain = std::make_shared<Object>(Kind::Domain, "Domain");
  auto queue = std::make_shared<Object>(Kind::CompletionQueue, "CompletionQueue");
  auto endpoint = std::make_shared<Object>(Kind::Endpoint, "Endpoint");
  queue->depend_on(domain);
  endpoint->depend_on(domain);
  endpoint->depend_on(queue);  // bound for transmit
  endpoint->depend_on(queue);  // and for receive
  CHECK_EQ(domain->dependants().size(), 2U);
  CHECK_EQ(queue->dependants().size(), 2U);
  endpoint->detach_all();
  CHECK(queue->dependants().empty());
  CHECK(domain->dependants() == std::vector<Object*>{queue.get()});
  queue->detach_all();
}

TEST(child_keeps_its_parents_alive) {
  auto parent = std::make_shared<Object>(Kind::Fabric, "Fabric");
  auto child = std::make_shared<Object>(Kind::Domain, "Domain");
  child->depend_on(parent);
  const std::weak_ptr<Object> observer = parent;
  parent.reset();
  CHECK(!observer.expired());
  CHECK(child->parents()[0] == observer.lock());
  child->detach_all();
  CHECK(observer.expired());
}

TEST(forgotten_family_closes_children_first) {
  std::vector<std::string> log;
  StandInFid fabric_fid(&log, "fabric"), domain_fid(&log, "domain"), endpoint_fid(&log, "endpoint");
  {
    auto fabric = make(fabric_fid);
    auto domain = make(domain_fid);
    auto endpoint = make(endpoint_fid);
    domain->depend_on(fabric);
    endpoint->depend_on(domain);
    fabric.reset();
    domain.reset();
    CHECK(log.empty());
  }
  CHECK(log == (std::vector<std::string>{"endpoint", "domain", "fabric"}));
}

TEST(closes_its_fid_once) {
  std::vector<std::string> log;
  StandInFid fid(&log, "domain");
  {
    auto object = make(fid);
    CHECK_EQ(object->close_blocking(), 0);
    CHECK(object->fid == nullptr);
    CHECK_EQ(object->close_blocking(), 0);
  }
  CHECK_EQ(log.size(), 1U);
}

TEST(keeps_a_fid_that_the_provider_would_not_close) {
  std::vector<std::string> log;
  StandInFid fid(&log, "domain");
  auto object = make(fid);
  fid.answer = -FI_EBUSY;
  CHECK_EQ(object->close_blocking(), -FI_EBUSY);
  CHECK(object->fid == &fid.domain);
  fid.answer = 0;
  CHECK_EQ(object->close_blocking(), 0);
  CHECK_EQ(log.size(), 2U);
}

TEST(leaked_object_leaves_its_fid_alone) {
  std::vector<std::string> log;
  StandInFid fid(&log, "domain");
  {
    auto object = make(fid);
    object->leaked = true;
  }
  CHECK(log.empty());
}

TEST(object_without_a_fid_closes) {
  auto object = std::make_shared<TestObject>(Kind::Domain, "Domain");
  CHECK_EQ(object->close_blocking(), 0);
}
