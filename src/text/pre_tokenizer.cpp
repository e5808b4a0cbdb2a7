// Reads the steps and applies them depth first, so that memory does not grow with the text.
#include "src/text/pre_tokenizer.h"

#include "src/base/error.h"
#include "src/text/json_keys.h"
#include "src/text/unicode_tables.h"
#include "src/text/utf8.h"
#include "src/text/v2_pre_tokenizer.h"

namespace dslite {
namespace {

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

const V2Scanner& v2_scanner() {
  static const V2Scanner scanner;
  return scanner;
}

}  // namespace

PreTokenizer::PreTokenizer(const Json& pre_tokenizer, const std::string& where) {
  if (pre_tokenizer == deepseek_v2_pre_tokenizer()) {
    scanner_ = &v2_scanner();
    return;
  }
  if (json_string(pre_tokenizer, "type", where) != "Sequence") {
    add_step(pre_tokenizer, where, true);
    return;
  }
  allow_keys(pre_tokenizer, {"type", "pretokenizers"}, where);
  const Json& list = json_array(pre_tokenizer, "pretokenizers", where);
  for (size_t i = 0; i < list.size(); ++i)
    add_step(list[i], fmt::format("{}.pretokenizers[{}]", where, i), i + 1 == list.size());
  if (list.empty()) fail_input("{}.pretokenizers: found nothing, expected ByteLevel as the last", where);
}

void PreTokenizer::add_step(const Json& step, const std::string& where, bool last) {
  const std::string type = json_string(step, "type", where);
  if ((type == "ByteLevel") != last) {
    fail_input("{}: key \"type\": found {}, expected {}", where, shown(type),
               last ? "ByteLevel as the last" : "ByteLevel only as the last");
  }
  if (type == "Split") {
    allow_keys(step, {"type", "pattern", "behavior", "invert"}, where);
    expect_value(step, "behavior", "Isolated", where);
    expect_value(step, "invert", false, where);
    const Json& pattern = json_member(step, "pattern", where);
    allow_keys(pattern, {"Regex"}, where + ".pattern");
    steps_.emplace_back().pattern.emplace(json_string(pattern, "Regex", where + ".pattern"), where + ".pattern");
  } else if (type == "Digits") {
    allow_keys(step, {"type", "individual_digits"}, where);
    expect_value(step, "individual_digits", true, where);
    steps_.emplace_back();
  } else if (type == "ByteLevel") {
    allow_keys(step, {"type", "add_prefix_space", "trim_offsets", "use_regex"}, where);
    expect_value(step, "add_prefix_space", false, where);
    expect_value(step, "use_regex", false, where);
  } else {
    fail_input("{}: key \"type\": found {}, expected Split, Digits or ByteLevel", where, shown(type));
  }
}

void PreTokenizer::split_from(size_t index, std::string_view text, Pattern::Scratch& scratch, const Sink& sink) const {
  if (text.empty()) return;
  if (index == steps_.size()) return sink.call(sink.state, text);
  const Step& step = steps_[index];
  size_t done = 0;
  for (Match match; !step.pattern ? find_numeric(text, done, match) : step.pattern->find(text, done, scratch, match);
       done = match.end) {
    split_from(index + 1, text.substr(done, match.begin - done), scratch, sink);
    split_from(index + 1, text.substr(match.begin, match.end - match.begin), scratch, sink);
  }
  split_from(index + 1, text.substr(done), scratch, sink);
}

}  // namespace dslite
