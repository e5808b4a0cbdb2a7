// One reader a raw format.
#include <algorithm>
#include <array>
#include <cmath>

#include "src/base/error.h"
#include "src/data/conversation.h"
#include "src/data/record_object.h"
#include "src/data/tool_text.h"

namespace dslite {
namespace {

std::optional<float> weight_of(const RecordObject& object) {
  const Json *weight = object.find("weight"), *loss_weight = object.find("loss_weight");
  if (weight && loss_weight)
    reject(RejectReason::kWrongSchema, "{}: both \"weight\" and \"loss_weight\"", object.where());
  if (!weight) weight = loss_weight;
  if (!weight) return std::nullopt;
  const double value = weight->is_number() ? weight->get<double>() : std::nan("");
  if (!(value >= 0 && value <= 1e6))
    reject(RejectReason::kWrongSchema, "{}: weight: found {} {}, expected a number from 0 to 1e6", object.where(),
           weight->type_name(), shown_json(*weight));
  return static_cast<float>(value);
}

// The message's weight, or what its role says; only an assistant is ever trained.
float message_weight(const RecordObject& message, Role role) {
  const std::optional<float> weight = weight_of(message);
  if (role != Role::kAssistant && weight.value_or(0) > 0)
    reject(RejectReason::kWrongSchema, "{}: weight {} on a message of role \"{}\": only an assistant's are trained",
           message.where(), *weight, role_name(role));
  return weight.value_or(role == Role::kAssistant ? 1.0f : 0.0f);
}

// A string, or a list of {"type": "text", "text" or "value": ..., weight}; null and missing are empty.
void read_content(const RecordObject& object, Message& message) {
  const Json* content = object.find("content");
  if (!content) return;
  if (content->is_string()) {
    message.text = content->get<std::string>();
    return;
  }
  if (!content->is_array())
    reject(RejectReason::kWrongSchema, "{}: content: found {} {}, expected a string or a list of parts", object.where(),
           content->type_name(), shown_json(*content));
  bool weighted = false;
  for (const Json& part_json : *content) {
    const RecordObject part(part_json, object.where() + ": part", object.unused());
    part.note_unused({"type", "text", "value", "weight", "loss_weight"});
    if (const std::string type = part.text("type"); type != "text")
      reject(RejectReason::kWrongSchema, "{}: part of type {}, expected \"text\"", object.where(), shown(type));
    if (part.find("text") && part.find("value"))
      reject(RejectReason::kWrongSchema, "{}: part with both \"text\" and \"value\"", object.where());
    const std::string text = part.find("value") ? part.text("value") : part.text("text");
    const std::optional<float> weight = weight_of(part);
    if (message.role != Role::kAssistant && weight.value_or(0) > 0)
      reject(RejectReason::kWrongSchema, "{}: part with weight {}: only an assistant's are trained", object.where(),
             *weight);
    weighted = weighted || weight;
    message.text += text;
    if (!text.empty()) message.parts.push_back({text.size(), weight.value_or(message.weight)});
  }
  if (!weighted) message.parts.clear();
}

Role role_of(const RecordObject& message, const ToolText& tools) {
  static constexpr std::array<Role, 4> kRoles = {Role::kSystem, Role::kUser, Role::kAssistant, Role::kDeveloper};
  const std::string name = message.text("role");
  const auto role = std::find_if(kRoles.begin(), kRoles.end(), [&](Role r) { return name == role_name(r); });
  if (role != kRoles.end()) return *role;
  if (name == "tool" || name == "function") {
    if (tools.accepted()) return Role::kTool;
    reject(RejectReason::kUnknownRole, "{}: role {} needs --tools json-text", message.where(), shown(name));
  }
  reject(RejectReason::kUnknownRole, "{}: role {}, expected system, developer, user, assistant or tool",
         message.where(), shown(name));
}

// One of OpenAI's messages.
Message read_message(const RecordObject& object, ToolText& tools) {
  object.note_unused(
      {"role", "content", "weight", "loss_weight", "tool_calls", "function_call", "tool_call_id", "name", "mask"});
  const Role role = role_of(object, tools);
  Message message{role, "", message_weight(object, role)};
  read_content(object, message);
  if (role == Role::kTool) {
    message.text = tools.result(object.text_or_empty("name"), object.text_or_empty("tool_call_id"), message.text);
    message.parts.clear();
  }
  bool says_something = object.find("content");
  for (const char* key : {"tool_calls", "function_call"}) {
    if (!object.find(key)) continue;
    const std::string calls = tools.calls(object.demand(key), fmt::format("{}: key \"{}\"", object.where(), key));
    if (calls.empty()) continue;
    says_something = true;
    if (role != Role::kAssistant)
      reject(RejectReason::kTools, "{}: \"{}\" on a message of role \"{}\"", object.where(), key, role_name(role));
    append_line(message, calls);
  }
  if (!says_something) reject(RejectReason::kEmpty, "{}: no content", object.where());
  return message;
}

void read_message_list(const Json& list, const std::string& name, std::set<std::string>& unused, ToolText& tools,
                       std::vector<Message>& messages) {
  for (size_t i = 0; i < list.size(); ++i)
    messages.push_back(read_message(RecordObject(list[i], fmt::format("{} {}", name, i), unused), tools));
}

void take_tools(const RecordObject& record, std::initializer_list<const char*> keys, ToolText& tools) {
  for (const char* key : keys) {
    if (record.find(key)) tools.take_tools(record.demand(key), fmt::format("key \"{}\"", key));
  }
}

void read_messages(const RecordObject& record, ToolText& tools, std::vector<Message>& messages) {
  record.note_unused({"messages", "id", "tools", "functions"});
  take_tools(record, {"tools", "functions"}, tools);
  for (const Json& message : record.list("messages")) {
    if (message.is_object() && message.contains("mask"))
      reject(RejectReason::kWrongSchema, "message with a key \"mask\": that is the format esft");
  }
  read_message_list(record.list("messages"), "message", record.unused(), tools, messages);
}

// ESFT (arXiv:2407.01906): a reply with mask 1 is not trained; users' messages never are.
void read_esft(const RecordObject& record, ToolText& tools, std::vector<Message>& messages) {
  record.note_unused({"messages", "id", "dataset"});
  const Json& list = record.list("messages");
  read_message_list(list, "message", record.unused(), tools, messages);
  for (size_t i = 0; i < list.size(); ++i) {
    const RecordObject object(list[i], fmt::format("message {}", i), record.unused());
    const Json* mask = object.find("mask");
    if (!mask) continue;
    if (!mask->is_number_integer() || (*mask != 0 && *mask != 1))
      reject(RejectReason::kWrongSchema, "{}: mask: found {} {}, expected 0 or 1", object.where(), mask->type_name(),
             shown_json(*mask));
    if (*mask == 1) {
      messages[i].weight = 0;
      messages[i].parts.clear();
    }
  }
}

void read_sharegpt(const RecordObject& record, ToolText& tools, std::vector<Message>& messages) {
  record.note_unused({"conversations", "system", "tools", "id"});
  take_tools(record, {"tools"}, tools);
  if (std::string system = record.text_or_empty("system"); !system.empty())
    messages.push_back({Role::kSystem, std::move(system), 0.0f});
  size_t index = 0;
  for (const Json& json : record.list("conversations")) {
    const RecordObject object(json, fmt::format("conversations[{}]", index++), record.unused());
    object.note_unused({"from", "value", "weight", "loss_weight"});
    static const std::array<std::pair<const char*, Role>, 7> kNames = {{{"human", Role::kUser},
                                                                        {"user", Role::kUser},
                                                                        {"gpt", Role::kAssistant},
                                                                        {"assistant", Role::kAssistant},
                                                                        {"system", Role::kSystem},
                                                                        {"function_call", Role::kAssistant},
                                                                        {"observation", Role::kTool}}};
    const std::string name = object.text("from");
    const auto found =
        std::find_if(kNames.begin(), kNames.end(), [&](const auto& known) { return name == known.first; });
    const bool call = name == "function_call", result = name == "observation";
    if (found == kNames.end())
      reject(RejectReason::kUnknownRole, "{}: from {}, expected human, gpt, system, function_call or observation",
             object.where(), shown(name));
    if ((call || result) && !tools.accepted())
      reject(RejectReason::kUnknownRole, "{}: from {} needs --tools json-text", object.where(), shown(name));
    Message message{found->second, object.text("value"), message_weight(object, found->second)};
    if (call) message.text = tools.calls(object.demand("value"), object.where());
    if (result) message.text = tools.result("", "", message.text);
    messages.push_back(std::move(message));
  }
}

void read_alpaca(const RecordObject& record, std::vector<Message>& messages) {
  record.note_unused({"instruction", "input", "output", "system", "history", "id"});
  if (std::string system = record.text_or_empty("system"); !system.empty())
    messages.push_back({Role::kSystem, std::move(system), 0.0f});
  if (record.find("history")) {
    for (const Json& pair : record.list("history")) {
      if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string())
        reject(RejectReason::kWrongSchema, "history: found {}, expected pairs of strings", shown_json(pair));
      messages.push_back({Role::kUser, pair[0].get<std::string>(), 0.0f});
      messages.push_back({Role::kAssistant, pair[1].get<std::string>(), 1.0f});
    }
  }
  std::string user = record.text("instruction");
  if (const std::string input = record.text_or_empty("input"); !input.empty()) user += "\n" + input;
  messages.push_back({Role::kUser, std::move(user), 0.0f});
  messages.push_back({Role::kAssistant, record.text("output"), 1.0f});
}

// Each side is a text or a list of messages.
void read_prompt_completion(const RecordObject& record, ToolText& tools, std::vector<Message>& messages) {
  record.note_unused({"prompt", "completion", "id", "tools"});
  take_tools(record, {"tools"}, tools);
  for (const char* key : {"prompt", "completion"}) {
    const Role role = key[0] == 'p' ? Role::kUser : Role::kAssistant;
    if (record.demand(key).is_array()) {
      read_message_list(record.demand(key), key, record.unused(), tools, messages);
    } else {
      messages.push_back({role, record.text(key), role == Role::kAssistant ? 1.0f : 0.0f});
    }
    if (role == Role::kAssistant) break;
    // What the prompt holds is given, not learned.
    for (Message& message : messages) {
      message.weight = 0;
      message.parts.clear();
    }
  }
}

void read_question_answer(const RecordObject& record, std::vector<Message>& messages) {
  record.note_unused({"question", "answer", "id"});
  messages.push_back({Role::kUser, record.text("question"), 0.0f});
  messages.push_back({Role::kAssistant, record.text("answer"), 1.0f});
}

}  // namespace

Conversation read_conversation(const Json& json, RawFormat format, ToolPolicy policy) {
  Conversation conversation;
  std::vector<Message>& messages = conversation.messages;
  ToolText tools(policy);
  const RecordObject record(json, "record", conversation.unused_keys);
  switch (format) {
    case RawFormat::kMessages:
      read_messages(record, tools, messages);
      break;
    case RawFormat::kShareGpt:
      read_sharegpt(record, tools, messages);
      break;
    case RawFormat::kAlpaca:
      read_alpaca(record, messages);
      break;
    case RawFormat::kPromptCompletion:
      read_prompt_completion(record, tools, messages);
      break;
    case RawFormat::kQuestionAnswer:
      read_question_answer(record, messages);
      break;
    case RawFormat::kEsft:
      read_esft(record, tools, messages);
      break;
    case RawFormat::kText:
      DSLITE_ASSERT(false);
  }
  tools.finish(messages);
  return conversation;
}

std::string read_text_record(const Json& record, std::set<std::string>& unused_keys) {
  const RecordObject object(record, "record", unused_keys);
  object.note_unused({"text", "id"});
  return object.text("text");
}

}  // namespace dslite
