// Formats by their keys, policies and checks of conversations.
#include "src/data/conversation.h"

#include <array>
#include <cmath>

#include "src/base/error.h"
#include "src/base/hash.h"

namespace dslite {
namespace {

template <class... Args>
[[noreturn]] void reject(RejectReason reason, fmt::format_string<Args...> format, Args&&... args) {
  throw RejectError(reason, fmt::format(format, std::forward<Args>(args)...));
}

// Key access whose failure rejects the record.
class RecordObject {
 public:
  RecordObject(const Json& value, std::string where, std::set<std::string>& unused)
      : value_(value), where_(std::move(where)), unused_(unused) {
    if (!value.is_object())
      reject(RejectReason::kWrongSchema, "{}: found {}, expected an object", where_, value.type_name());
  }
  // Whatever is not among `known` is noted as unused.
  void note_unused(std::initializer_list<std::string_view> known) const {
    for (const auto& [key, value] : value_.items()) {
      if (std::find(known.begin(), known.end(), key) == known.end()) unused_.insert(key);
    }
  }
  const Json* find(const char* key) const {
    const auto found = value_.find(key);
    return found == value_.end() || found->is_null() ? nullptr : &*found;
  }
  const Json& demand(const char* key) const {
    const Json* found = find(key);
    if (!found) reject(RejectReason::kWrongSchema, "{}: key \"{}\" is missing or null", where_, key);
    return *found;
  }
  std::string text(const char* key) const {
    const Json& found = demand(key);
    if (!found.is_string())
      reject(RejectReason::kWrongSchema, "{}: key \"{}\": found {}, expected a string", where_, key, found.type_name());
    return found.get<std::string>();
  }
  std::string text_or_empty(const char* key) const { return find(key) ? text(key) : std::string(); }
  const Json& list(const char* key) const {
    const Json& found = demand(key);
    if (!found.is_array())
      reject(RejectReason::kWrongSchema, "{}: key \"{}\": found {}, expected a list", where_, key, found.type_name());
    return found;
  }
  const std::string& where() const { return where_; }
  bool contains(const char* key) const { return value_.contains(key); }

 private:
  const Json& value_;
  std::string where_;
  std::set<std::string>& unused_;
};

// Lists of tools and calls change what the assistant sees or says; without a rendering for them the record would teach
// something else.
void refuse_tools(const RecordObject& object, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    const Json* found = object.find(key);
    if (!found || (found->is_array() && found->empty())) continue;
    if (found->is_string() &&
        (stripped(found->get_ref<const std::string&>()).empty() || found->get_ref<const std::string&>() == "[]"))
      continue;
    reject(RejectReason::kTools, "{}: \"{}\" is not supported", object.where(), key);
  }
}

std::string message_content(const RecordObject& message) {
  const Json* content = message.find("content");
  if (!content) reject(RejectReason::kEmpty, "{}: no content", message.where());
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array())
    reject(RejectReason::kWrongSchema, "{}: content: found {}, expected a string or a list of parts", message.where(),
           content->type_name());
  std::string text;
  std::set<std::string> unused;
  for (const Json& part_json : *content) {
    const RecordObject part(part_json, message.where() + ": part", unused);
    if (const std::string type = part.text("type"); type != "text")
      reject(RejectReason::kWrongSchema, "{}: part of type {}, expected \"text\"", message.where(), shown(type));
    text += part.find("text") ? part.text("text") : part.text("value");
  }
  return text;
}

float message_weight(const RecordObject& message, Role role) {
  const Json *weight = message.find("weight"), *loss_weight = message.find("loss_weight");
  if (weight && loss_weight)
    reject(RejectReason::kWrongSchema, "{}: both \"weight\" and \"loss_weight\"", message.where());
  if (!weight) weight = loss_weight;
  if (!weight) return role == Role::kAssistant ? 1.0f : 0.0f;
  const double value = weight->is_number() ? weight->get<double>() : std::nan("");
  if (!(value >= 0 && value <= 1e6))
    reject(RejectReason::kWrongSchema, "{}: weight: found {}, expected a number from 0 to 1e6", message.where(),
           weight->dump());
  if (role != Role::kAssistant && value > 0)
    reject(RejectReason::kWrongSchema, "{}: weight {} on a message of role \"{}\": only an assistant's are trained",
           message.where(), value, role_name(role));
  return static_cast<float>(value);
}

