#include "control.h"

#include <stdexcept>

#include "words.h"

namespace softefa {

std::string Control::answer(std::string_view line) {
  try {
    obey(line);
    return "ok";
  } catch (const std::invalid_argument& error) {
    return std::string("error: ") + error.what();
  }
}

void Control::obey(std::string_view line) {
  const std::string_view command = line.substr(0, line.find(' '));
  const std::string_view rest = line.substr(command.size());
  if (command == "fail") {
    rules_.add(rest);
  } else if (command == "cable") {
    set_cable(rest);
  } else if (command == "cut" || command == "mend") {
    Words words(rest);
    std::string peer;
    const bool is_named = words.take("peer", peer);
    words.require_none();
    if (command == "cut")
      is_named ? cable_.cut(gid_in_words(peer)) : cable_.cut_all();
    else
      is_named ? cable_.mend(gid_in_words(peer)) : cable_.mend_all();
  } else if (command == "clear" && rest.empty()) {
    rules_.clear();
    cable_.reset();
  } else {
    throw std::invalid_argument("there is no '" + std::string(line) +
                                "': it can be fail, cut, mend, cable or clear");
  }
}

void Control::set_cable(std::string_view text) {
  Words words(text);
  FaultSettings settings = cable_.settings();
  settings.seed = words.take_number("seed", settings.seed);
  settings.loss_per_million =
      static_cast<uint32_t>(words.take_number("loss_per_million", settings.loss_per_million, 0, 1'000'000));
  settings.latency_us = words.take_number("latency_us", settings.latency_us);
  settings.reorder_us = words.take_number("reorder_us", settings.reorder_us);
  words.require_none();
  cable_.set(settings);
}

}  // namespace softefa
