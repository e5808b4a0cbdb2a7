// DeepSeek-V2's pre-tokenizer: its code point classes, and the component of tokenizer.json that is made of them.
#pragma once
#include <span>

#include "src/base/json.h"
#include "src/text/unicode_tables.h"

namespace dslite {

// Latin, Greek, Cyrillic, Georgian, Cherokee and a few more scripts with case.
std::span<const CodePointRange> v2_letters();
// Punctuation, and by the range [:-~] the ASCII letters as well (full-width ones alike).
std::span<const CodePointRange> v2_punctuation();
// [一-龥ࠀ-一가-퟿]: CJK, but also all from U+0800 on, so most scripts of Asia and general punctuation.
std::span<const CodePointRange> v2_cjk();

// The pre_tokenizer of DeepSeek-V2's tokenizer.json; `tokenizer train` uses it too.
Json deepseek_v2_pre_tokenizer();

}  // namespace dslite
