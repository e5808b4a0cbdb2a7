// dslite eval: loss, perplexity and next-token accuracy over the trained tokens of a token file, and the experts' load.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "src/base/error.h"
#include "src/base/progress.h"
#include "src/cli/cli.h"
#include "src/cli/opened_model.h"
#include "src/data/loader.h"
#include "src/data/token_store.h"
#include "src/train/loss_and_gradient.h"

namespace dslite {
namespace {

struct EvalOptions {
  ModelChoice model;
  std::string data;
  int64_t sequence_tokens = 4096;
  bool sequence_tokens_given = false, json = false;
};

constexpr int64_t kForwardTokens = 8192;  // of one forward, at least one row

// The file must speak the model's vocabulary.
void check_data(const EvalOptions& options, const OpenedModel& opened) {
  const TokenFileInfo info = TokenStore(options.data).info();
  if (opened.folder.tokenizer && info.tokenizer_sha256 != opened.folder.tokenizer->sha256()) {
    fail_input("{}: made with another tokenizer (SHA-256 {}) than the model's in {} ({})", options.data,
               info.tokenizer_sha256, options.model.path, opened.folder.tokenizer->sha256());
  }
  if (info.vocab_size > opened.folder.config.vocab_size) {
    fail_input("{}: vocabulary of {} tokens, found in a model of vocab_size {}", options.data, info.vocab_size,
               opened.folder.config.vocab_size);
  }
  if (info.num_trained_tokens == 0)
    fail_input("{}: no token is trained, so there is nothing to evaluate", options.data);
}

int64_t choose_sequence_tokens(const EvalOptions& options, const ModelConfig& config) {
  if (options.sequence_tokens <= config.max_position_embeddings) return options.sequence_tokens;
  if (!options.sequence_tokens_given) return config.max_position_embeddings;
  fail_input("--sequence-tokens: found {}, the model's max_position_embeddings is {}", options.sequence_tokens,
             config.max_position_embeddings);
}

Json expert_load(const LossSum& sum, const ModelConfig& config) {
  Json layers = Json::array();
  size_t index = 0;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    if (!config.is_moe_layer(layer)) continue;
    const std::vector<int64_t>& tokens = sum.expert_tokens.at(index);
    const auto total = static_cast<double>(std::accumulate(tokens.begin(), tokens.end(), int64_t{0}));
    double entropy = 0;
    for (const int64_t count : tokens) {
      if (count > 0) entropy -= static_cast<double>(count) / total * std::log(static_cast<double>(count) / total);
    }
    layers.push_back({{"layer", layer},
                      {"tokens", tokens},
                      {"max_over_mean", static_cast<double>(*std::max_element(tokens.begin(), tokens.end())) *
                                            static_cast<double>(tokens.size()) / total},
                      {"entropy", entropy},  // nats; ln(experts) when even
                      {"unused", std::count(tokens.begin(), tokens.end(), 0)},
                      {"balance_loss", sum.balance_loss.at(index) / static_cast<double>(sum.num_tokens)}});
    ++index;
  }
  return layers;
}

std::string as_text(const Json& result) {
  std::string text = fmt::format(
      "loss        {:.6f} nats a token\nperplexity  {:.4f}\naccuracy    {:.2f} %\ntokens      {} trained of {}\n",
      result["loss"].get<double>(), result["perplexity"].get<double>(), 100 * result["accuracy"].get<double>(),
      result["trained_tokens"].get<int64_t>(), result["tokens"].get<int64_t>());
  for (const Json& layer : result["experts"]) {
    text +=
        fmt::format("layer {:<4}  most used / mean {:.2f}, entropy {:.3f} of {:.3f} nats, unused {}\n",
                    layer["layer"].get<int64_t>(), layer["max_over_mean"].get<double>(), layer["entropy"].get<double>(),
                    std::log(static_cast<double>(layer["tokens"].size())), layer["unused"].get<int64_t>());
  }
  return text;
}

int eval(const EvalOptions& options) {
  const OpenedModel opened = open_chosen_model(options.model);
  check_data(options, opened);
  const int64_t sequence_tokens = choose_sequence_tokens(options, opened.folder.config);
  const std::vector<Batch> batches =
      validation_batches({.sources = {{.path = options.data}}, .packing = {.sequence_tokens = sequence_tokens}},
                         std::max<int64_t>(1, kForwardTokens / sequence_tokens));
  Progress progress(
      "eval",
      std::accumulate(batches.begin(), batches.end(), int64_t{0},
                      [](int64_t sum, const Batch& b) { return sum + static_cast<int64_t>(b.tokens.size()); }),
      "tokens");
  LossSum sum;
  for (const Batch& batch : batches) {
    sum += loss_only(*opened.model, batch);
    progress.update(sum.num_tokens, fmt::format("loss {:.4f}", sum.cross_entropy / std::max(sum.target_weight, 1e-30)));
  }
  progress.finish();
  const double loss = sum.cross_entropy / sum.target_weight;
  if (!std::isfinite(loss))
    fail_work("the loss is {}: the model's weights are damaged or its arithmetic overflowed", loss);
  const Json result{{"loss", loss},
                    {"perplexity", std::exp(loss)},
                    {"accuracy", static_cast<double>(sum.num_correct) / static_cast<double>(sum.num_trained_tokens)},
                    {"trained_tokens", sum.num_trained_tokens},
                    {"tokens", sum.num_tokens},
                    {"sequence_tokens", sequence_tokens},
                    {"experts", expert_load(sum, opened.folder.config)}};
  print_result(options.json ? result.dump() + "\n" : as_text(result));
  return 0;
}

}  // namespace

Command add_eval(CLI::App& app) {
  auto options = std::make_shared<EvalOptions>();
  add_model_options(app, options->model);
  app.add_option("--data", options->data, "a token file (dslite prepare)")->required();
  app.add_option("--sequence-tokens", options->sequence_tokens,
                 "tokens of a segment at most; longer documents are cut as in training")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
  app.add_flag("--json", options->json, "one JSON object");
  app.footer("example: dslite eval --model model --data chat.validation.h5");
  return [options, &app] {
    options->sequence_tokens_given = app.count("--sequence-tokens") > 0;
    return eval(*options);
  };
}

}  // namespace dslite
