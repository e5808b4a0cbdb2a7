// Records to documents.
#include "src/data/document_maker.h"

#include "src/base/error.h"
#include "src/base/hash.h"
#include "src/text/strip.h"
#include "src/text/utf8.h"

namespace dslite {
namespace {

void check_utf8_of(std::string_view bytes) {
  if (const size_t bad = find_invalid_utf8(bytes); bad != std::string_view::npos)
    reject(RejectReason::kInvalidUtf8, "not UTF-8 at byte {} (0x{:02x})", bad, static_cast<unsigned char>(bytes[bad]));
}

// Text with NUL is most often not text.
void check_nul(std::string_view text, const std::string& where) {
  if (const size_t at = text.find('\0'); at != std::string_view::npos)
    reject(RejectReason::kNul, "{}: NUL at byte {}", where, at);
}

Json parse_record(const RawRecord& record) {
  try {
    return parse_json(record.bytes, "", {}, record.line);
  } catch (const UserError& error) {
    reject(RejectReason::kDamagedJson, "{}", error.what() + 1);  // without the empty file name: "line:column: ..."
  }
}

}  // namespace

DocumentMaker::DocumentMaker(const Tokenizer& tokenizer, const ChatFormat* chat_format, const PrepareOptions& options)
    : tokenizer_(tokenizer),
      chat_format_(chat_format),
      policies_(options.policies),
      overlong_(options.overlong),
      max_tokens_(options.max_document_tokens) {
  if (!tokenizer.bos_id() || !tokenizer.eos_id()) {
    fail_input("{}: the tokenizer names no {} token", options.tokenizer_folder, tokenizer.bos_id() ? "eos" : "bos");
  }
  bos_ = *tokenizer.bos_id();
  try {
    eos_ = chat_format ? turn_end_id(*chat_format, tokenizer) : *tokenizer.eos_id();
  } catch (const UserError& error) {
    fail_input("{}: chat format {}: {}", options.tokenizer_folder, chat_format->name(), error.what());
  }
}

MadeDocument DocumentMaker::make(const Input& input, const RawRecord& record) const {
  if (record.too_large)
    reject(RejectReason::kTooLarge, "more than {} bytes", input.whole_text() ? kMaxTextBytes : kMaxJsonBytes);
  check_utf8_of(record.bytes);
  if (input.whole_text()) return make_text(record.bytes);
  const Json json = parse_record(record);
  if (input.format() != RawFormat::kText)
    return make_conversation(read_conversation(json, input.format(), policies_.tools));
  std::set<std::string> unused_keys;
  const std::string text = read_text_record(json, unused_keys);
  MadeDocument document = make_text(text);
  document.unused_keys = std::move(unused_keys);
  return document;
}

MadeDocument DocumentMaker::make_text(std::string_view text) const {
  MadeDocument document;
  document.hash = xxh3_64(text);
  check_nul(text, "text");
  if (stripped(text).empty()) reject(RejectReason::kEmpty, "no text");
  document.tokens = tokenizer_.encode_long(policies_.strip ? stripped(text) : text);
  document.tokens.insert(document.tokens.begin(), bos_);
  document.tokens.push_back(eos_);
  if (fits(document.tokens.size()) || overlong_ == Overlong::kSplit) return document;
  if (overlong_ == Overlong::kDrop)
    reject(RejectReason::kOverlong, "{} tokens, at most {}", document.tokens.size(), max_tokens_);
  const auto excess = static_cast<std::ptrdiff_t>(document.tokens.size()) - static_cast<std::ptrdiff_t>(max_tokens_);
  document.truncated = true;
  if (overlong_ == Overlong::kTruncateRight) {
    document.tokens.resize(static_cast<size_t>(max_tokens_));
  } else {
    document.tokens.erase(document.tokens.begin() + 1, document.tokens.begin() + 1 + excess);
  }
  return document;
}

RenderedChat DocumentMaker::render(const std::vector<Message>& messages) const {
  std::vector<ChatSegment> segments;
  try {
    segments = chat_format_->render(messages, false);
  } catch (const UserError& error) {
    reject(RejectReason::kUnknownRole, "{}", error.what());
  }
  return tokenize_chat(tokenizer_, segments);
}

MadeDocument DocumentMaker::make_conversation(Conversation conversation) const {
  MadeDocument document;
  std::vector<Message>& messages = conversation.messages;
  document.hash = conversation_hash(messages);
  document.unused_keys = std::move(conversation.unused_keys);
  for (size_t i = 0; i < messages.size(); ++i) check_nul(messages[i].text, fmt::format("message {}", i));
  apply_policies(conversation, policies_);
  check_conversation(messages);
  // Formats without a role for the results of tools take them as the user's words.
  for (Message& message : messages) {
    if (message.role == Role::kTool && !chat_format_->has_role(Role::kTool)) message.role = Role::kUser;
  }
  RenderedChat chat = render(messages);
  const size_t whole_size = chat.tokens.size();
  while (!fits(chat.tokens.size()) && overlong_ != Overlong::kSplit) {
    const size_t head = messages[0].role == Role::kSystem || messages[0].role == Role::kDeveloper ? 1 : 0;
    if (overlong_ == Overlong::kDrop || messages.size() < head + 3) {
      reject(RejectReason::kOverlong, "{} tokens, at most {}", whole_size, max_tokens_);
    }
    document.truncated = true;
    const auto first = messages.begin() + static_cast<std::ptrdiff_t>(head);
    if (overlong_ == Overlong::kTruncateLeft) {
      messages.erase(first, first + 2);  // a user's turn and its reply
    } else {
      messages.resize(messages.back().role == Role::kAssistant ? messages.size() - 2 : messages.size() - 1);
    }
    check_conversation(messages);  // something to learn must be left
    chat = render(messages);
  }
  document.tokens = std::move(chat.tokens);
  document.loss_weight = std::move(chat.loss_weight);
  document.turns = std::move(chat.turns);
  return document;
}

}  // namespace dslite
