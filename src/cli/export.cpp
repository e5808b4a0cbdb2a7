// dslite export: a checkpoint of a run, or a model folder in another spelling or dtype, as a model folder.
#include <spdlog/spdlog.h>

#include <filesystem>

#include "src/base/error.h"
#include "src/checkpoint/run_checkpoint.h"
#include "src/cli/cli.h"
#include "src/model_folder/model_folder.h"

namespace dslite {
namespace {

struct Arguments {
  std::string run, model, output, dtype = "same";
  int64_t step = -1;
};

std::string source_path(const Arguments& arguments) {
  if (!arguments.model.empty()) return arguments.model;
  if (arguments.step < 0) return arguments.run;
  std::string found;
  for (const CheckpointInfo& info : list_checkpoints(arguments.run)) {
    if (info.step == arguments.step) return info.folder;
    found += fmt::format("{}{}", found.empty() ? "" : ", ", info.step);
  }
  fail_input("{}: no checkpoint of step {}; it has {}", arguments.run, arguments.step, found.empty() ? "none" : found);
}

int run_export(const Arguments& arguments) {
  const OpenModel open = open_model(source_path(arguments));
  const WeightSource source(open.location, open.config);
  const auto type = [&](const TensorSpec& tensor) {
    if (arguments.dtype == "same") return source.type(tensor.name);
    return arguments.dtype == "float32" ? TensorType::kF32 : TensorType::kBF16;
  };
  write_model_folder(arguments.output, {.config = &open.config,
                                        .tokenizer_folder = open.tokenizer ? open.location.model_folder : std::string(),
                                        .generation_config = open.location.model_folder + "/generation_config.json",
                                        .type = type,
                                        .read = [&](const TensorSpec& tensor, std::span<std::byte> out) {
                                          source.read(tensor.name, type(tensor), out);
                                        }});
  spdlog::info("{}: written and verified, from {}", arguments.output,
               open.location.checkpoint.value_or(open.location.model_folder));
  return 0;
}

}  // namespace

Command add_export(CLI::App& app) {
  const auto arguments = std::make_shared<Arguments>();
  auto* source = app.add_option_group("source", "what to export");
  auto* run = source->add_option("--run", arguments->run, "run folder: its newest sound checkpoint");
  source->add_option("--model", arguments->model, "model folder, run folder or RUN/checkpoints/step-N");
  source->require_option(1);
  app.add_option("--step", arguments->step, "the run's checkpoint of this step [the newest sound one]")
      ->needs(run)
      ->check(CLI::NonNegativeNumber)
      ->default_str("");
  app.add_option("--output", arguments->output, "folder to write, new or empty")->required();
  app.add_option("--dtype", arguments->dtype, "of the weights")->check(CLI::IsMember({"same", "bfloat16", "float32"}));
  app.footer("Example: dslite export --run runs/sft --output exported");
  return [arguments] { return run_export(*arguments); };
}

}  // namespace dslite
