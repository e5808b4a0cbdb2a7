// Recognition of added tokens by trying those that share the first byte, the longest first: there are at most some
// hundreds.
#include "src/text/added_tokens.h"

#include <algorithm>

namespace dslite {

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::stable_sort(tokens_.begin(), tokens_.end(),
                   [](const AddedToken& a, const AddedToken& b) { return a.text.size() > b.text.size(); });
  for (const AddedToken& token : tokens_) {
    if (begins_.find(token.text[0]) == std::string::npos) begins_ += token.text[0];
    has_plain_ = has_plain_ || !token.special;
  }
}

size_t AddedTokens::next_begin(std::string_view text, size_t from) const {
  // With one byte a memchr, in practice always '<'.
  return std::min(begins_.size() == 1 ? text.find(begins_[0], from) : text.find_first_of(begins_, from), text.size());
}

const AddedToken* AddedTokens::longest_at(std::string_view text) const {
  for (const AddedToken& token : tokens_) {
    if (text.starts_with(token.text)) return &token;
  }
  return nullptr;
}

}  // namespace dslite
