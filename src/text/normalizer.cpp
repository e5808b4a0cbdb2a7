// ICU's normalizers, filtered by the age of the characters.
#include "src/text/normalizer.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uniset.h>

#include <algorithm>

#include "src/base/error.h"
#include "src/text/json_keys.h"

namespace dslite {
namespace {

void check(UErrorCode code) {
  if (U_FAILURE(code)) fail_work("Unicode normalization failed: {}", u_errorName(code));
}

const icu::Normalizer2* form_named(std::string_view name) {
  UErrorCode code = U_ZERO_ERROR;
  const icu::Normalizer2* form = name == "NFC"    ? icu::Normalizer2::getNFCInstance(code)
                                 : name == "NFD"  ? icu::Normalizer2::getNFDInstance(code)
                                 : name == "NFKC" ? icu::Normalizer2::getNFKCInstance(code)
                                 : name == "NFKD" ? icu::Normalizer2::getNFKDInstance(code)
                                                  : nullptr;
  check(code);
  return form;
}

icu::UnicodeSet characters_of_unicode_9() {
  UErrorCode code = U_ZERO_ERROR;
  icu::UnicodeSet set(UNICODE_STRING_SIMPLE("[:age=9.0:]"), code);
  check(code);
  set.freeze();
  return set;
}

}  // namespace

struct Normalizer::Form {
  explicit Form(const icu::Normalizer2& form) : characters(characters_of_unicode_9()), filtered(form, characters) {}
  icu::UnicodeSet characters;
  icu::FilteredNormalizer2 filtered;
};

Normalizer::Normalizer(const Json& normalizer, const std::string& where) {
  if (!normalizer.is_null()) add(normalizer, where);
}
Normalizer::~Normalizer() = default;
Normalizer::Normalizer(Normalizer&&) noexcept = default;

void Normalizer::add(const Json& normalizer, const std::string& where) {
  const std::string type = json_string(normalizer, "type", where);
  if (type == "Sequence") {
    allow_keys(normalizer, {"type", "normalizers"}, where);
    const Json& list = json_array(normalizer, "normalizers", where);
    for (size_t i = 0; i < list.size(); ++i) add(list[i], fmt::format("{}.normalizers[{}]", where, i));
    return;
  }
  const icu::Normalizer2* form = form_named(type);
  if (!form) fail_input("{}: key \"type\": found {}, expected NFC, NFD, NFKC, NFKD or Sequence", where, shown(type));
  allow_keys(normalizer, {"type"}, where);
  forms_.push_back(std::make_unique<Form>(*form));
}

std::string_view Normalizer::apply(std::string_view text, std::string& buffer) const {
  const auto ascii = [](char c) { return static_cast<uint8_t>(c) < 0x80; };
  if (forms_.empty() || std::all_of(text.begin(), text.end(), ascii)) return text;  // every form keeps ASCII
  if (text.size() > static_cast<size_t>(INT32_MAX) / 4)
    fail_input("a text of {} bytes is too long for this tokenizer's normalizer: at most 512 MiB", text.size());
  for (const auto& form : forms_) {
    std::string result;
    icu::StringByteSink<std::string> sink(&result, static_cast<int32_t>(text.size()));
    UErrorCode code = U_ZERO_ERROR;
    form->filtered.normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<int32_t>(text.size())), sink, nullptr,
                                 code);
    check(code);
    buffer = std::move(result);
    text = buffer;
  }
  return text;
}

}  // namespace dslite
