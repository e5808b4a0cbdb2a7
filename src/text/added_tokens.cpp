// Recognition of added tokens by trying those that share the first byte, the longest first: there are at most some
// hundreds.
#include "src/text/added_tokens.h"

#include <algorithm>

namespace dslite {

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)), begins_(256) {
  std::stable_sort(tokens_.begin(), tokens_.end(),
                   [](const AddedToken& a, const AddedToken& b) { return a.text.size() > b.text.size(); });
  for (const AddedToken& token : tokens_) begins_[static_cast<uint8_t>(token.text[0])] = true;
}

const AddedToken* AddedTokens::longest_at(std::string_view text) const {
  for (const AddedToken& token : tokens_) {
    if (text.starts_with(token.text)) return &token;
  }
  return nullptr;
}

}  // namespace dslite
