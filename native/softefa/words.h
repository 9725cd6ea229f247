// Settings in words, as a person or a program writes them: `name=value name=value`.
#pragma once

#include <charconv>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>

namespace softefa {

class Words {
 public:
  // Throws std::invalid_argument, as all of these do, with a text for people.
  explicit Words(std::string_view text) {
    while (true) {
      const size_t start = text.find_first_not_of(' ');
      if (start == std::string_view::npos) return;
      text.remove_prefix(start);
      const std::string_view word = text.substr(0, text.find(' '));
      text.remove_prefix(word.size());
      const size_t equals = word.find('=');
      if (equals == std::string_view::npos || equals == 0)
        throw std::invalid_argument("'" + std::string(word) + "' is not of the form name=value");
      values_[std::string(word.substr(0, equals))] = word.substr(equals + 1);
    }
  }

  // Takes a word out; false where it is not there.
  bool take(const std::string& name, std::string& value) {
    const auto found = values_.find(name);
    if (found == values_.end()) return false;
    value = found->second;
    values_.erase(found);
    return true;
  }

  // A number from `least` to `most`; `otherwise` where it is not there.
  uint64_t take_number(const std::string& name, uint64_t otherwise, uint64_t least = 0,
                       uint64_t most = UINT64_MAX) {
    std::string text;
    if (!take(name, text)) return otherwise;
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < least || value > most)
      throw std::invalid_argument(name + " is '" + text + "', not a number from " + std::to_string(least) +
                                  " to " + std::to_string(most));
    return value;
  }

  // Once all that is known has been taken.
  void require_none() const {
    if (!values_.empty()) throw std::invalid_argument("nothing is called '" + values_.begin()->first + "'");
  }

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace softefa
