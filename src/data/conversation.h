// Conversations of all raw formats, and what is done to them before they become tokens.
#pragma once
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "src/data/raw_format.h"
#include "src/data/reject.h"
#include "src/text/message.h"

namespace dslite {

struct Conversation {
  std::vector<Message> messages;
  std::set<std::string> unused_keys;  // that were read over; reported once a file
};

// What becomes of lists of tools, calls and results. kJsonText writes each as one line of JSON: the tools at the end of
// the system message, calls at the end of the assistant's, results as messages of role tool.
enum class ToolPolicy { kReject, kJsonText };

// One record of a conversation format; RejectError says what is wrong with it.
Conversation read_conversation(const Json& record, RawFormat format, ToolPolicy tools = ToolPolicy::kReject);
// {"text": ...}
std::string read_text_record(const Json& record, std::set<std::string>& unused_keys);

struct ConversationPolicies {
  bool strip = false;                 // whitespace around every message
  std::optional<std::string> system;  // for conversations without one
  bool train_last_turn_only = false;
  ToolPolicy tools = ToolPolicy::kReject;
};
void apply_policies(Conversation& conversation, const ConversationPolicies& policies);
// An optional system message, then user (or tool, behind a reply) and assistant in turn, none empty, and something to
// learn.
void check_conversation(const std::vector<Message>& messages);

// XXH3-64 of the canonical JSON of roles and texts: independent of tokenizer, weights and policies.
uint64_t conversation_hash(const std::vector<Message>& messages);

}  // namespace dslite
