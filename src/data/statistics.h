// What a token file holds, counted: lengths, sources, roles, how far documents fit rows, how many tokens a word takes.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "src/data/token_store.h"
#include "src/text/tokenizer.h"

namespace dslite {

struct LengthBin {
  uint64_t from, to;  // tokens, inclusive
  uint64_t documents = 0, tokens = 0;
};
// Powers of two: 1, 2-3, 4-7, ..., from the shortest document's bin to the longest's.
std::vector<LengthBin> length_histogram(const TokenStore& store);

// Tokens below which a share of the documents stays (nearest rank).
struct LengthQuantiles {
  uint64_t least, p10, median, p90, p99, most;
};
LengthQuantiles length_quantiles(const TokenStore& store);

// What rows of `sequence_tokens` do to documents: longer ones are cut into segments.
struct Fit {
  int64_t sequence_tokens;
  uint64_t documents_cut, tokens_behind_cut;  // tokens that no longer see their document's beginning
};
std::vector<Fit> fits(const TokenStore& store);  // 512, 1024, ... until all fit

struct RoleCount {
  Role role;
  uint64_t turns = 0, tokens = 0;
};
std::vector<RoleCount> count_roles(const TokenStore& store);  // of an sft file; roles without turns are left out

// From at most a million tokens of documents spread over the file.
struct Fertility {
  uint64_t tokens = 0, bytes = 0, characters = 0, words = 0;  // without special tokens; words: parted by white space
};
Fertility fertility(const TokenStore& store, const Tokenizer& tokenizer);

// The number of truncated documents, from the verdict that `prepare` wrote.
int64_t num_truncated(const TokenStore& store);

// The histogram as a picture: documents per bin, tokens as text.
std::string histogram_svg(const std::vector<LengthBin>& bins, const std::string& title);

// The characters < > & " as entities.
std::string html_escaped(std::string_view text);

}  // namespace dslite
