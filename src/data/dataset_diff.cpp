// Pairs the documents of two files by sorting both by hash.
#include "src/data/dataset_diff.h"

#include <algorithm>

#include "src/data/token_layout.h"

namespace dslite {
namespace {

constexpr size_t kExamples = 5;

struct Entry {
  uint64_t hash, index;
  bool operator<(const Entry& other) const { return hash != other.hash ? hash < other.hash : index < other.index; }
};

std::vector<Entry> sorted_entries(const TokenStore& store) {
  std::vector<Entry> entries;
  const auto hashes = store.document_hash();
  entries.reserve(hashes.size());
  for (size_t i = 0; i < hashes.size(); ++i) entries.push_back({hashes[i], i});
  std::sort(entries.begin(), entries.end());
  return entries;
}

template <class T>
void note(std::vector<T>& examples, int64_t& count, T example) {
  ++count;
  examples.push_back(example);
}
// The first by index; sorting by hash has mixed them.
template <class T>
void keep_first(std::vector<T>& examples) {
  std::sort(examples.begin(), examples.end());
  examples.resize(std::min(examples.size(), kExamples));
}

bool equal_tokens(const TokenStore& a, uint64_t i, const TokenStore& b, uint64_t j) {
  const auto x = a.tokens(a.document_offsets()[i], a.document_offsets()[i + 1]),
             y = b.tokens(b.document_offsets()[j], b.document_offsets()[j + 1]);
  return std::ranges::equal(x, y);
}

std::vector<float> weights_of(const TokenStore& store, uint64_t i) {
  const uint64_t begin = store.document_offsets()[i], end = store.document_offsets()[i + 1];
  if (store.info().kind != TokenFileKind::kSft) return std::vector<float>(end - begin, 1.0f);
  const auto weights = store.loss_weight(begin, end);
  return {weights.begin(), weights.end()};
}

std::string value_text(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

void compare_attributes(const TokenStore& a, const TokenStore& b, DatasetDiff& diff) {
  const Json left = attributes_of(a.info()), right = attributes_of(b.info());
  for (const auto& [name, value] : left.items()) {
    if (value != right[name]) diff.attributes.push_back({name, value_text(value), value_text(right[name])});
  }
}

}  // namespace

bool DatasetDiff::equal() const {
  return num_only_a == 0 && num_only_b == 0 && same_tokenizer && num_other_tokens == 0 && num_other_weights == 0 &&
         same_order;
}

DatasetDiff compare_datasets(const TokenStore& a, const TokenStore& b) {
  DatasetDiff diff;
  compare_attributes(a, b, diff);
  diff.same_tokenizer = a.info().tokenizer_sha256 == b.info().tokenizer_sha256;
  diff.same_order = true;
  const std::vector<Entry> left = sorted_entries(a), right = sorted_entries(b);
  for (size_t i = 0, j = 0; i < left.size() || j < right.size();) {
    if (j == right.size() || (i < left.size() && left[i].hash < right[j].hash)) {
      note(diff.only_a, diff.num_only_a, left[i++].index);
    } else if (i == left.size() || right[j].hash < left[i].hash) {
      note(diff.only_b, diff.num_only_b, right[j++].index);
    } else {
      const std::pair pair(left[i++].index, right[j++].index);
      ++diff.num_both;
      diff.same_order = diff.same_order && pair.first == pair.second;
      if (!diff.same_tokenizer) continue;
      if (!equal_tokens(a, pair.first, b, pair.second)) {
        note(diff.other_tokens, diff.num_other_tokens, pair);
      } else if (weights_of(a, pair.first) != weights_of(b, pair.second)) {
        note(diff.other_weights, diff.num_other_weights, pair);
      }
    }
  }
  keep_first(diff.only_a);
  keep_first(diff.only_b);
  keep_first(diff.other_tokens);
  keep_first(diff.other_weights);
  return diff;
}

}  // namespace dslite
