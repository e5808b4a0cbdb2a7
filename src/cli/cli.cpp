// Parses the command line, runs one subcommand, turns errors into exit codes.
#include "src/cli/cli.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <torch/headeronly/version.h>

#include <cstdio>
#include <cstdlib>

#include "kernels/common/cpu.h"
#include "src/base/error.h"
#include "src/base/parallel_for.h"
#include "src/base/version.h"
#include "src/ops/freed_blocks.h"

namespace dslite {
namespace {

struct Subcommand {
  const char* name;
  const char* description;
  Command (*add)(CLI::App&);
};

// In the order of a model's life; `dslite --help` lists them so.
const std::vector<Subcommand>& subcommands() {
  static const std::vector<Subcommand> table = {
      {"init", "a model folder with random weights", add_init},
      {"tokenizer", "train a tokenizer; text to ids and back", add_tokenizer},
      {"prepare", "raw text or conversations to token files", add_prepare},
      {"data", "check, show, count, compare or report token files", add_data},
      {"train", "start a run of a recipe, or continue it", add_train},
      {"export", "a checkpoint or a model folder as a model folder", add_export},
      {"verify", "is a checkpoint, dataset or model folder sound?", add_verify},
      {"inspect", "what a model folder, checkpoint, dataset or config.json holds", add_inspect},
      {"probe", "every number of a forward and backward, for checking against another implementation", add_probe},
      {"bench", "measure throughput beside the machine's peak", add_bench},
      {"eval", "loss, perplexity, accuracy and expert load on a token file", add_eval},
      {"generate", "completions of prompts or messages", add_generate},
      {"chat", "a conversation in the terminal", add_chat},
  };
  return table;
}

std::string version_text() {
  return fmt::format("dslite {} ({}), LibTorch {}, {}", version(), commit(), TORCH_VERSION,
                     kernels::instruction_set_name(kernels::chosen_instruction_set()));
}

int run(int argc, char** argv) {
  CLI::App app("dslite: pre-train, fine-tune, run and export models of the DeepSeek-V2 family.", "dslite");
  app.require_subcommand(1);
  app.set_version_flag("--version", version_text);
  int threads = num_threads();
  std::function<int()> chosen;
  for (const Subcommand& subcommand : subcommands()) {
    CLI::App* sub = app.add_subcommand(subcommand.name, subcommand.description);
    sub->option_defaults()->always_capture_default();
    Command command = subcommand.add(*sub);
    sub->add_option("--threads", threads, "threads that compute")->check(CLI::Range(1, 1024));
    sub->callback([&chosen, command] { chosen = command; });
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  set_num_threads(threads);
  if (kernels::best_instruction_set() == kernels::InstructionSet::kScalar)
    spdlog::warn("this processor has no AVX2: the portable kernels run, several times slower");
  return chosen();
}

}  // namespace

void prepare_memory() {
  // LibTorch reads this before its first allocation: large tensors on huge pages, where the system leaves the choice to
  // programs. Products that walk down the rows of a weight otherwise wait for address translation.
  setenv("THP_MEM_ALLOC_ENABLE", "1", 0);
  ops::keep_freed_blocks();
}

int run_command_line(int argc, char** argv) {
  spdlog::set_default_logger(spdlog::stderr_color_mt("dslite"));
  spdlog::set_pattern("%^%l%$: %v");
  try {
    return run(argc, argv);
  } catch (const UserError& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}

}  // namespace dslite
