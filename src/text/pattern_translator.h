// The regular expressions of tokenizer.json are Oniguruma's; the part of its syntax that means the same in PCRE2 is
// translated, everything else refused.
#pragma once
#include <string>
#include <string_view>

namespace dslite {

// Supported: characters, classes [...] with ranges, \s \S (the 25 White_Space code points), \p{..} \P{..} of the
// categories L, Lu, Ll, Lt, Lm, Lo, M, N, P, S, \r \n \t, escaped punctuation, | and groups (...) (?:...), (?i:...)
// around ASCII text, look-ahead (?=...) (?!...), repeats ? * + {n} {n,} {n,m} and their lazy and possessive forms, and
// $ (before a line feed or at the end). UserError naming `where` for anything else.
std::string translated_pattern(std::string_view oniguruma, const std::string& where);

}  // namespace dslite
