// Encodes a text that comes in parts, such as a file larger than memory, with the ids that the whole would give. What
// later parts could still change is held back: with DeepSeek-V2's tokenizer a few characters, with others up to the
// last match of the first pattern. A normalizer, added tokens that take white space and steps without a hold keep all
// until finish().
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "src/text/tokenizer.h"

namespace dslite {

class StreamEncoder {
 public:
  // `where` names the text in errors.
  explicit StreamEncoder(const Tokenizer& tokenizer, const EncodeOptions& options = {}, std::string where = "text")
      : tokenizer_(tokenizer), options_(options), where_(std::move(where)) {}
  // Appends the ids that are certain. A part may end inside a character. UserError with the offset in the whole text
  // when it is not UTF-8.
  void push(std::string_view part, std::vector<int32_t>& ids);
  void finish(std::vector<int32_t>& ids);
  size_t held_bytes() const { return held_.size(); }

 private:
  static constexpr size_t kBlockBytes = size_t{1} << 20;  // work begins when so much has come
  void check(std::string_view text);
  void begin(std::vector<int32_t>& ids);
  const Tokenizer& tokenizer_;
  EncodeOptions options_;
  std::string where_;
  std::string held_;
  size_t checked_bytes_ = 0;       // of held_: well-formed
  size_t offset_ = 0;              // of held_ in the whole text
  size_t next_try_ = kBlockBytes;  // size of held_
};

}  // namespace dslite
