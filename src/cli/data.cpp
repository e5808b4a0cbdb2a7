// dslite data: check, show, stats, diff and report of token files.
#include "src/cli/cli.h"
#include "src/cli/data_commands.h"

namespace dslite {
namespace {

using Arguments = std::shared_ptr<DataArguments>;

void add_samples(CLI::Option* option, int64_t fallback) {
  option->check(CLI::Range(int64_t{0}, int64_t{1} << 40))->default_str(std::to_string(fallback));
}
void add_tokenizer(CLI::App* command, const Arguments& arguments) {
  command->add_option("--tokenizer", arguments->tokenizer,
                      "folder with the tokenizer.json that made the file; default: the one that FILE.json names");
}

void add_check(CLI::App* command, const Arguments& arguments) {
  command->add_option("--held-out", arguments->held_out,
                      "files that must share no document with it: token files, or raw ones of any format");
  add_samples(command->add_option("--samples", arguments->num_samples, "renders so many samples too"), 0);
  add_tokenizer(command, arguments);
  command->add_option("--color", arguments->color, "auto, always or never")->capture_default_str();
  command->add_flag("--json", arguments->json, "prints the verdict as JSON");
}

void add_show(CLI::App* command, const Arguments& arguments) {
  command->add_option("N", arguments->num_samples, "number of samples, spread over the file")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
      ->default_str("3");
  add_tokenizer(command, arguments);
  command->add_option("--color", arguments->color, "auto, always or never")->capture_default_str();
}

void add_stats(CLI::App* command, const Arguments& arguments) {
  add_tokenizer(command, arguments);
  command->add_option("--svg", arguments->svg, "writes the histogram of lengths as a picture");
  command->add_flag("--json", arguments->json, "prints all as JSON");
}

void add_diff(CLI::App* command, const Arguments& arguments) {
  command->add_option("OTHER", arguments->other, "the other token file")->required();
  command->add_flag("--json", arguments->json, "prints the differences as JSON");
}

void add_report(CLI::App* command, const Arguments& arguments) {
  command->add_option("--output", arguments->output, "the page to write, R.html")->required();
  add_samples(command->add_option("--samples", arguments->num_samples, "number of rendered samples"), 50);
  add_tokenizer(command, arguments);
}

struct DataCommand {
  const char *name, *description;
  void (*add)(CLI::App*, const Arguments&);
  int (*run)(const DataArguments&);
  int64_t num_samples;  // where none are asked for
};
constexpr DataCommand kCommands[] = {
    {"check", "computes all checks of a token file again", add_check, check_data, 0},
    {"show", "prints samples: trained text, masked text and special tokens marked", add_show, show_data, 3},
    {"stats", "prints counts, the lengths of documents, sources, roles and what a word takes", add_stats, data_stats,
     0},
    {"diff", "compares two token files: attributes, documents, tokens, weights", add_diff, data_diff, 0},
    {"report", "writes a page of HTML with counts and rendered samples", add_report, data_report, 50},
};

}  // namespace

Command add_data(CLI::App& app) {
  auto arguments = std::make_shared<DataArguments>();
  auto chosen = std::make_shared<const DataCommand*>(nullptr);
  app.require_subcommand(1);
  for (const DataCommand& command : kCommands) {
    CLI::App* sub = app.add_subcommand(command.name, command.description);
    sub->add_option("FILE", arguments->path, "a token file")->required();
    command.add(sub, arguments);
    sub->fallthrough();  // --threads may stand behind the inner command
    sub->preparse_callback([arguments, &command](size_t) { arguments->num_samples = command.num_samples; });
    sub->callback([chosen, &command] { *chosen = &command; });
  }
  app.footer("Example: dslite data show chat.h5 5");
  return [arguments, chosen] { return (*chosen)->run(*arguments); };
}

}  // namespace dslite
