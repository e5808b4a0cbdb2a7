// Characters that pair merging may start from instead of their bytes, which makes Chinese three times shorter, with the
// same result. Checked once for a tokenizer and for each character:
// 1. Its bytes alone merge to one token, by merges of at most rank m.
// 2. Every merge that could join an unfinished part of it, or the whole of it, with what stands before or behind has a
//    rank above m.
// So as long as it is unfinished, one of its own merges goes before any that touches its edges, and those of other
// places may be done before or after: they do not meet.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "src/text/merge_table.h"

namespace dslite {

// [0x10000] by code point: the token of a character of two or three bytes; -1: it has to be merged from its bytes.
std::vector<int32_t> mergeable_characters(const std::vector<std::string>& tokens,
                                          const std::array<int32_t, 256>& byte_ids, const MergeTable& merges);

}  // namespace dslite
