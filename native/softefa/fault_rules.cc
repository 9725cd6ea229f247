#include "fault_rules.h"

#include <arpa/inet.h>

#include <stdexcept>
#include <string>

#include "words.h"

namespace softefa {

namespace {

// The highest that EFA has; 16 and 17 are not used.
constexpr uint64_t kLastStatus = 18;

Operation operation_in_words(const std::string& text) {
  if (text == "send") return Operation::kSend;
  if (text == "read") return Operation::kRead;
  if (text == "write") return Operation::kWrite;
  throw std::invalid_argument("operation is '" + text + "', not send, read or write");
}

}  // namespace

Gid gid_in_words(const std::string& text) {
  Gid gid;
  if (inet_pton(AF_INET6, text.c_str(), gid.raw.data()) != 1)
    throw std::invalid_argument("peer is '" + text + "', not a GID such as fe80::efa0:1234:7f00:1");
  return gid;
}

void FaultRules::add(std::string_view text) {
  Words words(text);
  Rule rule;
  rule.status = static_cast<Status>(words.take_number("status", 0, 1, kLastStatus));
  if (rule.status == Status::kSuccess) throw std::invalid_argument("status is missing: 1 to 18");
  rule.nth = words.take_number("nth", 1, 1);
  rule.count = words.take_number("count", 1);
  std::string value;
  if (words.take("operation", value)) rule.operation = operation_in_words(value);
  if (words.take("peer", value)) rule.peer = gid_in_words(value);
  words.require_none();
  rules_.push_back(rule);
}

// Each rule counts by itself; where several hold, the first says what comes of it.
Status FaultRules::status_of(Operation operation, const Gid& peer) {
  Status status = Status::kSuccess;
  for (Rule& rule : rules_) {
    if (rule.operation.value_or(operation) != operation || rule.peer.value_or(peer) != peer) continue;
    ++rule.seen;
    const bool holds = rule.seen >= rule.nth && (rule.count == 0 || rule.seen - rule.nth < rule.count);
    if (holds && status == Status::kSuccess) status = rule.status;
  }
  return status;
}

}  // namespace softefa
