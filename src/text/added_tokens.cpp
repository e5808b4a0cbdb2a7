// The tokens are ordered, so those that share a beginning are neighbours: a search narrows them byte after byte.
#include "src/text/added_tokens.h"

#include <algorithm>

#include "src/text/unicode_tables.h"
#include "src/text/utf8.h"

namespace dslite {

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::sort(tokens_.begin(), tokens_.end(), [](const AddedToken& a, const AddedToken& b) { return a.text < b.text; });
  std::array<bool, 256> plain_begins{};
  for (const AddedToken& token : tokens_) {
    begins_[static_cast<uint8_t>(token.text[0])] = true;
    if (!token.special) plain_begins[static_cast<uint8_t>(token.text[0])] = has_plain_ = true;
  }
  if (std::count(begins_.begin(), begins_.end(), true) == 1) only_begin_ = tokens_[0].text[0];
  for (const AddedToken& token : tokens_) {
    bool overlaps = false;
    for (size_t i = 1; i < token.text.size(); ++i)
      overlaps = overlaps || plain_begins[static_cast<uint8_t>(token.text[i])];
    can_settle_ = can_settle_ && !token.lstrip && !token.rstrip && !(token.special && overlaps);
  }
}

size_t AddedTokens::next_begin(std::string_view text, size_t from) const {
  if (only_begin_ != '\0') return std::min(text.find(only_begin_, from), text.size());
  while (from < text.size() && !begins_[static_cast<uint8_t>(text[from])]) ++from;
  return from;
}

const AddedToken* AddedTokens::longest_at(std::string_view text) const {
  const AddedToken* longest = nullptr;
  auto first = tokens_.begin(), last = tokens_.end();  // those that begin with text[0, depth)
  for (size_t depth = 0; first != last; ++depth) {
    if (first->text.size() == depth) longest = &*first++;
    if (depth == text.size()) break;
    const auto byte_of = [&](const AddedToken& token) { return static_cast<uint8_t>(token.text[depth]); };
    const auto byte = static_cast<uint8_t>(text[depth]);
    first = std::partition_point(first, last, [&](const AddedToken& token) { return byte_of(token) < byte; });
    last = std::partition_point(first, last, [&](const AddedToken& token) { return byte_of(token) == byte; });
  }
  return longest;
}

size_t AddedTokens::settled_bytes(std::string_view text) const {
  for (size_t at = 0; (at = next_begin(text, at)) < text.size();) {
    const std::string_view rest = text.substr(at);
    const auto next = std::upper_bound(tokens_.begin(), tokens_.end(), rest,
                                       [](std::string_view a, const AddedToken& token) { return a < token.text; });
    if (next != tokens_.end() && next->text.starts_with(rest)) return at;  // a longer token begins so
    const AddedToken* token = longest_at(rest);
    at += token ? token->text.size() : 1;
  }
  return text.size();
}

size_t AddedTokens::space_begin(std::string_view text, size_t end) {
  while (end > 0) {
    size_t at = end - 1;
    while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
    if (!is_white_space(code_point_at(text, at).value)) break;
    end = at;
  }
  return end;
}

size_t AddedTokens::space_end(std::string_view text, size_t begin) {
  while (begin < text.size()) {
    const CodePoint c = code_point_at(text, begin);
    if (!is_white_space(c.value)) break;
    begin += c.size_bytes;
  }
  return begin;
}

}  // namespace dslite
