// Two token files side by side.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "src/data/token_store.h"

namespace dslite {

struct DatasetDiff {
  struct Attribute {
    std::string name, a, b;
  };
  std::vector<Attribute> attributes;  // that differ
  // Documents by the hash of their source text; equal ones are paired in their order.
  int64_t num_only_a = 0, num_only_b = 0, num_both = 0;
  bool same_tokenizer = false;
  int64_t num_other_tokens = 0, num_other_weights = 0;  // of the pairs, with the same tokenizer
  bool same_order = false;                              // pairs have the same positions in both
  std::vector<uint64_t> only_a, only_b;                 // indices of the first of them
  std::vector<std::pair<uint64_t, uint64_t>> other_tokens, other_weights;
  bool equal() const;  // the same documents with the same tokens and weights, in the same order
};
DatasetDiff compare_datasets(const TokenStore& a, const TokenStore& b);

}  // namespace dslite
