#include "object.h"

#include <algorithm>

namespace ofi {

void Object::depend_on(const std::shared_ptr<Object>& other) {
  parents_.push_back(other);
  other->dependants_.push_back(this);
}

void Object::stop_depending_on(const std::shared_ptr<Object>& other) {
  const auto parent = std::find(parents_.begin(), parents_.end(), other);
  if (parent == parents_.end()) return;
  auto& siblings = other->dependants_;
  siblings.erase(std::find(siblings.begin(), siblings.end(), this));
  parents_.erase(parent);
}

void Object::detach_all() {
  for (const auto& parent : parents_) {
    auto& siblings = parent->dependants_;
    const auto found = std::find(siblings.begin(), siblings.end(), this);
    if (found != siblings.end()) siblings.erase(found);
  }
  parents_.clear();
}

}  // namespace ofi
