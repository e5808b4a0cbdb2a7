// A training recipe: what `dslite train RECIPE.toml` reads, with every default. Places are row places: a row has
// sequence_tokens of them.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "src/base/config_schema.h"
#include "src/optim/adamw.h"
#include "src/optim/schedule.h"

namespace dslite {

struct RunConfig {
  struct Model {
    std::string path, dtype;  // dtype empty: the model's own
  } model;
  struct Data {
    std::vector<WeightedPath> train, validation;
    int64_t sequence_tokens = 0;
    std::string packing = "best-fit";
  } data;
  struct Batch {
    int64_t tokens_per_step = 0, tokens_per_micro_batch = 0;
  } batch;
  struct Optimizer {
    double learning_rate = 0, eps = 1e-8, weight_decay = 0.1, max_grad_norm = 1.0;
    std::vector<double> betas = {0.9, 0.95};
    std::string moments = "float32";
  } optimizer;
  struct Schedule {
    std::string kind = "warmup_step_decay";
    int64_t warmup_steps = 0;
    std::vector<double> decay_at = {0.8, 0.9};
    double decay_factor = 0.316, min_learning_rate_ratio = 0.1, stable_until = 0.9;
  } schedule;
  struct Loss {
    double balance_alpha = -1;  // below 0: aux_loss_alpha of the model
  } loss;
  struct Memory {
    std::string recompute = "none";
  } memory;
  struct Run {
    std::string folder;
    int64_t seed = 0, total_tokens = 0;
    double epochs = 0;
    int64_t save_every = 0, keep = 2, validate_every = 0, sample_every = 0, sample_max_tokens = 64;
    bool keep_best = true;
    std::vector<std::string> sample_prompts;
  } run;
  struct Log {
    int64_t every = 1;
    bool tensorboard = true;
  } log;
};

// Binds every key of a recipe to `config`.
std::unique_ptr<ConfigSchema> run_schema(RunConfig* config);

// Reads and checks a recipe; UserError for wrong, ignored or conflicting keys.
RunConfig read_recipe(const std::string& path, const std::vector<std::string>& overrides);
// The resolved recipe that a run folder keeps: every key is set there, so the rules between keys are not asked again.
RunConfig read_resolved_recipe(const std::string& path);
std::string resolved_toml(const RunConfig& config);

// The steps of a run: ceil(total places / tokens_per_step); with epochs, total places = epochs * rows of an epoch *
// sequence_tokens.
struct RunLength {
  int64_t total_tokens = 0, num_steps = 0, rows_per_step = 0, rows_per_micro_batch = 0;
};
RunLength run_length(const RunConfig& config, int64_t rows_per_epoch);

AdamWConfig adamw_config(const RunConfig& config);
ScheduleConfig schedule_config(const RunConfig& config);

// A run goes on with a recipe that equals the saved one but for run.save_every, keep, keep_best, validate_every,
// sample_*, log.*, and a larger total_tokens or epochs under which no learning rate already used changes. UserError
// names the key with both values.
void check_continuation(const RunConfig& saved, const RunConfig& wanted, const std::string& saved_path,
                        int64_t steps_done, int64_t rows_per_epoch);

}  // namespace dslite
