// Reads the steps and applies them depth first, so that memory does not grow with the text.
#include "src/text/pre_tokenizer.h"

#include <algorithm>

#include "src/base/error.h"
#include "src/text/json_keys.h"
#include "src/text/unicode_tables.h"
#include "src/text/utf8.h"

namespace dslite {
namespace {

bool is_numeric(uint32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const auto ranges = numeric_ranges();
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), c,
                                      [](uint32_t value, const CodePointRange& range) { return value < range.first; });
  return after != ranges.begin() && c <= std::prev(after)->last;
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

PreTokenizer::PreTokenizer(const Json& pre_tokenizer, const std::string& where) {
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

namespace {

// The letters of Latin, Greek, Cyrillic, Georgian, Cherokee and a few more scripts with case, as JSON escapes; CJK runs
// stay whole.
constexpr const char* kLetters =
    R"(A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d)"
    R"(\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5)"
    R"(\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d)"
    R"(\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb)"
    R"(\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134)"
    R"(\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b)"
    R"(\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\ud801\udc00-\ud801\udc4f)"
    R"(\ud801\udcb0-\ud801\udcd3\ud801\udcd8-\ud801\udcfb\ud803\udc80-\ud803\udcb2\ud803\udcc0-\ud803\udcf2\ud806\udca0-\ud806\udcdf)"
    R"(\ud83a\udd00-\ud83a\udd43)";

Json split_step(const std::string& regex) {
  return {{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}};
}

}  // namespace

Json deepseek_v2_pre_tokenizer() {
  const std::string letters = parse_json('"' + std::string(kLetters) + '"', "letters").get<std::string>();
  Json steps = Json::array();
  steps.push_back(split_step("[\r\n]"));
  steps.push_back(split_step("\\s?[" + letters + "]+"));
  steps.push_back(split_step("\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"));
  steps.push_back(split_step("\\s+$"));
  steps.push_back(split_step("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"));
  steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
  steps.push_back({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}});
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

}  // namespace dslite
