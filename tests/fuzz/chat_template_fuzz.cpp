// Chat templates: any text is one of the known ones or refused; every format renders any messages with a mask that
// trains replies alone.
#include "src/text/chat_template.h"

#include <filesystem>

#include "src/text/chat_format.h"
#include "tests/fuzz/readers.h"
#include "tests/fuzz/tokenizers.h"

namespace dslite::fuzz {
namespace {

void recognise(std::string_view file, bool jinja) {
  const std::string folder = scratch_folder() + "/template";
  std::filesystem::create_directory(folder);
  std::filesystem::remove(folder + "/chat_template.jinja");
  scratch_file("template/tokenizer_config.json", jinja ? "{}" : file);
  if (jinja) scratch_file("template/chat_template.jinja", file);
  accepts(folder, [&] {
    const auto found = chat_template_of_folder(folder);
    DSLITE_FUZZ_CHECK(found || !jinja);
    if (!found) return;
    const ChatFormat& format = ChatFormat::recognised(found->text, found->where);
    DSLITE_FUZZ_CHECK(&ChatFormat::recognised(format.chat_template(), "own") == &format);
  });
}

// Each message: a byte of role and weight, the text up to NUL, cut in two parts where it is long.
std::vector<Message> messages_of(std::string_view input) {
  std::vector<Message> messages;
  while (!input.empty() && messages.size() < 20) {
    const unsigned byte = take_byte(input);
    Message message{static_cast<Role>(byte % 5), std::string(take_until_nul(input))};
    message.weight = static_cast<float>(byte >> 3 & 3) / 2;
    if (byte & 32) {
      const size_t half = message.text.size() / 2;
      message.parts = {{half, 0.0f}, {message.text.size() - half, 0.5f}};
    }
    if (byte & 64) message.strip();
    messages.push_back(std::move(message));
  }
  return messages;
}

void render(const ChatFormat& format, const std::vector<Message>& messages, bool prompt) {
  const std::vector<ChatSegment> segments = format.render(messages, prompt);
  int32_t message = -1;
  for (const ChatSegment& segment : segments) {
    DSLITE_FUZZ_CHECK(segment.message < static_cast<int32_t>(messages.size()));
    if (segment.message >= 0) {
      DSLITE_FUZZ_CHECK(segment.message == message || segment.message == message + 1);
      message = segment.message;
    }
    DSLITE_FUZZ_CHECK(segment.weight == 0 || (segment.message >= 0 && segment.role == Role::kAssistant));
  }
  DSLITE_FUZZ_CHECK(message + 1 == static_cast<int32_t>(messages.size()));
  const RenderedChat chat = tokenize_chat(chat_tokenizer(), segments);
  DSLITE_FUZZ_CHECK(chat.tokens.size() == chat.loss_weight.size() && chat.turns.size() == messages.size());
  for (size_t i = 0; i < messages.size(); ++i) {
    DSLITE_FUZZ_CHECK(chat.turns[i].role == messages[i].role);
    DSLITE_FUZZ_CHECK(chat.turns[i].role == Role::kAssistant || chat.turns[i].weight == 0);
  }
}

}  // namespace

void chat_template(std::string_view input) {
  const unsigned kind = take_byte(input);
  if (kind % 3 < 2) return recognise(input, kind % 3 == 0);
  const std::vector<Message> messages = messages_of(input);
  for (const std::string& name : ChatFormat::names())
    accepts("", [&] { render(ChatFormat::named(name), messages, kind & 128); });
}

}  // namespace dslite::fuzz
