// The formats of raw records and how they are told apart by their keys.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "src/base/json.h"

namespace dslite {

enum class RawFormat { kMessages, kShareGpt, kAlpaca, kPromptCompletion, kQuestionAnswer, kEsft, kText };
const char* raw_format_name(RawFormat format);
std::vector<std::string> raw_format_names();
RawFormat raw_format_named(const std::string& name);  // UserError with the known names
// The one format whose keys the record has; nothing when none fits; UserError when several do.
std::optional<RawFormat> detect_format(const Json& record, const std::string& where);
// "messages, conversations, ...": what detect_format looks for.
std::string detected_keys();

}  // namespace dslite
