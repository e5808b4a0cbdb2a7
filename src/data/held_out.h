// Documents that two data sets share, and those that one holds twice: by the hash of their source text.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "src/data/token_store.h"

namespace dslite {

// Sorted hashes of a token file's documents, or of the records of raw files in any format that `prepare` reads, which
// need no tokenizer.
struct HeldOut {
  std::string path;
  std::vector<uint64_t> hashes;
  int64_t num_unreadable = 0;  // records of a raw file without a document
};
HeldOut read_held_out(const std::string& path);

// Indices of the documents that `held_out` holds too.
std::vector<uint64_t> overlapping(const TokenStore& store, const HeldOut& held_out);

// The first `count` documents that are equal to an earlier one: {earlier, later}.
std::vector<std::pair<uint64_t, uint64_t>> duplicates(const TokenStore& store, size_t count);

}  // namespace dslite
