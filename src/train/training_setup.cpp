// Opening and cross-checking.
#include "src/train/training_setup.h"

#include "src/base/error.h"
#include "src/base/memory.h"
#include "src/base/progress.h"

namespace dslite {
namespace {

void check_tokens(const TrainingSetup& setup, const Mixture& mixture) {
  if (mixture.vocab_size() > setup.open.config.vocab_size) {
    fail_input("data.train: the token files were made for {} token ids, the model {} has {}", mixture.vocab_size(),
               setup.open.location.model_folder, setup.open.config.vocab_size);
  }
  if (setup.open.tokenizer && setup.open.tokenizer->sha256() != mixture.tokenizer_sha256()) {
    fail_input(
        "data.train: the token files were made with another tokenizer (sha256 {}) than that of {} (sha256 {}); run "
        "`dslite prepare` with the model's",
        mixture.tokenizer_sha256(), setup.open.location.model_folder, setup.open.tokenizer->sha256());
  }
  if (setup.config.data.sequence_tokens > setup.open.config.max_position_embeddings) {
    fail_input("data.sequence_tokens: found {}, expected at most max_position_embeddings = {} of the model",
               setup.config.data.sequence_tokens, setup.open.config.max_position_embeddings);
  }
}

std::vector<DataSource> data_sources(const std::vector<WeightedPath>& files) {
  std::vector<DataSource> sources;
  for (const WeightedPath& file : files) sources.push_back({.path = file.path, .weight = file.weight});
  return sources;
}

PackingKind packing_kind(const RunConfig& recipe) {
  return recipe.data.packing == "esft" ? PackingKind::kEsft : PackingKind::kBestFit;
}

}  // namespace

MixtureConfig mixture_config(const RunConfig& recipe) {
  return {.sources = data_sources(recipe.data.train),
          .packing = {.kind = packing_kind(recipe),
                      .sequence_tokens = recipe.data.sequence_tokens,
                      .seed = static_cast<uint64_t>(recipe.run.seed)}};
}

MixtureConfig validation_config(const RunConfig& recipe) {
  return {.sources = data_sources(recipe.data.validation),
          .packing = {.kind = packing_kind(recipe), .sequence_tokens = recipe.data.sequence_tokens, .seed = 0}};
}

TrainingSetup set_up_training(const RunConfig& recipe, const std::string& model_path, const Mixture& mixture) {
  TrainingSetup setup{.config = recipe, .open = open_model(model_path)};
  const ModelConfig& model = setup.open.config;
  if (setup.config.model.dtype.empty()) setup.config.model.dtype = model.torch_dtype;
  if (setup.config.loss.balance_alpha < 0)
    setup.config.loss.balance_alpha = model.n_routed_experts ? model.aux_loss_alpha : 0;
  setup.rows_per_epoch = mixture.rows_per_epoch();
  setup.cut_tokens = mixture.cut_tokens();
  setup.length = run_length(setup.config, setup.rows_per_epoch);
  check_tokens(setup, mixture);
  setup.counts = count_parameters(model);
  setup.memory = plan_memory(model, {.bf16 = setup.config.model.dtype == "bfloat16",
                                     .bf16_moments = setup.config.optimizer.moments == "bfloat16",
                                     .recompute = recompute_named(setup.config.memory.recompute),
                                     .micro_batch_tokens = setup.config.batch.tokens_per_micro_batch,
                                     .trained_parameters = setup.counts.total,
                                     .program_bytes = process_memory().resident_bytes});
  return setup;
}

std::string setup_text(const TrainingSetup& setup) {
  const int64_t parts = setup.length.rows_per_step / setup.length.rows_per_micro_batch;
  const std::string cut =
      setup.cut_tokens == 0 ? "" : fmt::format("; packing leaves out {} tokens of the files", setup.cut_tokens);
  return fmt::format(
      "model: {} parameters, {} active a token, {}\ndata: {} rows of {} tokens an epoch{}\nrun: {} steps of {} tokens "
      "({} of {} tokens each), {} tokens, {:.2f} epochs\n{}; {} available\n",
      count_text(static_cast<double>(setup.counts.total)), count_text(static_cast<double>(setup.counts.active)),
      setup.config.model.dtype, setup.rows_per_epoch, setup.config.data.sequence_tokens, cut, setup.length.num_steps,
      setup.config.batch.tokens_per_step, parts == 1 ? "one micro-batch" : fmt::format("{} micro-batches", parts),
      setup.config.batch.tokens_per_micro_batch, count_text(static_cast<double>(setup.length.total_tokens)),
      static_cast<double>(setup.length.total_tokens) /
          static_cast<double>(setup.rows_per_epoch * setup.config.data.sequence_tokens),
      plan_text(setup.memory), bytes_text(static_cast<double>(available_memory_bytes())));
}

}  // namespace dslite
