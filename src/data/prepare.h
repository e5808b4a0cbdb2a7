// From raw files to token files: read, check, tokenise (on all threads), write; counts and names every rejected record.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "src/data/checks.h"
#include "src/data/conversation.h"

namespace dslite {

// What happens to a document of more than max_document_tokens tokens. Conversations lose whole turns, from the front
// (after the system prompt) or from the end; text loses tokens, and truncate-left keeps bos. split: nothing, packing
// cuts it into segments.
enum class Overlong { kSplit, kDrop, kTruncateLeft, kTruncateRight };
Overlong overlong_named(const std::string& name);

struct PrepareOptions {
  std::vector<std::string> inputs;
  std::string output;  // F.h5; with validation also F.validation.h5
  std::string tokenizer_folder;
  std::optional<RawFormat> format;  // default: detected from each file's keys
  std::string chat_format;          // default: recognised from the tokenizer folder's template, else deepseek-v2
  double validation_fraction = 0;
  double max_reject_fraction = 0.01;
  ConversationPolicies policies;
  Overlong overlong = Overlong::kSplit;
  int64_t max_document_tokens = 0;  // 0: no limit; only with another policy than split
  std::string rejects;              // a file for the rejected records; empty: none
};

struct PreparedFile {
  std::string path;
  TokenFileInfo info;
  CheckReport checks;
};
struct PrepareSummary {
  std::vector<PreparedFile> files;  // the training file, then the validation file
  int64_t num_records = 0, num_truncated = 0;
  std::map<std::string, int64_t> rejects;  // by reason
  int64_t num_rejects() const;
};

// Called on the main thread in input order: "chat.jsonl:17: role_order: message 2: ...".
using RejectReport = std::function<void(const std::string& line)>;
// UserError (and no output file) when nothing is left, when rejects exceed the limit (the file of rejects is written
// all the same), or when a container is damaged.
PrepareSummary prepare(const PrepareOptions& options, const RejectReport& report);

std::string validation_path(const std::string& output);

}  // namespace dslite
