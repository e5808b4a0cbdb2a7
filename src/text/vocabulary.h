// Vocabulary and merges of a byte-level BPE as tokenizer.json writes them.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "src/base/json.h"
#include "src/text/merge_table.h"

namespace dslite {

// UserError unless the value is an id of 0 to 2^24 - 1; `name` is its key.
int32_t checked_id(const Json& value, const std::string& where, std::string_view name);

struct Vocabulary {
  std::vector<std::string> text;  // by id, as written in the file; empty: no such id
  std::unordered_map<std::string, int32_t> ids;

  void add(const std::string& token, int32_t id, const std::string& where);
  int32_t id_of(const std::string& token, const std::string& where) const;
};

Vocabulary read_vocabulary(const Json& model, const std::string& where);
// Ids of the single bytes; -1 for those that occur in no UTF-8 text. UserError where one that occurs has no token.
std::array<int32_t, 256> read_byte_ids(const Vocabulary& vocabulary, const std::string& where);
// UserError for a pair that is there twice.
MergeTable read_merges(const Json& model, const Vocabulary& vocabulary, const std::string& where);

}  // namespace dslite
