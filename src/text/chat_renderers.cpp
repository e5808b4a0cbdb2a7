// One renderer a format. Templates print what the published ones print for messages with text, without tools.
#include "src/text/chat_renderers.h"

#include <array>

#include "src/base/error.h"

namespace dslite {
namespace {

constexpr const char* kGenerationDefault =
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}";

// Collects segments; text of one message that is masked alike is one segment.
class Segments {
 public:
  void bos() { all_.push_back({{}, SpecialToken::kBos}); }
  void open(Role role, int32_t message) {
    role_ = role;
    message_ = message;
  }
  void close() { open(Role::kSystem, -1); }
  void masked(std::string text) { all_.push_back({std::move(text), SpecialToken::kNone, role_, 0.0f, message_}); }
  void named(const char* spelling, float weight = 0) {
    all_.push_back({spelling, SpecialToken::kNamed, role_, weight, message_});
  }
  void eos(float weight) { all_.push_back({{}, SpecialToken::kEos, role_, weight, message_}); }
  // An assistant's text with its weights; `lead` goes with its first part.
  void reply(std::string_view lead, const Message& reply) {
    const auto add = [&](std::string_view text, float weight) {
      all_.push_back({std::string(lead).append(text), SpecialToken::kNone, role_, weight, message_});
      lead = {};
    };
    if (reply.parts.empty()) add(reply.text, reply.weight);
    size_t begin = 0;
    for (const TextPart& part : reply.parts) {
      add(std::string_view(reply.text).substr(begin, part.size_bytes), part.weight);
      begin += part.size_bytes;
    }
    DSLITE_ASSERT(reply.parts.empty() || begin == reply.text.size());
  }
  std::vector<ChatSegment> take() { return std::move(all_); }

