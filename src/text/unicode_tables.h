// Code point tables that the pre-tokenizers need, of a named Unicode version (unicode_tables.cpp is written by
// tools/make_unicode_tables.py).
#pragma once
#include <cstdint>
#include <span>

namespace dslite {

struct CodePointRange {
  uint32_t first, last;  // both included
};

// Ascending, apart from each other.
std::span<const CodePointRange> numeric_ranges();

}  // namespace dslite
