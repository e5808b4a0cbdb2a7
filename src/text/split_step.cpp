// Reads a step and finds its matches.
#include "src/text/split_step.h"

#include <array>

#include "src/base/error.h"
#include "src/text/json_keys.h"
#include "src/text/unicode_tables.h"
#include "src/text/utf8.h"

namespace dslite {
namespace {

SplitBehavior behavior_named(const std::string& name, const std::string& where) {
  const std::vector<std::string> names = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
  for (size_t i = 0; i < names.size(); ++i) {
    if (name == names[i]) return static_cast<SplitBehavior>(i);
  }
  fail_input("{}: key \"behavior\": found {}, expected {}{}", where, shown(name), fmt::join(names, ", "),
             suggestion(name, names));
}

// {"Regex": ...} or {"String": ...}
Pattern read_pattern(const Json& pattern, const std::string& where) {
  allow_keys(pattern, {"Regex", "String"}, where);
  if (!pattern.contains("String")) return Pattern(json_string(pattern, "Regex", where), where);
  const std::string text = json_string(pattern, "String", where);
  if (text.empty()) fail_input("{}: key \"String\": found an empty text", where);
  std::string escaped;
  for (const char c : text) {
    const bool punctuation = c > ' ' && c < 0x7F && !isalnum(static_cast<unsigned char>(c));
    if (punctuation) escaped += '\\';
    escaped += c;
  }
  return Pattern(escaped, where);
}

bool find_numeric(std::string_view text, size_t from, Match& match) {
  while (from < text.size()) {
    const CodePoint c = code_point_at(text, from);
    if (is_numeric(c.value)) {
      match = {from, from + c.size_bytes};
      return true;
    }
    from += c.size_bytes;
  }
  return false;
}

}  // namespace

SplitStep::SplitStep(const Json& step, const std::string& where) {
  if (json_string(step, "type", where) == "Digits") {
    allow_keys(step, {"type", "individual_digits"}, where);
    if (!json_bool(step, "individual_digits", where)) behavior_ = SplitBehavior::kContiguous;
    return;
  }
  allow_keys(step, {"type", "pattern", "behavior", "invert"}, where);
  behavior_ = behavior_named(json_string(step, "behavior", where), where);
  invert_ = json_bool(step, "invert", where);
  pattern_.emplace(read_pattern(json_member(step, "pattern", where), where + ".pattern"));
}

bool SplitStep::find(std::string_view text, size_t from, bool settled, Pattern::Scratch& scratch, Match& match) const {
  if (!pattern_) return find_numeric(text, from, match);
  return settled ? pattern_->find_settled(text, from, scratch, match) : pattern_->find(text, from, scratch, match);
}

}  // namespace dslite
