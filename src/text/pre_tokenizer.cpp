// Reads the steps and applies them depth first, so that memory does not grow with the text.
#include "src/text/pre_tokenizer.h"

#include "src/base/error.h"
#include "src/text/json_keys.h"
#include "src/text/v2_pre_tokenizer.h"

namespace dslite {
namespace {

// What ByteLevel splits by where use_regex is true: the pattern of GPT-2.
constexpr const char* kGpt2Pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

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
  if (type != "ByteLevel" && type != "Split" && type != "Digits")
    fail_input("{}: key \"type\": found {}, expected Split, Digits or ByteLevel", where, shown(type));
  if ((type == "ByteLevel") != last) {
    fail_input("{}: key \"type\": found {}, expected {}", where, shown(type),
               last ? "ByteLevel as the last" : "ByteLevel only as the last");
  }
  if (last) return add_byte_level(step, where);
  steps_.emplace_back(step, where);
}

void PreTokenizer::add_byte_level(const Json& step, const std::string& where) {
  allow_keys(step, {"type", "add_prefix_space", "trim_offsets", "use_regex"}, where);
  if (json_bool(step, "add_prefix_space", where)) prefix_step_ = steps_.size();
  if (!step.contains("use_regex") || json_bool(step, "use_regex", where))
    steps_.emplace_back(Pattern(kGpt2Pattern, where));
}

void PreTokenizer::split_from(size_t index, std::string_view text, Pattern::Scratch& scratch, const Sink& sink) const {
  if (text.empty()) return;
  std::string with_space;
  if (index == prefix_step_ && text[0] != ' ') {
    with_space = ' ';
    with_space += text;
    text = with_space;
  }
  if (index == steps_.size()) return sink.call(sink.state, text);
  steps_[index].apply(text, scratch, [&](std::string_view piece) { split_from(index + 1, piece, scratch, sink); });
}

size_t PreTokenizer::split_settled_steps(std::string_view text, Pattern::Scratch& scratch, const Sink& sink) const {
  if (steps_.empty() || prefix_step_ == 0 || !steps_[0].can_settle()) return 0;
  return steps_[0].apply_settled(text, scratch, [&](std::string_view piece) { split_from(1, piece, scratch, sink); });
}

}  // namespace dslite
