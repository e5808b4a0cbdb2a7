// Small tokenizers for the readers that need one.
#pragma once
#include "src/text/tokenizer.h"

namespace dslite::fuzz {

const Tokenizer& chat_tokenizer();   // of 507 tokens and those of every chat format
const Tokenizer& steps_tokenizer();  // the same with a normalizer and GPT-2's pattern, searched by PCRE2

}  // namespace dslite::fuzz
