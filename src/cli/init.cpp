// dslite init: a model folder with random weights.
#include <c10/util/BFloat16.h>
#include <spdlog/spdlog.h>

#include <cstring>

#include "src/base/error.h"
#include "src/cli/cli.h"
#include "src/model/initial_weights.h"
#include "src/model_folder/model_folder.h"

namespace dslite {
namespace {

struct Arguments {
  std::string config, output, tokenizer;
  int64_t seed = 0;
};

// The tensor's values, rounded to bf16 where `type` says so.
void random_tensor(const TensorSpec& tensor, const ModelConfig& config, int64_t seed, TensorType type,
                   std::span<std::byte> out) {
  std::vector<float> values(static_cast<size_t>(tensor.num_elements()));
  initial_values(tensor, config.initializer_range, static_cast<uint64_t>(seed), values);
  if (type == TensorType::kF32) {
    std::memcpy(out.data(), values.data(), out.size());
    return;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const c10::BFloat16 rounded(values[i]);
    std::memcpy(out.data() + 2 * i, &rounded, 2);
  }
}

int run_init(const Arguments& arguments) {
  std::vector<std::string> warnings;
  const ModelConfig config = read_model_config(arguments.config, &warnings);
  for (const std::string& warning : warnings) spdlog::warn("{}", warning);
  if (!arguments.tokenizer.empty())
    check_tokenizer_fits(*Tokenizer::load(arguments.tokenizer), config, arguments.config);
  const TensorType type = config.torch_dtype == "float32" ? TensorType::kF32 : TensorType::kBF16;
  write_model_folder(arguments.output, {.config = &config,
                                        .tokenizer_folder = arguments.tokenizer,
                                        .type = [type](const TensorSpec&) { return type; },
                                        .read =
                                            [&](const TensorSpec& tensor, std::span<std::byte> out) {
                                              random_tensor(tensor, config, arguments.seed, type, out);
                                            }});
  const ParameterCounts counts = count_parameters(config);
  spdlog::info("{}: {} parameters in {} tensors, {} read per token", arguments.output, counts.total, counts.num_tensors,
               counts.active);
  return 0;
}

}  // namespace

Command add_init(CLI::App& app) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("--config", arguments->config, "config.json of the model; its torch_dtype is that of the weights")
      ->required();
  app.add_option("--output", arguments->output, "folder to write, new or empty")->required();
  app.add_option("--seed", arguments->seed, "of the random weights")->check(CLI::NonNegativeNumber);
  app.add_option("--tokenizer", arguments->tokenizer,
                 "folder with tokenizer.json; without one the model serves token files only")
      ->default_str("");
  app.footer("Example: dslite init --config config.json --output model --tokenizer tokenizer");
  return [arguments] { return run_init(*arguments); };
}

}  // namespace dslite
