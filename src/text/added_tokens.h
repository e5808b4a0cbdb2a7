// Added tokens: texts that become one id before any other step. The longest that begins at the leftmost place wins.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dslite {

struct AddedToken {
  std::string text;
  int32_t id;
  bool special;                         // only recognised when special tokens are parsed; the others always are
  bool lstrip = false, rstrip = false;  // takes the white space before, behind
};

class AddedTokens {
 public:
  explicit AddedTokens(std::vector<AddedToken> tokens);

  // Calls add_id(int32_t) for a recognised token and encode(std::string_view) for the text between, in order.
  // A special token that is not to be parsed stays text, and nothing inside it is recognised (as in the `tokenizers`
  // package).
  template <class AddId, class Encode>
  void split(std::string_view text, bool parse_special, AddId&& add_id, Encode&& encode) const {
    size_t done = 0;
    if (parse_special ? !tokens_.empty() : has_plain_) {
      for (size_t at = 0; (at = next_begin(text, at)) < text.size();) {
        const AddedToken* token = longest_at(text.substr(at));
        if (!token) {
          ++at;
          continue;
        }
        const size_t end = at + token->text.size();
        if (!token->special || parse_special) {
          const size_t begin = token->lstrip ? std::max(done, space_begin(text, at)) : at;
          if (begin > done) encode(text.substr(done, begin - done));
          add_id(token->id);
          done = token->rstrip ? space_end(text, end) : end;
        }
        at = end;
      }
    }
    if (done < text.size()) encode(text.substr(done));
  }

  // Tokens that begin before this place end before it, whatever follows the text; one may begin here.
  size_t settled_bytes(std::string_view text) const;
  // Whether split() of a text equals split() of its two halves for any cut between tokens that are recognised: no
  // token takes white space, and none begins inside a special one.
  bool can_settle() const { return can_settle_; }

 private:
  // The next place where a token may begin, or the text's end.
  size_t next_begin(std::string_view text, size_t from) const;
  const AddedToken* longest_at(std::string_view text) const;
  static size_t space_begin(std::string_view text, size_t end);
  static size_t space_end(std::string_view text, size_t begin);

  std::vector<AddedToken> tokens_;  // ordered by their texts
  std::array<bool, 256> begins_{};  // whether a token begins with the byte
  char only_begin_ = '\0';          // the byte, where there is only one
  bool has_plain_ = false;          // a token that is not special
  bool can_settle_ = true;
};

}  // namespace dslite
