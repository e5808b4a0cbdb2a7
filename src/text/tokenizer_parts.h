// A tokenizer.json as read: what Tokenizer is made of.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "src/base/json.h"
#include "src/text/added_tokens.h"
#include "src/text/bpe.h"
#include "src/text/normalizer.h"
#include "src/text/pre_tokenizer.h"
#include "src/text/token_bytes.h"

namespace dslite {

struct TokenizerParts {
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  Bpe bpe;
  TokenBytes tokens;             // the added ones too
  AddedTokens raw_added;         // normalized false: recognised first
  AddedTokens normalized_added;  // normalized true: in what is left
  bool cuts_between_added;       // a cut behind a line feed is in no added token and changes none
  std::vector<bool> special;     // [vocab_size]
  std::map<std::string, int32_t> special_ids;
  std::optional<int32_t> bos, eos;
  std::string sha256;
};

// UserError naming the key for anything that would give other ids than the `tokenizers` package.
TokenizerParts read_tokenizer_parts(const Json& tokenizer_json, const Json& tokenizer_config, const std::string& where);

}  // namespace dslite
