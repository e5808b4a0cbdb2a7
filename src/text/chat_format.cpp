// Looks chat formats up by name and template; tokenises what they render.
#include "src/text/chat_format.h"

#include <algorithm>

#include "src/base/error.h"
#include "src/base/hash.h"
#include "src/text/chat_renderers.h"

namespace dslite {
namespace {

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

int32_t named_token(const Tokenizer& tokenizer, const std::string& spelling) {
  if (const auto id = tokenizer.special_id(spelling)) return *id;
  // Some tokenizers add the tokens of their chat format as plain ones.
  const std::vector<int32_t> ids = tokenizer.encode(spelling);
  if (ids.size() == 1) return ids[0];
  fail_input("the tokenizer has no token {}, which the chat format needs", shown(spelling));
}

int32_t special_token(const Tokenizer& tokenizer, const ChatSegment& segment) {
  if (segment.special == SpecialToken::kNamed) return named_token(tokenizer, segment.text);
  const bool bos = segment.special == SpecialToken::kBos;
  const std::optional<int32_t> id = bos ? tokenizer.bos_id() : tokenizer.eos_id();
  if (!id) fail_input("the tokenizer names no {} token, which chat formats need", bos ? "bos" : "eos");
  return *id;
}

}  // namespace

std::vector<std::string> ChatFormat::names() {
  std::vector<std::string> names;
  for (const ChatFormat* format : chat_formats()) names.push_back(format->name());
  return names;
}

const ChatFormat& ChatFormat::named(const std::string& name) {
  for (const ChatFormat* format : chat_formats()) {
    if (format->name() == name) return *format;
  }
  fail_input("chat format: found {}, expected {}{}", shown(name), fmt::join(names(), " or "),
             suggestion(name, names()));
}

const ChatFormat& ChatFormat::recognised(std::string_view chat_template, const std::string& where) {
  const std::string hash = sha256_hex(with_escaped_line_feeds(chat_template));
  for (const ChatFormat* format : chat_formats()) {
    if (sha256_hex(format->chat_template()) == hash) return *format;
  }
  for (const PublishedTemplate& published : published_templates()) {
    if (published.sha256 == hash) return named(std::string(published.format));
  }
  fail_input("{}: the chat template {} (SHA-256 {}) is not one of the known formats: {}", where, shown(chat_template),
             hash, fmt::join(names(), ", "));
}

int32_t turn_end_id(const ChatFormat& format, const Tokenizer& tokenizer) {
  int32_t end = -1;
  for (const ChatSegment& segment :
       format.render({{Role::kSystem, "s"}, {Role::kUser, "u"}, {Role::kAssistant, "a"}}, true)) {
    if (segment.special == SpecialToken::kNone) continue;
    const int32_t id = special_token(tokenizer, segment);
    if (segment.weight > 0) end = id;
  }
  DSLITE_ASSERT(end >= 0);
  return end;
}

RenderedChat tokenize_chat(const Tokenizer& tokenizer, const std::vector<ChatSegment>& segments) {
  RenderedChat chat;
  for (const ChatSegment& segment : segments) {
    const int64_t begin = static_cast<int64_t>(chat.tokens.size());
    if (segment.special != SpecialToken::kNone) {
      chat.tokens.push_back(special_token(tokenizer, segment));
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
