// Tools as lines of JSON.
#include "src/data/tool_text.h"

#include "src/base/error.h"
#include "src/data/record_object.h"
#include "src/text/strip.h"

namespace dslite {
namespace {

// A call as {"name", "arguments"}: bare, or wrapped as OpenAI does it ({"id", "type", "function": {...}}).
Json plain_call(const Json& call, const std::string& where) {
  std::set<std::string> unused;
  const RecordObject outer(call, where, unused);
  const RecordObject inner(outer.find("function") ? outer.demand("function") : call, where, unused);
  Json arguments = inner.find("arguments") ? inner.demand("arguments") : Json::object();
  if (arguments.is_string()) {
    try {
      arguments = parse_json(arguments.get_ref<const std::string&>(), where);
    } catch (const UserError&) {
      // A model's arguments need not be JSON: then they stay text.
    }
  }
  return {{"name", inner.text("name")}, {"arguments", std::move(arguments)}};
}

}  // namespace

bool ToolText::is_empty(const Json& value) const {
  if (value.is_null() || (value.is_array() && value.empty())) return true;
  if (!value.is_string()) return false;
  const std::string_view text = stripped(value.get_ref<const std::string&>());
  return text.empty() || text == "[]";
}

Json ToolText::parsed(const Json& value, const std::string& where) const {
  if (!accepted()) reject(RejectReason::kTools, "{} needs --tools json-text", where);
  if (!value.is_string()) return value;
  try {
    return parse_json(value.get_ref<const std::string&>(), where);
  } catch (const UserError& error) {
    reject(RejectReason::kTools, "{}", error.what());
  }
}

void ToolText::take_tools(const Json& tools, const std::string& where) {
  if (is_empty(tools)) return;
  const Json list = parsed(tools, where);
  if (!list.is_array()) reject(RejectReason::kTools, "{}: found {}, expected a list", where, list.type_name());
  tools_ = Json{{"tools", list}}.dump();
}

std::string ToolText::calls(const Json& calls, const std::string& where) {
  if (is_empty(calls)) return {};
  Json list = parsed(calls, where);
  if (list.is_object()) list = Json::array({list});
  if (!list.is_array()) reject(RejectReason::kTools, "{}: found {}, expected a list of calls", where, list.type_name());
  Json plain = Json::array();
  for (const Json& call : list) {
    plain.push_back(plain_call(call, where));
    if (call.contains("id") && call["id"].is_string())
      name_of_call_[call["id"].get<std::string>()] = plain.back()["name"].get<std::string>();
  }
  return Json{{"tool_calls", plain}}.dump();
}

std::string ToolText::result(const std::string& name, const std::string& call_id, const std::string& content) const {
  Json result = Json::object();
  const auto known = name_of_call_.find(call_id);
  if (!name.empty()) {
    result["name"] = name;
  } else if (known != name_of_call_.end()) {
    result["name"] = known->second;
  }
  result["content"] = content;
  return Json{{"tool_result", result}}.dump();
}

void append_line(Message& message, const std::string& line) {
  const std::string added = (message.text.empty() ? "" : "\n") + line;
  message.text += added;
  if (!message.parts.empty()) message.parts.push_back({added.size(), message.weight});
}

void ToolText::finish(std::vector<Message>& messages) const {
  std::vector<Message> joined;
  for (Message& message : messages) {
    if (message.role == Role::kTool && !joined.empty() && joined.back().role == Role::kTool) {
      joined.back().text += "\n" + message.text;
    } else {
      joined.push_back(std::move(message));
    }
  }
  messages = std::move(joined);
  if (tools_.empty()) return;
  if (messages.empty() || (messages[0].role != Role::kSystem && messages[0].role != Role::kDeveloper))
    messages.insert(messages.begin(), {Role::kSystem, "", 0.0f});
  append_line(messages[0], tools_);
}

}  // namespace dslite
