// Policies and checks of conversations.
#include "src/data/conversation.h"

#include <algorithm>

#include "src/base/hash.h"
#include "src/text/strip.h"

namespace dslite {

const char* reject_reason_name(RejectReason reason) {
  static constexpr const char* kNames[] = {"invalid_utf8",     "nul",        "damaged_json", "wrong_schema", "empty",
                                           "no_trained_token", "role_order", "unknown_role", "tools",        "overlong",
                                           "too_large"};
  return kNames[static_cast<int>(reason)];
}

void apply_policies(Conversation& conversation, const ConversationPolicies& policies) {
  std::vector<Message>& messages = conversation.messages;
  if (policies.strip) {
    for (Message& message : messages) message.strip();
  }
  if (policies.system &&
      (messages.empty() || (messages[0].role != Role::kSystem && messages[0].role != Role::kDeveloper))) {
    messages.insert(messages.begin(), {Role::kSystem, *policies.system, 0.0f});
  }
  if (policies.train_last_turn_only) {
    const auto last =
        std::find_if(messages.rbegin(), messages.rend(), [](const Message& m) { return m.role == Role::kAssistant; });
    for (auto message = messages.rbegin(); message != messages.rend(); ++message) {
      if (message == last) continue;
      message->weight = 0;
      message->parts.clear();
    }
  }
}

void check_conversation(const std::vector<Message>& messages) {
  if (messages.empty()) reject(RejectReason::kEmpty, "no messages");
  Role expected = Role::kUser;
  bool trained = false;
  for (size_t i = 0; i < messages.size(); ++i) {
    const Message& message = messages[i];
    const Role role = message.role;
    if (i == 0 && (role == Role::kSystem || role == Role::kDeveloper)) continue;
    const bool result =
        role == Role::kTool && expected == Role::kUser && i > 0 && messages[i - 1].role == Role::kAssistant;
    if (role != expected && !result)
      reject(RejectReason::kRoleOrder, "message {}: role {}, expected {}", i, role_name(role), role_name(expected));
    if (stripped(message.text).empty()) reject(RejectReason::kEmpty, "message {} ({}) is empty", i, role_name(role));
    trained = trained || (role == Role::kAssistant && message.turn_weight() > 0);
    expected = role == Role::kAssistant ? Role::kUser : Role::kAssistant;
  }
  if (!trained) reject(RejectReason::kNoTrainedToken, "no message of an assistant with a weight above 0");
}

uint64_t conversation_hash(const std::vector<Message>& messages) {
  Json list = Json::array();
  for (const Message& message : messages)
    list.push_back({{"role", role_name(message.role)}, {"content", message.text}});
  return xxh3_64(canonical_json(list));
}

}  // namespace dslite
