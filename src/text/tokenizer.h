// Byte-level BPE tokenizers in the Hugging Face layout (tokenizer.json): the same ids as the `tokenizers` package on
// every string. Encoding and decoding are const and may run on any number of threads.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/json.h"

namespace dslite {

struct EncodeOptions {
  bool parse_special = false;  // text that looks like a special token becomes its id; else it stays text
  bool add_special = false;    // adds bos in front
};

class Tokenizer {
 public:
  // Reads FOLDER/tokenizer.json and, where it exists, FOLDER/tokenizer_config.json (bos_token, eos_token). UserError
  // names file and key.
  static std::shared_ptr<const Tokenizer> load(const std::string& folder);
  Tokenizer(const Json& tokenizer_json, const Json& tokenizer_config, const std::string& where);
  ~Tokenizer();

  // UserError with the byte offset when the text is not UTF-8.
  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options = {}) const;
  // The same on all threads (src/base/parallel_for.h), ids independent of their number: many texts, or one long text
  // where the pre-tokenizer lets it be cut.
  std::vector<std::vector<int32_t>> encode_batch(std::span<const std::string_view> texts,
                                                 const EncodeOptions& options = {}) const;
  std::vector<int32_t> encode_long(std::string_view text, const EncodeOptions& options = {}) const;
  // Appends the ids of the front that no further text can change and returns its size: encode() of the rest gives the
  // other ids. The text is well-formed UTF-8; add_special is not looked at. StreamEncoder is the convenient form.
  size_t encode_settled(std::string_view text, const EncodeOptions& options, std::vector<int32_t>& ids) const;
  // Bytes of the tokens; invalid UTF-8 (a cut character) becomes U+FFFD as the `tokenizers` package does. Unknown ids
  // are a UserError.
  std::string decode(std::span<const int32_t> ids, bool skip_special = false) const;
  // Raw bytes of one token (a special token: its text).
  std::string token_bytes(int32_t id) const;

  int64_t vocab_size() const;  // 1 + the largest id, added tokens included
  std::optional<int32_t> bos_id() const;
  std::optional<int32_t> eos_id() const;
  std::optional<int32_t> special_id(std::string_view text) const;
  bool is_special(int32_t id) const;
  // SHA-256 of the canonical JSON of model, added_tokens, normalizer and pre_tokenizer: not changed by an export's
  // post-processor.
  const std::string& sha256() const;

 private:
  struct State;
  void add_bos(std::vector<int32_t>& ids) const;
  std::unique_ptr<const State> state_;
};

// Turns a stream of ids into text piece by piece: holds back the bytes of an unfinished character.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  std::string push(int32_t id);  // the complete characters that this token ends; special tokens give nothing
  std::string finish();          // what is left, cut characters as U+FFFD

 private:
  const Tokenizer& tokenizer_;
  std::string pending_;
};

}  // namespace dslite
