// Documents of a token file as text for people: runs of tokens that are trained, masked or special.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "src/data/checks.h"
#include "src/text/tokenizer.h"

namespace dslite {

struct TextRun {
  std::string text;
  float weight;  // of the tokens as labels; above 0: trained
  bool special;
};
// The first `max_tokens` tokens. A document's first token is never trained; of text all others are, with weight 1.
std::vector<TextRun> text_runs(const StoredDocument& document, const Tokenizer& tokenizer, int64_t max_tokens);

enum class TextColors { kNone, kTerminal };
// Colours: trained green, masked dim, special cyan (bold green where trained). Without colours: trained text between ⟦
// and ⟧, after its weight where that is not 1.
std::string marked_text(const std::vector<TextRun>& runs, TextColors colors);

// Control characters and those that turn the direction of text as \xNN or \u{NNNN}: they must not reach a terminal.
std::string printable(std::string_view text);

// `count` documents spread evenly over a file of `num_documents`, ascending.
std::vector<uint64_t> sample_documents(int64_t num_documents, int64_t count);

// The tokenizer that made the file: in `folder`, or where that is empty in the folder that F.h5.json names. UserError
// when there is none or it is another.
std::shared_ptr<const Tokenizer> tokenizer_of(const TokenStore& store, const std::string& folder);
// The folder that `prepare` was given, from F.h5.json; empty when that is gone.
std::string tokenizer_folder_of(const TokenStore& store);

}  // namespace dslite
