// dslite probe: every number that an independent implementation can check.
#include <memory>

#include "src/cli/cli.h"
#include "src/model_folder/model_folder.h"
#include "src/train/probe.h"

namespace dslite {
namespace {

struct Arguments {
  std::string model, tokens, output, dtype = "float32";
  ProbeOptions probe;
  CLI::Option* balance_alpha = nullptr;
};

int run_probe(const Arguments& arguments) {
  const OpenModel open = open_model(arguments.model);
  const ProbeInput input = read_probe_input(arguments.tokens, open.config.vocab_size);
  ProbeOptions options = arguments.probe;
  if (arguments.balance_alpha->count() == 0) options.balance_alpha = open.config.aux_loss_alpha;
  ModelOptions model_options{.dtype = arguments.dtype == "bfloat16" ? at::kBFloat16 : at::kFloat, .trained = {}};
  if (options.gradients) model_options.trained = [](const std::string&) { return true; };
  const std::unique_ptr<DeepseekV2> model = load_model(open, model_options);
  write_probe(*model, input, options, arguments.output);
  return 0;
}

}  // namespace

Command add_probe(CLI::App& app) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("--model", arguments->model, "model folder, run folder or RUN/checkpoints/step-N")->required();
  app.add_option("--tokens", arguments->tokens,
                 "JSON: {\"documents\": [[ids...], ...], \"loss_weight\": [[...], ...]}, the weights optional")
      ->required();
  app.add_option("--output", arguments->output, "safetensors file to write")->required();
  app.add_option("--dtype", arguments->dtype, "of weights and activations")
      ->check(CLI::IsMember({"float32", "bfloat16"}));
  app.add_flag("--gradients", arguments->probe.gradients, "also the gradient of every tensor");
  arguments->balance_alpha =
      app.add_option("--balance-alpha", arguments->probe.balance_alpha,
                     "weight of the balance losses in the gradients [aux_loss_alpha of the model]")
          ->check(CLI::NonNegativeNumber)
          ->default_str("");
  app.add_option("--micro-batches", arguments->probe.num_micro_batches, "parts into which the documents are split")
      ->check(CLI::Range(1, 1'000'000));
  app.add_flag("--decode", arguments->probe.decode, "compute the logits token by token through the cache");
  app.footer("Example: dslite probe --model model --tokens tokens.json --output probe.safetensors --gradients");
  return [arguments] { return run_probe(*arguments); };
}

}  // namespace dslite