 private:
  std::vector<ChatSegment> all_;
  Role role_ = Role::kSystem;
  int32_t message_ = -1;
};

// Calls `one` for every message after a look at its role.
template <class One>
void for_each_message(const ChatFormat& format, const std::vector<Message>& messages, Segments& segments, One&& one) {
  for (size_t i = 0; i < messages.size(); ++i) {
    const Role role = messages[i].role;
    if (!format.has_role(role))
      fail_input("message {}: the chat format {} has no role \"{}\"", i, format.name(), role_name(role));
    segments.open(role, static_cast<int32_t>(i));
    one(messages[i]);
  }
  segments.close();
}

bool is_basic(Role role) { return role == Role::kSystem || role == Role::kUser || role == Role::kAssistant; }

// DeepSeek-V2-Chat and DeepSeek-V2-Lite-Chat.
class DeepseekV2 : public ChatFormat {
 public:
  std::string name() const override { return "deepseek-v2"; }
  ChatTraits traits() const override { return {}; }
  bool has_role(Role role) const override { return is_basic(role); }
  std::string chat_template() const override {
    return std::string(kGenerationDefault) +
           "{{ bos_token }}{% for message in messages %}"
           "{% if message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\\n\\n' }}"
           "{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + eos_token }}"
           "{% elif message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}{% endif %}{% endfor %}"
           "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";
  }
  std::vector<ChatSegment> render(const std::vector<Message>& messages, bool add_generation_prompt) const override {
    Segments segments;
    segments.bos();
    for_each_message(*this, messages, segments, [&](const Message& message) {
      if (message.role == Role::kAssistant) {
        segments.masked("Assistant:");
        segments.reply(" ", message);  // the reply's first token carries the space
        segments.eos(message.turn_weight());
      } else {
        segments.masked((message.role == Role::kUser ? "User: " : "") + message.text + "\n\n");
      }
    });
    if (add_generation_prompt) segments.masked("Assistant:");
    return segments.take();
  }
};

// DeepSeek-V2.5 and DeepSeek-V3, as their model cards write it. V2.5's published template also prints eight spaces
// before bos when there is a system message, an accident of its indentation that is not imitated. It moves the last
// system message to the front, so only the first message may be one.
class DeepseekV25 : public ChatFormat {
 public:
  std::string name() const override { return "deepseek-v2.5"; }
  ChatTraits traits() const override { return {}; }
  bool has_role(Role role) const override { return is_basic(role); }
  std::string chat_template() const override {
    return std::string(kGenerationDefault) +
           "{{ bos_token }}{% for message in messages %}"
           "{% if message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}"
           "{% elif message['role'] == 'assistant' %}{{ '<｜Assistant｜>' + message['content'] + eos_token }}"
           "{% elif message['role'] == 'system' %}{{ message['content'] }}{% endif %}{% endfor %}"
           "{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}";
  }
  std::vector<ChatSegment> render(const std::vector<Message>& messages, bool add_generation_prompt) const override {
    Segments segments;
    segments.bos();
    for_each_message(*this, messages, segments, [&](const Message& message) {
      if (message.role == Role::kSystem) {
        if (&message != &messages.front()) fail_input("the chat format {} has a system message only in front", name());
        segments.masked(message.text);
      } else if (message.role == Role::kUser) {
        segments.named("<｜User｜>");
        segments.masked(message.text);
      } else {
        segments.named("<｜Assistant｜>");
        segments.reply("", message);
        segments.eos(message.turn_weight());
      }
    });
    if (add_generation_prompt) segments.named("<｜Assistant｜>");
    return segments.take();
  }
};

// ChatML: every role by its name. The line feed after a turn is the next turn's, so that a turn ends in its end token.
class ChatMl : public ChatFormat {
 public:
  std::string name() const override { return "chatml"; }
  ChatTraits traits() const override { return {.bos = false, .all_turns_end = true, .turn_end = "<|im_end|>"}; }
  bool has_role(Role) const override { return true; }
  std::string chat_template() const override {
    return std::string(kGenerationDefault) +
           "{% for message in messages %}"
           "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
           "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
  }
  std::vector<ChatSegment> render(const std::vector<Message>& messages, bool add_generation_prompt) const override {
    Segments segments;
    for_each_message(*this, messages, segments, [&](const Message& message) {
      if (&message != &messages.front()) segments.masked("\n");
      segments.named("<|im_start|>");
      const std::string head = std::string(role_name(message.role)) + "\n";
      if (message.role == Role::kAssistant) {
        segments.masked(head);
        segments.reply("", message);
        segments.named("<|im_end|>", message.turn_weight());
      } else {
        segments.masked(head + message.text);
        segments.named("<|im_end|>");
      }
    });
    if (!messages.empty()) segments.masked("\n");
    if (add_generation_prompt) {
      segments.named("<|im_start|>");
      segments.masked("assistant\n");
    }
    return segments.take();
  }
};

// Llama 3: every role by its name; texts are trimmed.
class Llama3 : public ChatFormat {
 public:
  std::string name() const override { return "llama3"; }
  ChatTraits traits() const override { return {.bos = true, .all_turns_end = true, .turn_end = "<|eot_id|>"}; }
  bool has_role(Role) const override { return true; }
  std::string chat_template() const override {
    return std::string(kGenerationDefault) +
           "{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
           "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + "
           "'<|eot_id|>' }}{% endfor %}"
           "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}";
  }
  std::vector<ChatSegment> render(const std::vector<Message>& messages, bool add_generation_prompt) const override {
    Segments segments;
    if (!messages.empty()) segments.bos();
    for_each_message(*this, messages, segments, [&](const Message& message) {
      Message trimmed = message;
      trimmed.strip();
      header(segments, message.role);
      if (message.role == Role::kAssistant) {
        segments.masked("\n\n");
        segments.reply("", trimmed);
        segments.named("<|eot_id|>", message.turn_weight());
      } else {
        segments.masked("\n\n" + trimmed.text);
        segments.named("<|eot_id|>");
      }
    });
    if (add_generation_prompt) {
      header(segments, Role::kAssistant);
      segments.masked("\n\n");
    }
    return segments.take();
  }

 private:
  static void header(Segments& segments, Role role) {
    segments.named("<|start_header_id|>");
    segments.masked(role_name(role));
    segments.named("<|end_header_id|>");
  }
};

// The texts one after another, eos after each reply.
class Plain : public ChatFormat {
 public:
  std::string name() const override { return "plain"; }
  ChatTraits traits() const override { return {}; }
  bool has_role(Role role) const override { return is_basic(role); }
  std::string chat_template() const override {
    return "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% if message['role'] == 'assistant' "
           "%}{{ eos_token }}{% endif %}{% endfor %}";
  }
  std::vector<ChatSegment> render(const std::vector<Message>& messages, bool) const override {
    Segments segments;
    segments.bos();
    for_each_message(*this, messages, segments, [&](const Message& message) {
      if (message.role != Role::kAssistant) return segments.masked(message.text);
      segments.reply("", message);
      segments.eos(message.turn_weight());
    });
    return segments.take();
  }
};

}  // namespace

std::span<const ChatFormat* const> chat_formats() {
  static const DeepseekV2 deepseek_v2;
  static const DeepseekV25 deepseek_v25;
  static const ChatMl chatml;
  static const Llama3 llama3;
  static const Plain plain;
  static const std::array<const ChatFormat*, 5> all = {&deepseek_v2, &deepseek_v25, &chatml, &llama3, &plain};
  return all;
}

}  // namespace dslite
