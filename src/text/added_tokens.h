// Added tokens: texts that become one id before any other step. The longest that begins at the leftmost place wins.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dslite {

struct AddedToken {
  std::string text;
  int32_t id;
  bool special;  // only recognised when special tokens are parsed; the others always are
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
          if (at > done) encode(text.substr(done, at - done));
          add_id(token->id);
          done = end;
        }
        at = end;
      }
    }
    if (done < text.size()) encode(text.substr(done));
  }

 private:
  // The next place where a token may begin, or the text's end.
  size_t next_begin(std::string_view text, size_t from) const;
  const AddedToken* longest_at(std::string_view text) const;
  std::vector<AddedToken> tokens_;  // by falling length
  std::string begins_;              // the first bytes of tokens, each once
  bool has_plain_ = false;          // a token that is not special
};

}  // namespace dslite
