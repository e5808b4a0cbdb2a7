// One raw record to one tokenised document: parse, apply policies, check, render, tokenise. Const and safe on several
// threads.
#pragma once
#include <string>
#include <vector>

#include "src/data/prepare.h"
#include "src/data/readers.h"

namespace dslite {

struct MadeDocument {
  uint64_t hash = 0;
  std::vector<int32_t> tokens;
  std::vector<float> loss_weight;
  std::vector<RenderedChat::Turn> turns;
  bool truncated = false;
  std::set<std::string> unused_keys;
};

class DocumentMaker {
 public:
  // chat_format: null where all records are text.
  DocumentMaker(const Tokenizer& tokenizer, const ChatFormat* chat_format, const PrepareOptions& options);
  // RejectError when the record is not to be used.
  MadeDocument make(const Input& input, const RawRecord& record) const;
  int32_t bos() const { return bos_; }
  int32_t eos() const { return eos_; }  // a conversation's: what ends an assistant's turn

 private:
  MadeDocument make_text(std::string_view text) const;
  MadeDocument make_conversation(Conversation conversation) const;
  RenderedChat render(const std::vector<Message>& messages) const;
  bool fits(size_t num_tokens) const { return max_tokens_ == 0 || static_cast<int64_t>(num_tokens) <= max_tokens_; }

  const Tokenizer& tokenizer_;
  const ChatFormat* chat_format_;
  ConversationPolicies policies_;
  Overlong overlong_;
  int64_t max_tokens_;
  int32_t bos_, eos_;
};

}  // namespace dslite
