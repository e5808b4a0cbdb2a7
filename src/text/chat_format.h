// Chat formats as typed renderers: messages become segments with a role and a loss weight, so that the mask is made by
// construction and never by searching text.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "src/text/message.h"
#include "src/text/tokenizer.h"

namespace dslite {

enum class SpecialToken : uint8_t {
  kNone,
  kBos,
  kEos,
  kNamed
};  // bos and eos of the tokenizer, or one by its spelling

struct ChatSegment {
  std::string text;  // empty for bos and eos; a named special token's spelling
  SpecialToken special = SpecialToken::kNone;
  Role role = Role::kSystem;
  float weight = 0.0f;   // of each of its tokens as a label
  int32_t message = -1;  // index of the message it belongs to; -1: bos, generation prompt, what ends the conversation
};

// What must hold for a token file of this format.
struct ChatTraits {
  bool bos = true;             // a conversation begins with bos
  bool all_turns_end = false;  // every turn ends in the token that ends an assistant's
  std::string_view turn_end;   // the spelling of that token; empty: the tokenizer's eos
};

class ChatFormat {
 public:
  virtual ~ChatFormat() = default;
  virtual std::string name() const = 0;
  virtual ChatTraits traits() const = 0;
  virtual bool has_role(Role role) const = 0;
  // The Jinja template that an export writes; rendering it with Jinja2 gives the same text byte for byte.
  virtual std::string chat_template() const = 0;
  // UserError for a role that the template would drop; every message has at least one segment.
  virtual std::vector<ChatSegment> render(const std::vector<Message>& messages, bool add_generation_prompt) const = 0;

  // UserError with the known names otherwise.
  static const ChatFormat& named(const std::string& name);
  // The format whose template this is (by SHA-256 of the text); UserError for an unknown template.
  static const ChatFormat& recognised(std::string_view chat_template, const std::string& where);
  static std::vector<std::string> names();
};

struct RenderedChat {
  std::vector<int32_t> tokens;
  std::vector<float> loss_weight;  // per token as a label
  struct Turn {
    int64_t begin, end;  // token range
    Role role;
    float weight;  // of its last token; no token of it has more
  };
  std::vector<Turn> turns;  // one per message
};
// Each segment is tokenised by itself, so that a mask edge is a token edge.
RenderedChat tokenize_chat(const Tokenizer& tokenizer, const std::vector<ChatSegment>& segments);
// The token that ends an assistant's turn. UserError when the tokenizer lacks it or another token of the format.
int32_t turn_end_id(const ChatFormat& format, const Tokenizer& tokenizer);

}  // namespace dslite
