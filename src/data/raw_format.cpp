// Names of raw formats; detection by keys.
#include "src/data/raw_format.h"

#include <algorithm>
#include <array>

#include "src/base/error.h"

namespace dslite {
namespace {

struct FormatKeys {
  RawFormat format;
  const char* name;
  std::array<const char*, 2> keys;  // of the record; both must be there (or the one)
};
constexpr std::array<FormatKeys, 7> kFormats = {{
    {RawFormat::kMessages, "messages", {"messages", nullptr}},
    {RawFormat::kShareGpt, "sharegpt", {"conversations", nullptr}},
    {RawFormat::kAlpaca, "alpaca", {"instruction", "output"}},
    {RawFormat::kPromptCompletion, "prompt-completion", {"prompt", "completion"}},
    {RawFormat::kQuestionAnswer, "question-answer", {"question", "answer"}},
    {RawFormat::kEsft, "esft", {"messages", nullptr}},
    {RawFormat::kText, "text", {"text", nullptr}},
}};

bool has_keys(const Json& record, const FormatKeys& format) {
  return std::all_of(format.keys.begin(), format.keys.end(),
                     [&](const char* key) { return !key || record.contains(key); });
}

// ESFT's messages are masked by a key "mask".
bool has_masks(const Json& record) {
  const auto messages = record.find("messages");
  return messages != record.end() && messages->is_array() &&
         std::any_of(messages->begin(), messages->end(),
                     [](const Json& message) { return message.is_object() && message.contains("mask"); });
}

}  // namespace

const char* raw_format_name(RawFormat format) { return kFormats[static_cast<size_t>(format)].name; }

std::vector<std::string> raw_format_names() {
  std::vector<std::string> names;
  for (const FormatKeys& format : kFormats) names.emplace_back(format.name);
  return names;
}

RawFormat raw_format_named(const std::string& name) {
  for (const FormatKeys& format : kFormats) {
    if (name == format.name) return format.format;
  }
  fail_input("--format: found {}, expected {}{}", shown(name), fmt::join(raw_format_names(), ", "),
             suggestion(name, raw_format_names()));
}

std::string detected_keys() {
  std::vector<std::string> all;
  for (const FormatKeys& format : kFormats) {
    if (format.format == RawFormat::kEsft) continue;
    all.push_back(format.keys[1] ? fmt::format("{} and {}", format.keys[0], format.keys[1]) : format.keys[0]);
  }
  return fmt::format("{}", fmt::join(all, ", "));
}

std::optional<RawFormat> detect_format(const Json& record, const std::string& where) {
  std::vector<RawFormat> fitting;
  const bool masks = has_masks(record);
  for (const FormatKeys& format : kFormats) {
    const bool fits = format.format == RawFormat::kMessages ? !masks : format.format != RawFormat::kEsft || masks;
    if (fits && has_keys(record, format)) fitting.push_back(format.format);
  }
  if (fitting.empty()) return std::nullopt;
  if (fitting.size() > 1) {
    std::vector<std::string> names;
    for (const RawFormat format : fitting) names.emplace_back(raw_format_name(format));
    fail_input("{}: the keys fit the formats {}; choose one with --format", where, fmt::join(names, " and "));
  }
  return fitting[0];
}

}  // namespace dslite