Conversation read_messages(const Json& record) {
  Conversation conversation;
  const RecordObject object(record, "record", conversation.unused_keys);
  object.note_unused({"messages", "id", "tools", "functions"});
  refuse_tools(object, {"tools", "functions"});
  for (const Json& message_json : object.list("messages")) {
    const RecordObject message(message_json, fmt::format("message {}", conversation.messages.size()),
                               conversation.unused_keys);
    message.note_unused({"role", "content", "weight", "loss_weight", "tool_calls", "function_call", "mask"});
    refuse_tools(message, {"tool_calls", "function_call"});
    if (message.contains("mask"))
      reject(RejectReason::kWrongSchema, "{}: key \"mask\" is not supported", message.where());
    static constexpr std::array<Role, 4> kRoles = {Role::kSystem, Role::kUser, Role::kAssistant, Role::kDeveloper};
    const std::string name = message.text("role");
    const auto role = std::find_if(kRoles.begin(), kRoles.end(), [&](Role r) { return name == role_name(r); });
    if (role == kRoles.end())
      reject(RejectReason::kUnknownRole, "{}: role {}, expected system, developer, user or assistant", message.where(),
             shown(name));
    std::string text = message_content(message);
    conversation.messages.push_back({*role, std::move(text), message_weight(message, *role)});
  }
  return conversation;
}

Conversation read_sharegpt(const Json& record) {
  Conversation conversation;
  const RecordObject object(record, "record", conversation.unused_keys);
  object.note_unused({"conversations", "system", "tools", "id"});
  refuse_tools(object, {"tools"});
  if (std::string system = object.text_or_empty("system"); !system.empty())
    conversation.messages.push_back({Role::kSystem, std::move(system), 0.0f});
  size_t index = 0;
  for (const Json& message_json : object.list("conversations")) {
    const RecordObject message(message_json, fmt::format("conversations[{}]", index++), conversation.unused_keys);
    message.note_unused({"from", "value", "weight"});
    static const std::array<std::pair<const char*, Role>, 5> kNames = {{{"human", Role::kUser},
                                                                        {"user", Role::kUser},
                                                                        {"gpt", Role::kAssistant},
                                                                        {"assistant", Role::kAssistant},
                                                                        {"system", Role::kSystem}}};
    const std::string name = message.text("from");
    const auto found =
        std::find_if(kNames.begin(), kNames.end(), [&](const auto& known) { return name == known.first; });
    if (found == kNames.end())
      reject(RejectReason::kUnknownRole, "{}: from {}, expected human, gpt or system", message.where(), shown(name));
    conversation.messages.push_back({found->second, message.text("value"), message_weight(message, found->second)});
  }
  return conversation;
}

Conversation read_alpaca(const Json& record) {
  Conversation conversation;
  const RecordObject object(record, "record", conversation.unused_keys);
  object.note_unused({"instruction", "input", "output", "system", "history", "id"});
  if (std::string system = object.text_or_empty("system"); !system.empty())
    conversation.messages.push_back({Role::kSystem, std::move(system), 0.0f});
  if (object.find("history")) {
    for (const Json& pair : object.list("history")) {
      if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string()) {
        reject(RejectReason::kWrongSchema, "history: found {}, expected pairs of strings", shown(pair.dump()));
      }
      conversation.messages.push_back({Role::kUser, pair[0].get<std::string>(), 0.0f});
      conversation.messages.push_back({Role::kAssistant, pair[1].get<std::string>(), 1.0f});
    }
  }
  std::string user = object.text("instruction");
  if (const std::string input = object.text_or_empty("input"); !input.empty()) user += "\n" + input;
  conversation.messages.push_back({Role::kUser, std::move(user), 0.0f});
  conversation.messages.push_back({Role::kAssistant, object.text("output"), 1.0f});
  return conversation;
}

}  // namespace

