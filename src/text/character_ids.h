// Characters that pair merging may start from instead of their bytes, which makes Chinese three times shorter, with the
// same result. Needed for it, and checked here once for a tokenizer:
// 1. Ranks ascend: every merge has a higher rank than those that make its two halves. Then merging goes through the
//    ranks in ascending order, and what happens in one place does not depend on places that no merge has reached.
// 2. The character's bytes merge to one token, the last of them at rank m.
// 3. No merge of a rank below m joins an unfinished part of the character with what stands before or after it.
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
