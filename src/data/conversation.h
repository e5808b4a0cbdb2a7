// Conversations of all raw formats, and why a record is rejected.
#pragma once
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "src/base/json.h"
#include "src/text/chat_format.h"

namespace dslite {

enum class RejectReason {
  kInvalidUtf8,
  kDamagedJson,
  kWrongSchema,
  kEmpty,
  kNoTrainedToken,
  kRoleOrder,
  kUnknownRole,
  kTools,
  kOverlong
};
const char* reject_reason_name(RejectReason reason);  // "invalid_utf8", ...: the keys of the attribute `dropped`

// Thrown for one record, caught where records are counted; never ends the program.
class RejectError : public std::runtime_error {
 public:
  RejectError(RejectReason reason, const std::string& what) : std::runtime_error(what), reason_(reason) {}
  RejectReason reason() const { return reason_; }

 private:
  RejectReason reason_;
};

enum class RawFormat { kMessages, kShareGpt, kAlpaca, kText };
const char* raw_format_name(RawFormat format);
std::vector<std::string> raw_format_names();
RawFormat raw_format_named(const std::string& name);  // UserError with the known names
// The one format whose keys the record has; nothing when none fits; UserError when several do.
std::optional<RawFormat> detect_format(const Json& record, const std::string& where);

struct Conversation {
  std::vector<Message> messages;
  std::set<std::string> unused_keys;  // that were read over; reported once a file
};

// One record of a conversation format; RejectError says what is wrong with it.
Conversation read_conversation(const Json& record, RawFormat format);
// {"text": ...}
std::string read_text_record(const Json& record, std::set<std::string>& unused_keys);

struct ConversationPolicies {
  bool strip = false;                 // whitespace around every message
  std::optional<std::string> system;  // for conversations without one
  bool train_last_turn_only = false;
};
void apply_policies(Conversation& conversation, const ConversationPolicies& policies);
// An optional system message, then user and assistant in turn, none empty, and something to learn.
void check_conversation(const std::vector<Message>& messages);

// XXH3-64 of the canonical JSON of roles and texts: independent of tokenizer, weights and policies.
uint64_t conversation_hash(const std::vector<Message>& messages);
std::string_view stripped(std::string_view text);

}  // namespace dslite