const char* reject_reason_name(RejectReason reason) {
  static constexpr const char* kNames[] = {"invalid_utf8",     "damaged_json", "wrong_schema", "empty",
                                           "no_trained_token", "role_order",   "unknown_role", "tools",
                                           "overlong"};
  return kNames[static_cast<int>(reason)];
}

const char* raw_format_name(RawFormat format) {
  static constexpr const char* kNames[] = {"messages", "sharegpt", "alpaca", "text"};
  return kNames[static_cast<int>(format)];
}
std::vector<std::string> raw_format_names() { return {"messages", "sharegpt", "alpaca", "text"}; }
RawFormat raw_format_named(const std::string& name) {
  for (const RawFormat format : {RawFormat::kMessages, RawFormat::kShareGpt, RawFormat::kAlpaca, RawFormat::kText}) {
    if (name == raw_format_name(format)) return format;
  }
  fail_input("--format: found {}, expected {}{}", shown(name), fmt::join(raw_format_names(), ", "),
             suggestion(name, raw_format_names()));
}

std::optional<RawFormat> detect_format(const Json& record, const std::string& where) {
  std::vector<RawFormat> fitting;
  if (record.contains("messages")) fitting.push_back(RawFormat::kMessages);
  if (record.contains("conversations")) fitting.push_back(RawFormat::kShareGpt);
  if (record.contains("instruction") && record.contains("output")) fitting.push_back(RawFormat::kAlpaca);
  if (record.contains("text")) fitting.push_back(RawFormat::kText);
  if (fitting.empty()) return std::nullopt;
  if (fitting.size() > 1) {
    fail_input("{}: the keys fit the formats {} and {}; choose one with --format", where, raw_format_name(fitting[0]),
               raw_format_name(fitting[1]));
  }
  return fitting[0];
}

Conversation read_conversation(const Json& record, RawFormat format) {
  switch (format) {
    case RawFormat::kMessages:
      return read_messages(record);
    case RawFormat::kShareGpt:
      return read_sharegpt(record);
    case RawFormat::kAlpaca:
      return read_alpaca(record);
    case RawFormat::kText:
      break;
  }
  DSLITE_ASSERT(false);
  return {};
}

std::string read_text_record(const Json& record, std::set<std::string>& unused_keys) {
  const RecordObject object(record, "record", unused_keys);
  object.note_unused({"text", "id"});
  return object.text("text");
}

std::string_view stripped(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n\f\v";
  const size_t begin = text.find_first_not_of(kSpaces);
  return begin == std::string_view::npos ? std::string_view()
                                         : text.substr(begin, text.find_last_not_of(kSpaces) + 1 - begin);
}

void apply_policies(Conversation& conversation, const ConversationPolicies& policies) {
  std::vector<Message>& messages = conversation.messages;
  if (policies.strip) {
    for (Message& message : messages) message.text = std::string(stripped(message.text));
  }
  if (policies.system &&
      (messages.empty() || (messages[0].role != Role::kSystem && messages[0].role != Role::kDeveloper))) {
    messages.insert(messages.begin(), {Role::kSystem, *policies.system, 0.0f});
  }
  if (policies.train_last_turn_only) {
    const auto last =
        std::find_if(messages.rbegin(), messages.rend(), [](const Message& m) { return m.role == Role::kAssistant; });
    for (auto message = messages.rbegin(); message != messages.rend(); ++message) {
      if (message != last) message->weight = 0;
    }
  }
}

void check_conversation(const std::vector<Message>& messages) {
  if (messages.empty()) reject(RejectReason::kEmpty, "no messages");
  Role expected = Role::kUser;
  bool trained = false;
  for (size_t i = 0; i < messages.size(); ++i) {
    const auto& [role, text, weight] = messages[i];
    if (i == 0 && (role == Role::kSystem || role == Role::kDeveloper)) continue;
    if (role != expected)
      reject(RejectReason::kRoleOrder, "message {}: role {}, expected {}", i, role_name(role), role_name(expected));
    if (stripped(text).empty()) reject(RejectReason::kEmpty, "message {} ({}) is empty", i, role_name(role));
    trained = trained || (role == Role::kAssistant && weight > 0);
    expected = role == Role::kUser ? Role::kAssistant : Role::kUser;
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
