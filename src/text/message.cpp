// Weights of a message and what stripping does to them.
#include "src/text/message.h"

#include <algorithm>

#include "src/text/strip.h"

namespace dslite {

const char* role_name(Role role) {
  static constexpr const char* kNames[] = {"system", "user", "assistant", "tool", "developer"};
  return kNames[static_cast<int>(role)];
}

float Message::turn_weight() const {
  if (parts.empty()) return weight;
  return std::max_element(parts.begin(), parts.end(),
                          [](const TextPart& a, const TextPart& b) { return a.weight < b.weight; })
      ->weight;
}

void Message::strip() {
  const std::string_view kept = stripped(text);
  const auto begin = static_cast<size_t>(kept.data() - text.data()), end = begin + kept.size();
  std::vector<TextPart> kept_parts;
  for (size_t i = 0, at = 0; i < parts.size(); at += parts[i++].size_bytes) {
    const size_t from = std::max(at, begin), to = std::min(at + parts[i].size_bytes, end);
    if (from < to) kept_parts.push_back({to - from, parts[i].weight});
  }
  parts = std::move(kept_parts);
  text = text.substr(begin, kept.size());
}

}  // namespace dslite
