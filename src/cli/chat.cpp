// dslite chat: a conversation in the terminal. Replies are streamed and the cache is kept between turns; Ctrl-C stops
// the reply only.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <iostream>

#include "src/base/error.h"
#include "src/cli/cli.h"
#include "src/cli/opened_model.h"

namespace dslite {
namespace {

volatile std::sig_atomic_t interrupted = 0;  // a signal handler can reach nothing else

class InterruptGuard {
 public:
  InterruptGuard() {
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted = 1; };
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, &before_);
  }
  ~InterruptGuard() { sigaction(SIGINT, &before_, nullptr); }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  struct sigaction before_ {};
};

// The conversation as messages and as ids. Replies keep the ids that the model wrote, so that the cache holds for the
// next turn.
class Chat {
 public:
  Chat(const OpenedModel& opened, Generator& generator, const GenerationOptions& options)
      : opened_(opened), session_(generator), options_(options) {}

  void reset() {
    messages_.clear();
    tokens_.clear();
    if (!system_.empty()) messages_.push_back({.role = Role::kSystem, .text = system_});
  }
  void set_system(std::string text) {
    system_ = std::move(text);
    reset();
  }
  // Streams the reply to `text`. UserError leaves the conversation as it was.
  void say(std::string text) {
    std::vector<Message> messages = messages_;
    messages.push_back({.role = Role::kUser, .text = std::move(text)});
    std::vector<int32_t> prompt = tokens_;
    append_from(messages, messages.size() - 1, true, prompt);

    ReplyText shown_text(opened_.tokenizer());
    interrupted = 0;
    const Reply reply = session_.complete(
        prompt, options_,
        [&](size_t, int32_t token) {
          print_result(shown_text.push(token));
          return interrupted == 0;
        },
        [] { return interrupted != 0; });
    print_result(shown_text.finish() + "\n");

    messages.push_back({.role = Role::kAssistant, .text = reply_text(opened_.tokenizer(), reply.tokens)});
    prompt.insert(prompt.end(), reply.tokens.begin(), reply.tokens.end());
    if (reply.finish != FinishReason::kStop) append_end_of_reply(messages, prompt);
    messages_ = std::move(messages);
    tokens_ = std::move(prompt);
  }

 private:
  // The ids of message `first` and what follows it; of everything while there are none.
  void append_from(const std::vector<Message>& messages, size_t first, bool generation_prompt,
                   std::vector<int32_t>& tokens) const {
    std::vector<ChatSegment> segments = opened_.chat_format().render(messages, generation_prompt);
    if (!tokens.empty()) {
      const auto begin = std::find_if(segments.begin(), segments.end(),
                                      [&](const ChatSegment& s) { return s.message >= static_cast<int32_t>(first); });
      segments.erase(segments.begin(), begin);
    }
    append(std::move(segments), tokens);
  }
  // A reply that was cut gets the end that the format gives it: the segments of its message after its text.
  void append_end_of_reply(const std::vector<Message>& messages, std::vector<int32_t>& tokens) const {
    std::vector<ChatSegment> segments = opened_.chat_format().render(messages, false);
    const auto last = static_cast<int32_t>(messages.size()) - 1;
    std::erase_if(segments, [&](const ChatSegment& s) { return s.message != last; });
    const auto text = std::find_if(segments.rbegin(), segments.rend(),
                                   [](const ChatSegment& s) { return s.special == SpecialToken::kNone; });
    segments.erase(segments.begin(), text.base());
    append(std::move(segments), tokens);
  }

  void append(std::vector<ChatSegment> segments, std::vector<int32_t>& tokens) const {
    for (ChatSegment& segment : segments)
      segment.message = -1;  // tokenize_chat counts turns from a conversation's start
    const std::vector<int32_t> more = tokenize_chat(opened_.tokenizer(), segments).tokens;
    tokens.insert(tokens.end(), more.begin(), more.end());
  }

  const OpenedModel& opened_;
  GenerationSession session_;
  GenerationOptions options_;
  std::string system_;
  std::vector<Message> messages_;
  std::vector<int32_t> tokens_;
};

constexpr const char* kHelp =
    "/reset forgets the conversation, /system TEXT sets the system message (and resets), /quit ends; Ctrl-C stops a "
    "reply\n";

// Returns false at /quit.
bool handle_line(Chat& chat, const std::string& line) {
  const size_t space = std::min(line.find(' '), line.size());
  const std::string command = line.substr(0, space), rest = space < line.size() ? line.substr(space + 1) : "";
  if (command == "/quit") return false;
  if (command == "/reset") {
    chat.reset();
  } else if (command == "/system") {
    chat.set_system(rest);
  } else if (command.starts_with('/')) {
    std::fprintf(stderr, "unknown command %s%s: %s", command.c_str(),
                 suggestion(command, {"/reset", "/system", "/quit"}).c_str(), kHelp);
  } else if (!line.empty()) {
    chat.say(line);
  }
  return true;
}

int chat(const ModelChoice& choice, const SamplingChoice& sampling) {
  const OpenedModel opened = open_chosen_model(choice);
  opened.tokenizer();
  opened.chat_format();
  Generator generator(*opened.model);
  Chat conversation(
      opened, generator,
      {.sampling = sampling.sampling, .max_new_tokens = sampling.max_new_tokens, .eos_ids = opened.eos_ids()});
  const InterruptGuard guard;
  const bool terminal = isatty(STDIN_FILENO) == 1;
  if (terminal) std::fputs(kHelp, stderr);
  for (std::string line;;) {
    if (terminal) std::fputs("> ", stderr);
    if (!std::getline(std::cin, line)) return 0;
    try {
      if (!handle_line(conversation, line)) return 0;
    } catch (const UserError& error) {  // of this message alone: the conversation goes on
      std::fprintf(stderr, "error: %s\n", error.what());
    }
  }
}

}  // namespace

Command add_chat(CLI::App& app) {
  auto model = std::make_shared<ModelChoice>();
  auto sampling = std::make_shared<SamplingChoice>();
  sampling->max_new_tokens = 1024;
  add_model_options(app, *model);
  add_sampling_options(app, *sampling);
  app.footer(fmt::format("In the conversation: {}example: dslite chat --model model", kHelp));
  return [=, &app] {
    check_sampling(app, *sampling);
    return chat(*model, *sampling);
  };
}

}  // namespace dslite
