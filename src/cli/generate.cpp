// dslite generate: completions of a prompt, of messages, or of every line of a JSONL file.
#include <spdlog/spdlog.h>

#include <map>

#include "src/base/error.h"
#include "src/base/files.h"
#include "src/base/progress.h"
#include "src/cli/cli.h"
#include "src/cli/opened_model.h"
#include "src/data/conversation.h"

namespace dslite {
namespace {

struct GenerateOptions {
  ModelChoice model;
  SamplingChoice sampling;
  std::string prompt, messages, input;
  bool no_bos = false, json = false;
};

// Turns what the user wrote into prompts.
class PromptReader {
 public:
  PromptReader(const OpenedModel& opened, bool add_bos) : opened_(opened), add_bos_(add_bos) {}

  std::vector<int32_t> from_text(const std::string& text, const std::string& where) const {
    try {
      return opened_.tokenizer().encode(text, {.add_special = add_bos_});
    } catch (const UserError& error) {
      fail_input("{}: {}", where, error.what());
    }
  }
  // {"messages": [...]}; keys without a use are noted.
  std::vector<int32_t> from_messages(const Json& record, const std::string& where) {
    try {
      const Conversation conversation = read_conversation(record, RawFormat::kMessages);
      unused_.insert(conversation.unused_keys.begin(), conversation.unused_keys.end());
      if (conversation.messages.empty()) fail_input("no messages");
      if (conversation.messages.back().role == Role::kAssistant)
        fail_input("the last message is the assistant's: found nothing to reply to");
      std::vector<int32_t> tokens =
          tokenize_chat(opened_.tokenizer(), opened_.chat_format().render(conversation.messages, true)).tokens;
      if (!add_bos_ && !tokens.empty() && tokens.front() == opened_.tokenizer().bos_id()) tokens.erase(tokens.begin());
      return tokens;
    } catch (const RejectError& error) {
      fail_input("{}: {}", where, error.what());
    } catch (const UserError& error) {
      fail_input("{}: {}", where, error.what());
    }
  }
  // A line of --input.
  std::vector<int32_t> from_record(const Json& record, const std::string& where) {
    if (!record.is_object())
      fail_input("{}: found {}, expected an object with \"prompt\" or \"messages\"", where, record.type_name());
    if (record.contains("prompt") == record.contains("messages")) {
      fail_input("{}: found {}, expected either \"prompt\" or \"messages\"", where,
                 record.contains("prompt") ? "both" : "neither");
    }
    if (record.contains("messages")) return from_messages(record, where);
    for (const auto& [key, value] : record.items()) {
      if (key != "prompt") unused_.insert(key);
    }
    return from_text(json_string(record, "prompt", where), where);
  }
  void report_unused(const std::string& path) const {
    if (!unused_.empty()) spdlog::info("{}: keys without a use: {}", path, fmt::join(unused_, ", "));
  }

 private:
  const OpenedModel& opened_;
  bool add_bos_;
  std::set<std::string> unused_;
};

std::vector<GenerationRequest> read_requests(const GenerateOptions& options, PromptReader& reader) {
  std::vector<GenerationRequest> requests;
  if (!options.messages.empty()) {
    Json json = read_json_file(options.messages);
    if (json.is_array()) json = Json{{"messages", std::move(json)}};
    requests.push_back({.prompt = reader.from_messages(json, options.messages)});
    reader.report_unused(options.messages);
  } else if (!options.input.empty()) {
    const std::string text = read_file(options.input);
    int64_t line_number = 1;
    for (size_t begin = 0; begin < text.size(); ++line_number) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      const std::string_view line = std::string_view(text).substr(begin, end - begin);
      begin = end + 1;
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      const Json record = parse_json(line, options.input, {}, line_number);
      requests.push_back({.prompt = reader.from_record(record, fmt::format("{}:{}", options.input, line_number)),
                          .sample = requests.size()});
    }
    if (requests.empty()) fail_input("{}: found no line, expected one object a line", options.input);
    reader.report_unused(options.input);
  } else {
    requests.push_back({.prompt = reader.from_text(options.prompt, "--prompt")});
  }
  return requests;
}

std::string json_line(const GenerationRequest& request, const Reply& reply, const Tokenizer& tokenizer) {
  const Json line{{"prompt_ids", request.prompt},
                  {"reply_ids", reply.tokens},
                  {"text", reply_text(tokenizer, reply.tokens)},
                  {"finish_reason", finish_reason_name(reply.finish)}};
  return line.dump() + "\n";
}

// One prompt without --json: the text as it comes.
void stream_one(Generator& generator, const std::vector<GenerationRequest>& requests, const GenerationOptions& options,
                const Tokenizer& tokenizer) {
  ReplyText text(tokenizer);
  generator.complete(requests, options, [&](size_t, int32_t token) {
    print_result(text.push(token));
    return true;
  });
  print_result(text.finish() + "\n");
}

// Replies in the order of the requests, each as soon as those before it are printed.
void print_all(Generator& generator, const std::vector<GenerationRequest>& requests, const GenerationOptions& options,
               const Tokenizer& tokenizer, bool json) {
  Progress progress("generate", static_cast<int64_t>(requests.size()), "replies");
  std::map<size_t, std::string> waiting;
  size_t num_printed = 0;
  int64_t num_done = 0;
  generator.complete(requests, options, {}, [&](size_t index, const Reply& reply) {
    waiting[index] = json ? json_line(requests[index], reply, tokenizer) : reply_text(tokenizer, reply.tokens) + "\n";
    while (!waiting.empty() && waiting.begin()->first == num_printed) {
      print_result(waiting.begin()->second);
      waiting.erase(waiting.begin());
      ++num_printed;
    }
    progress.update(++num_done);
  });
  progress.finish();
}

int generate(const GenerateOptions& options) {
  const OpenedModel opened = open_chosen_model(options.model);
  const Tokenizer& tokenizer = opened.tokenizer();
  PromptReader reader(opened, !options.no_bos);
  const std::vector<GenerationRequest> requests = read_requests(options, reader);
  Generator generator(*opened.model, {.max_batch = 32});
  const GenerationOptions generation{.sampling = options.sampling.sampling,
                                     .max_new_tokens = options.sampling.max_new_tokens,
                                     .eos_ids = opened.eos_ids()};
  if (options.input.empty() && !options.json) {
    stream_one(generator, requests, generation, tokenizer);
  } else if (options.input.empty()) {
    print_result(json_line(requests[0], generator.complete(requests, generation)[0], tokenizer));
  } else {
    print_all(generator, requests, generation, tokenizer, options.json);
  }
  return 0;
}

}  // namespace

Command add_generate(CLI::App& app) {
  auto options = std::make_shared<GenerateOptions>();
  add_model_options(app, options->model);
  CLI::Option_group* source = app.add_option_group("prompt", "one of");
  source->add_option("--prompt", options->prompt, "text to go on with");
  source->add_option("--messages", options->messages,
                     "a JSON file: a list of {\"role\", \"content\"}, or an object with it as \"messages\"");
  source->add_option("--input", options->input, "a JSONL file: {\"prompt\": text} or {\"messages\": list} a line");
  source->require_option(1);
  add_sampling_options(app, options->sampling);
  app.add_flag("--no-bos", options->no_bos, "leave the begin-of-sequence token out");
  app.add_flag("--json", options->json, "one JSON object a reply: prompt_ids, reply_ids, text, finish_reason");
  app.footer("example: dslite generate --model model --prompt 'The capital of France is' --max-new-tokens 20");
  return [options, &app] {
    check_sampling(app, options->sampling);
    return generate(*options);
  };
}

}  // namespace dslite
