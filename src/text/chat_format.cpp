// The formats deepseek-v2 (the template of DeepSeek-V2-Lite-Chat) and plain (the texts one after another, eos after
// each reply).
#include "src/text/chat_format.h"

#include <algorithm>
#include <array>

#include "src/base/error.h"
#include "src/base/hash.h"

namespace dslite {
namespace {

ChatSegment special(SpecialToken token, Role role, float weight, int32_t message) {
  return {{}, token, role, weight, message};
}
ChatSegment untrained(std::string text, Role role, int32_t message) {
  return {std::move(text), SpecialToken::kNone, role, 0.0f, message};
}

[[noreturn]] void refuse_role(const std::string& format, size_t message, Role role) {
  fail_input("message {}: the chat format {} has no role \"{}\"", message, format, role_name(role));
}

class DeepseekV2 : public ChatFormat {
 public:
  std::string name() const override { return "deepseek-v2"; }

  std::string chat_template() const override {
    return "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{{ "
           "bos_token }}{% for message in messages %}"
           "{% if message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\\n\\n' }}"
           "{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + eos_token }}"
           "{% elif message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}{% endif %}{% endfor %}"
           "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";
  }

  std::vector<ChatSegment> render(const std::vector<Message>& messages, bool add_generation_prompt) const override {
    std::vector<ChatSegment> segments = {special(SpecialToken::kBos, Role::kSystem, 0.0f, -1)};
    for (size_t i = 0; i < messages.size(); ++i) {
      const auto& [role, text, weight] = messages[i];
      const int32_t index = static_cast<int32_t>(i);
      if (role == Role::kSystem) {
        segments.push_back(untrained(text + "\n\n", role, index));
      } else if (role == Role::kUser) {
        segments.push_back(untrained("User: " + text + "\n\n", role, index));
      } else if (role == Role::kAssistant) {
        segments.push_back(untrained("Assistant:", role, index));
        segments.push_back(
            {" " + text, SpecialToken::kNone, role, weight, index});  // the reply's first token carries the space
        segments.push_back(special(SpecialToken::kEos, role, weight, index));
      } else {
        refuse_role(name(), i, role);
      }
    }
    if (add_generation_prompt) segments.push_back(untrained("Assistant:", Role::kAssistant, -1));
    return segments;
  }
};

class Plain : public ChatFormat {
 public:
  std::string name() const override { return "plain"; }

  std::string chat_template() const override {
    return "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% if message['role'] == 'assistant' "
           "%}{{ eos_token }}{% endif %}{% endfor %}";
  }

  std::vector<ChatSegment> render(const std::vector<Message>& messages, bool) const override {
    std::vector<ChatSegment> segments = {special(SpecialToken::kBos, Role::kSystem, 0.0f, -1)};
    for (size_t i = 0; i < messages.size(); ++i) {
      const auto& [role, text, weight] = messages[i];
      const int32_t index = static_cast<int32_t>(i);
      if (role == Role::kTool || role == Role::kDeveloper) refuse_role(name(), i, role);
      const bool reply = role == Role::kAssistant;
      segments.push_back({text, SpecialToken::kNone, role, reply ? weight : 0.0f, index});
      if (reply) segments.push_back(special(SpecialToken::kEos, role, weight, index));
    }
    return segments;
  }
};

const std::array<const ChatFormat*, 2>& formats() {
  static const DeepseekV2 deepseek_v2;
  static const Plain plain;
  static const std::array<const ChatFormat*, 2> table = {&deepseek_v2, &plain};
  return table;
}

// Published templates hold real line feeds inside their string literals where ours hold "\\n": the same to Jinja.
std::string with_escaped_line_feeds(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out;
}

int32_t special_id(const Tokenizer& tokenizer, SpecialToken token) {
  const std::optional<int32_t> id = token == SpecialToken::kBos ? tokenizer.bos_id() : tokenizer.eos_id();
  if (!id)
    fail_input("the tokenizer names no {} token, which chat formats need", token == SpecialToken::kBos ? "bos" : "eos");
  return *id;
}

}  // namespace

const char* role_name(Role role) {
  static constexpr const char* kNames[] = {"system", "user", "assistant", "tool", "developer"};
  return kNames[static_cast<int>(role)];
}

std::vector<std::string> ChatFormat::names() {
  std::vector<std::string> names;
  for (const ChatFormat* format : formats()) names.push_back(format->name());
  return names;
}

const ChatFormat& ChatFormat::named(const std::string& name) {
  for (const ChatFormat* format : formats()) {
    if (format->name() == name) return *format;
  }
  fail_input("chat format: found {}, expected {}{}", shown(name), fmt::join(names(), " or "),
             suggestion(name, names()));
}

const ChatFormat& ChatFormat::recognised(std::string_view chat_template, const std::string& where) {
  const std::string hash = sha256_hex(with_escaped_line_feeds(chat_template));
  for (const ChatFormat* format : formats()) {
    if (sha256_hex(format->chat_template()) == hash) return *format;
  }
  fail_input("{}: the chat template {} (SHA-256 {}) is not one of the known formats: {}", where, shown(chat_template),
             hash, fmt::join(names(), ", "));
}

RenderedChat tokenize_chat(const Tokenizer& tokenizer, const std::vector<ChatSegment>& segments) {
  RenderedChat chat;
  for (const ChatSegment& segment : segments) {
    const int64_t begin = static_cast<int64_t>(chat.tokens.size());
    if (segment.special != SpecialToken::kNone) {
      chat.tokens.push_back(special_id(tokenizer, segment.special));
    } else {
      const std::vector<int32_t> ids = tokenizer.encode(segment.text);
      chat.tokens.insert(chat.tokens.end(), ids.begin(), ids.end());
    }
    chat.loss_weight.resize(chat.tokens.size(), segment.weight);
    if (segment.message < 0) continue;
    DSLITE_ASSERT(segment.message <= static_cast<int32_t>(chat.turns.size()));
    if (segment.message == static_cast<int32_t>(chat.turns.size()))
      chat.turns.push_back({begin, begin, segment.role, 0.0f});
    RenderedChat::Turn& turn = chat.turns.back();
    turn.end = static_cast<int64_t>(chat.tokens.size());
    turn.weight = std::max(turn.weight, segment.weight);
  }
  return chat;
}

}  // namespace dslite
