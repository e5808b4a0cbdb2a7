// dslite prepare: raw text or conversations to token files.
#include <spdlog/spdlog.h>

#include <charconv>
#include <cstdio>
#include <ctime>
#include <fstream>

#include "src/base/error.h"
#include "src/base/files.h"
#include "src/cli/cli.h"
#include "src/data/prepare.h"

namespace dslite {
namespace {

struct PrepareArguments {
  std::vector<std::string> inputs;
  std::string output, tokenizer, format, chat_format, validation = "0%", max_rejects = "1%", overlong = "split",
                                                      train_on = "all", tools = "reject", rejects;
  std::optional<std::string> system;
  int64_t max_document_tokens = 0;
  bool strip = false, json = false;
};

// "1%" -> 0.01
double fraction_of(const std::string& option, const std::string& text, double most) {
  double percent = -1;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, percent);
  if (error != std::errc() || std::string_view(stop, end) != "%" || !(percent >= 0 && percent <= most)) {
    fail_input("{}: found {}, expected a percentage from 0% to {:g}%, such as 1%", option, shown(text), most);
  }
  return percent / 100;
}

PrepareOptions options_of(const PrepareArguments& arguments) {
  PrepareOptions options;
  options.inputs = arguments.inputs;
  options.output = arguments.output;
  options.tokenizer_folder = arguments.tokenizer;
  if (!arguments.format.empty()) options.format = raw_format_named(arguments.format);
  options.chat_format = arguments.chat_format;
  options.validation_fraction = fraction_of("--validation", arguments.validation, 99);
  options.max_reject_fraction = fraction_of("--max-rejects", arguments.max_rejects, 100);
  options.policies.strip = arguments.strip;
  options.policies.system = arguments.system;
  if (arguments.train_on != "all" && arguments.train_on != "last") {
    fail_input("--train-on: found {}, expected all or last", shown(arguments.train_on));
  }
  options.policies.train_last_turn_only = arguments.train_on == "last";
  if (arguments.tools != "reject" && arguments.tools != "json-text")
    fail_input("--tools: found {}, expected reject or json-text", shown(arguments.tools));
  if (arguments.tools == "json-text") options.policies.tools = ToolPolicy::kJsonText;
  options.rejects = arguments.rejects;
  options.overlong = overlong_named(arguments.overlong);
  options.max_document_tokens = arguments.max_document_tokens;
  return options;
}

// The arguments as JSON keeps them apart whatever they hold.
Json command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  Json arguments = Json::array();
  for (std::string argument; std::getline(file, argument, '\0');) arguments.push_back(argument);
  return arguments;
}

// What must not go into the token file, so that equal input gives equal bytes.
void write_origin(const std::string& path) {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char created[32];
  std::strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", &utc);
  const std::string name = path + ".json", temporary = name + ".tmp";  // a killed run's is written over
  DurableFile file(temporary, DurableFile::Existing::kReplace);
  file.write(Json{{"created_utc", created}, {"command_line", command_line()}}.dump(1, ' ', false,
                                                                                   Json::error_handler_t::replace) +
             "\n");
  file.sync_and_close();
  rename_durably(temporary, name);
}

Json json_of(const PrepareSummary& summary) {
  Json files = Json::array();
  for (const PreparedFile& file : summary.files) {
    files.push_back({{"path", file.path},
                     {"documents", file.info.num_documents},
                     {"tokens", file.info.num_tokens},
                     {"trained_tokens", file.info.num_trained_tokens},
                     {"max_document_tokens", file.info.max_document_tokens},
                     {"checked", file.checks.verdict()}});
  }
  return {{"files", files},
          {"records", summary.num_records},
          {"rejected", summary.num_rejects()},
          {"truncated", summary.num_truncated},
          {"rejects", summary.rejects}};
}

void print_summary(const PrepareSummary& summary) {
  for (const PreparedFile& file : summary.files) {
    fmt::print("{}: {} documents, {} tokens, {} trained tokens, longest {} tokens, {} duplicates\n", file.path,
               file.info.num_documents, file.info.num_tokens, file.info.num_trained_tokens,
               file.info.max_document_tokens, file.checks.num_duplicates);
  }
  fmt::print("{} records read, {} rejected, {} truncated\n", summary.num_records, summary.num_rejects(),
             summary.num_truncated);
  for (const auto& [reason, count] : summary.rejects) fmt::print("  rejected for {}: {}\n", reason, count);
}

int run_prepare(const PrepareArguments& arguments) {
  const auto report = [](const std::string& line) { spdlog::warn("rejected: {}", line); };
  const PrepareSummary summary = prepare(options_of(arguments), report);
  for (const PreparedFile& file : summary.files) write_origin(file.path);
  if (arguments.json) {
    fmt::print("{}\n", json_of(summary).dump(1));
  } else {
    print_summary(summary);
  }
  return 0;
}

}  // namespace

Command add_prepare(CLI::App& app) {
  auto arguments = std::make_shared<PrepareArguments>();
  app.add_option("INPUT", arguments->inputs,
                 ".txt and .md (one document a file), .jsonl and .json (text or conversations), each also .gz; quoted "
                 "patterns such as 'data/**/*.jsonl', in sorted order; with --format text a folder (one document a "
                 "file)")
      ->required();
  app.add_option("--tokenizer", arguments->tokenizer, "folder with tokenizer.json")->required();
  app.add_option("--output", arguments->output,
                 "the token file to write, F.h5; an existing one is replaced when all has gone well")
      ->required();
  app.add_option("--format", arguments->format,
                 "messages, sharegpt, alpaca, prompt-completion, question-answer, esft or text; default: by the keys "
                 "of the records");
  app.add_option("--chat-format", arguments->chat_format,
                 "deepseek-v2, deepseek-v2.5, chatml, llama3 or plain; default: by the tokenizer folder's template, "
                 "else deepseek-v2");
  app.add_option("--validation", arguments->validation,
                 "share of the documents that goes to F.validation.h5, chosen by the hash of their text");
  app.add_option("--max-rejects", arguments->max_rejects, "with a larger share of rejected records nothing is written");
  app.add_option("--overlong", arguments->overlong,
                 "split, drop, truncate-left or truncate-right documents of more than --max-document-tokens");
  app.add_option("--max-document-tokens", arguments->max_document_tokens, "length for --overlong, 0 for none")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40));
  app.add_option("--train-on", arguments->train_on, "all assistant turns of a conversation, or its last");
  app.add_option("--system", arguments->system, "system prompt for conversations without one");
  app.add_option(
      "--tools", arguments->tools,
      "json-text writes lists of tools, calls and results as lines of JSON into the messages; reject rejects "
      "conversations with them");
  app.add_option("--rejects", arguments->rejects,
                 "writes the rejected records with file, line and reason, as JSON lines");
  app.add_flag("--strip", arguments->strip, "removes white space around messages and text documents");
  app.add_flag("--json", arguments->json, "prints the counts as JSON");
  app.footer("Example: dslite prepare --tokenizer model/ --output chat.h5 --validation 1% chat.jsonl");
  return [arguments] { return run_prepare(*arguments); };
}

}  // namespace dslite
