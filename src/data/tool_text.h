// Tools as text: one line of JSON each for the list of tools, for calls and for results, so that any chat format can
// carry them.
#pragma once
#include <map>
#include <string>

#include "src/base/json.h"
#include "src/data/conversation.h"

namespace dslite {

class ToolText {
 public:
  explicit ToolText(ToolPolicy policy) : policy_(policy) {}
  // Lists and calls, whole or as a string of JSON; with kReject a RejectError unless they are empty.
  // {"tools":[...]}: put at the end of the system message when the conversation is complete.
  void take_tools(const Json& tools, const std::string& where);
  // {"tool_calls":[{"name":..., "arguments":...}]}, or nothing for an empty list.
  std::string calls(const Json& calls, const std::string& where);
  // {"tool_result":{"name":..., "content":...}}; the name by `call_id` where the message gives none.
  std::string result(const std::string& name, const std::string& call_id, const std::string& content) const;
  bool accepted() const { return policy_ == ToolPolicy::kJsonText; }

  // Adds the tools to the system message, joins results that follow each other into one message.
  void finish(std::vector<Message>& messages) const;

 private:
  bool is_empty(const Json& value) const;
  Json parsed(const Json& value, const std::string& where) const;
  ToolPolicy policy_;
  std::string tools_;
  std::map<std::string, std::string> name_of_call_;
};

// Adds a line to a message's text, with the message's weight.
void append_line(Message& message, const std::string& line);

}  // namespace dslite
