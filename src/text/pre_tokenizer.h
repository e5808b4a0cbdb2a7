// Cuts text into the pieces that BPE works on: the pre_tokenizer of a tokenizer.json. Steps apply in order, each to the
// pieces that the one before left. Supported: Split (Regex, Isolated), Digits (individual_digits), and ByteLevel
// (use_regex false, no prefix space) as the last. DeepSeek-V2's sequence is done by a scanner, all others by PCRE2.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "src/base/json.h"
#include "src/text/pattern.h"
#include "src/text/v2_scanner.h"

namespace dslite {

class PreTokenizer {
 public:
  PreTokenizer(const Json& pre_tokenizer, const std::string& where);

  // Calls each(std::string_view piece) for the pieces of the text, which is well-formed UTF-8; none is empty.
  template <class Each>
  void split(std::string_view text, Pattern::Scratch& scratch, Each&& each) const {
    if (scanner_) {
      for (size_t begin = 0, end; begin < text.size(); begin = end) {
        end = scanner_->piece_end(text, begin);
        each(text.substr(begin, end - begin));
      }
      return;
    }
    using Plain = std::remove_reference_t<Each>;
    const Sink sink{[](void* state, std::string_view piece) { (*static_cast<Plain*>(state))(piece); }, &each};
    split_from(0, text, scratch, sink);
  }

 private:
  struct Sink {
    void (*call)(void* state, std::string_view piece);
    void* state;
  };
  struct Step {
    std::optional<Pattern> pattern;  // none: isolate each numeric character
  };
  void add_step(const Json& step, const std::string& where, bool last);
  void split_from(size_t step, std::string_view text, Pattern::Scratch& scratch, const Sink& sink) const;

  const V2Scanner* scanner_ = nullptr;  // for DeepSeek-V2's sequence
  std::vector<Step> steps_;             // for any other
};

}  // namespace dslite
