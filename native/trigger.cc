#include "trigger.h"

#include <algorithm>

namespace ofi {

namespace {

constexpr size_t kCounterArgument = 12;
constexpr size_t kThresholdArgument = 13;
// So many records are kept before those of operations that are over are thrown away.
constexpr size_t kRecords = 64;

static_assert(sizeof(fi_triggered_context2) <= sizeof(ProviderContext));

}  // namespace

void Trigger::read(const FastCall& a, EndpointObject& endpoint) {
  auto counter = a.environment().open_shared<CounterObject>(a.u32(kCounterArgument));
  threshold_ = a.u53(kThresholdArgument);
  if ((endpoint.capabilities & FI_TRIGGER) == 0) {
    status_ = kUnsupported;
  } else if (counter == nullptr) {
    status_ = kClosed;
  } else {
    // Until the endpoint is closed: providers tell nobody when they have done with the counter.
    const auto& held = endpoint.parents();
    if (std::find(held.begin(), held.end(), counter) == held.end()) endpoint.depend_on(counter);
    counter_ = counter.get();
  }
}

void Trigger::write(const Post& post) const {
  auto* context = reinterpret_cast<fi_triggered_context2*>(&post.operation->context);
  context->event_type = FI_TRIGGER_THRESHOLD;
  context->trigger.threshold = {counter_->fid, static_cast<size_t>(threshold_)};
  auto& records = post.endpoint->triggered;
  if (records.size() >= kRecords)
    records.erase(std::remove_if(records.begin(), records.end(),
                                 [&post](const auto& entry) { return entry.is_over(post.endpoint); }),
                  records.end());
  records.push_back({post.operation, post.operation->generation, counter_, threshold_});
}

}  // namespace ofi
