// Chat formats as typed renderers: messages become segments with a role and a loss weight, so that the mask is made by construction and never by searching text.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "src/text/tokenizer.h"

namespace dslite {

enum class Role : uint8_t { kSystem = 0, kUser = 1, kAssistant = 2, kTool = 3, kDeveloper = 4 };  // the numbers are those of the token store
const char* role_name(Role role);

struct Message {
  Role role;
  std::string text;
  float weight = 1.0f;  // of an assistant's tokens; others are never trained
};

enum class SpecialToken : uint8_t { kNone, kBos, kEos };

struct ChatSegment {
  std::string text;                              // empty when special
  SpecialToken special = SpecialToken::kNone;
  Role role = Role::kSystem;
  float weight = 0.0f;                           // of each of its tokens as a label
  int32_t message = -1;                          // index of the message it belongs to; -1: bos, generation prompt
};

class ChatFormat {
 public:
  virtual ~ChatFormat() = default;
  virtual std::string name() const = 0;
  // The Jinja template that an export writes; rendering it with Jinja2 gives the same text byte for byte.
  virtual std::string chat_template() const = 0;
  // UserError for a role that the template would drop (tool, developer); every message has at least one segment.
  virtual std::vector<ChatSegment> render(const std::vector<Message>& messages, bool add_generation_prompt) const = 0;

  // "deepseek-v2", "plain". UserError with the known names otherwise.
  static const ChatFormat& named(const std::string& name);
  // The format whose template this is (by SHA-256 of the text); UserError for an unknown template.
  static const ChatFormat& recognised(std::string_view chat_template, const std::string& where);
  static std::vector<std::string> names();
};

struct RenderedChat {
  std::vector<int32_t> tokens;
  std::vector<float> loss_weight;   // per token as a label
  struct Turn {
    int64_t begin, end;             // token range
    Role role;
    float weight;
  };
  std::vector<Turn> turns;          // one per message
};
// Each segment is tokenised by itself, so that a mask edge is a token edge.
RenderedChat tokenize_chat(const Tokenizer& tokenizer, const std::vector<ChatSegment>& segments);

}  // namespace dslite
