// What must hold for every tokenised document, checked while it is written (`prepare`) and again from the file (`data
// check`): one bos, in front (none where the chat format has none); eos only where a document or a turn ends; trained
// tokens only inside assistants' turns, with at most the turn's weight; every trained turn ends in an eos with the
// turn's weight; every document has a trained token.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "src/base/json.h"
#include "src/data/token_store.h"

namespace dslite {

struct CheckReport {
  int64_t num_documents = 0, num_tokens = 0, num_trained_tokens = 0;
  int64_t num_bos = 0;
  int64_t num_without_eos = 0;  // documents without an eos at their end: truncated, or a user has the last word
  int64_t num_assistant_turns = 0, num_trained_turns = 0;
  int64_t num_truncated = 0;   // told by `prepare`; the file alone does not show it
  int64_t num_duplicates = 0;  // documents whose hash an earlier one has
  int64_t num_problems = 0;
  std::vector<std::string> problems;  // the first of them
  bool passed() const { return num_problems == 0; }
  Json verdict() const;  // the attribute `checked`
};

class TokenChecker {
 public:
  explicit TokenChecker(const TokenFileInfo& info);
  void add(const TokenDocument& document);
  CheckReport report();  // sorts the hashes for the duplicates

 private:
  void check_text(const TokenDocument& document);
  void check_conversation(const TokenDocument& document);
  void check_turn(const TokenDocument& document, const RenderedChat::Turn& turn);
  bool ends_in_eos(const TokenDocument& document) const;
  void problem(const std::string& what);
  TokenFileKind kind_;
  ChatTraits traits_;
  int64_t bos_, eos_;
  CheckReport report_;
  std::vector<uint64_t> hashes_;
};

// All checks again, from the file.
CheckReport check_token_file(const TokenStore& store);
struct StoredDocument {
  std::vector<int32_t> tokens;
  std::vector<float> loss_weight;
  std::vector<RenderedChat::Turn> turns;
};
// Reads whole documents with their turns, in ascending order.
class DocumentReader {
 public:
  explicit DocumentReader(const TokenStore& store) : store_(store) {}
  StoredDocument read(uint64_t index);

 private:
  const TokenStore& store_;
  uint64_t next_turn_ = 0;
};

}  // namespace dslite
