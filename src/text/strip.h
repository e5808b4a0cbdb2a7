// White space around a text, as Python's str.strip() and Jinja's trim see it: 29 characters of Unicode.
#pragma once
#include <string_view>

namespace dslite {

// The text without white space at both ends; the text is UTF-8.
std::string_view stripped(std::string_view text);

}  // namespace dslite
