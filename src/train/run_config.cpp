// Recipes: the table of keys, and the rules between them.
#include "src/train/run_config.h"

#include <cmath>
#include <set>

#include "src/base/error.h"

namespace dslite {
namespace {

void add_model_and_data(ConfigSchema& schema, RunConfig& config) {
  schema.text("model.path", &config.model.path,
              {.description = "model folder to start from (`dslite init` makes one)", .required = true});
  schema.choice("model.dtype", &config.model.dtype, {"float32", "bfloat16"},
                {.description = "of weights and activations; bfloat16 keeps an exact fp32 master weight",
                 .default_text = "torch_dtype of the model"});
  schema.weighted_paths(
      "data.train", &config.data.train,
      {.description = "token files made by `dslite prepare`; weight = times that each row is shown per epoch",
       .required = true});
  schema.weighted_paths("data.validation", &config.data.validation,
                        {.description = "token files that validation reads"});
  schema.integer("data.sequence_tokens", &config.data.sequence_tokens, {1, int64_t{1} << 24},
                 {.description = "tokens of a row; longer documents are cut into segments", .required = true});
  schema.choice("data.packing", &config.data.packing, {"best-fit", "esft"},
                {.description = "best-fit isolates documents; esft, for reproduction: file order, one text a row, the "
                                "front of what does not fit is cut"});
  schema.integer("batch.tokens_per_step", &config.batch.tokens_per_step, {1},
                 {.description = "row places of one optimizer step; a multiple of sequence_tokens", .required = true});
  schema.integer(
      "batch.tokens_per_micro_batch", &config.batch.tokens_per_micro_batch, {0},
      {.description = "row places of one forward; a multiple of sequence_tokens that divides tokens_per_step",
       .default_text = "tokens_per_step"});
}

void add_optimizer(ConfigSchema& schema, RunConfig& config) {
  schema.number("optimizer.learning_rate", &config.optimizer.learning_rate, {.minimum = 0, .maximum = 10},
                {.description = "peak learning rate", .required = true});
  schema.numbers("optimizer.betas", &config.optimizer.betas, {.minimum = 0, .maximum = 0.9999999},
                 {.description = "AdamW's beta1, beta2"});
  schema.number("optimizer.eps", &config.optimizer.eps, {.minimum = 0, .maximum = 1, .open_minimum = true},
                {.description = "AdamW's epsilon"});
  schema.number("optimizer.weight_decay", &config.optimizer.weight_decay, {.minimum = 0, .maximum = 10},
                {.description = "decoupled, on matrices only"});
  schema.number("optimizer.max_grad_norm", &config.optimizer.max_grad_norm, {.minimum = 0},
                {.description = "clip norm of the whole gradient; 0: no clipping"});
  schema.choice("optimizer.moments", &config.optimizer.moments, {"float32", "bfloat16"},
                {.description = "of the moments; bfloat16 needs beta2 <= 0.99"});
  schema.choice("schedule.kind", &config.schedule.kind,
                {"warmup_step_decay", "constant", "cosine", "warmup_stable_decay"},
                {.description = "warmup_step_decay is the report's"});
  schema.integer("schedule.warmup_steps", &config.schedule.warmup_steps, {0},
                 {.description = "steps of linear warm-up, every kind"});
  schema.numbers("schedule.decay_at", &config.schedule.decay_at, {.minimum = 0, .maximum = 1},
                 {.description = "warmup_step_decay: fractions of the tokens, ascending"});
  schema.number("schedule.decay_factor", &config.schedule.decay_factor,
                {.minimum = 0, .maximum = 1, .open_minimum = true},
                {.description = "warmup_step_decay: the rate is multiplied by it at each"});
  schema.number("schedule.min_learning_rate_ratio", &config.schedule.min_learning_rate_ratio,
                {.minimum = 0, .maximum = 1}, {.description = "cosine, warmup_stable_decay: last rate / peak"});
  schema.number("schedule.stable_until", &config.schedule.stable_until, {.minimum = 0, .maximum = 1},
                {.description = "warmup_stable_decay: fraction of the tokens where the decay begins"});
  schema.number(
      "loss.balance_alpha", &config.loss.balance_alpha, {.minimum = 0, .maximum = 100},
      {.description = "weight of the expert-level balance loss", .default_text = "aux_loss_alpha of the model"});
  schema.choice(
      "memory.recompute", &config.memory.recompute, {"none", "feed_forward", "layers"},
      {.description =
           "what backward makes again instead of keeping it: activations inside of experts and MLPs, or whole layers"});
}

void add_run(ConfigSchema& schema, RunConfig& config) {
  schema.text("run.folder", &config.run.folder,
              {.description = "all that the run writes; the same command again continues it", .required = true});
  schema.integer("run.seed", &config.run.seed, {0}, {.description = "of the order of the rows and of the samples"});
  schema.integer("run.total_tokens", &config.run.total_tokens, {0},
                 {.description = "row places of the whole run; this or epochs", .default_text = "from epochs"});
  schema.number(
      "run.epochs", &config.run.epochs, {.minimum = 0},
      {.description = "times through the training rows; this or total_tokens", .default_text = "from total_tokens"});
  schema.integer("run.save_every", &config.run.save_every, {0},
                 {.description = "steps between checkpoints; 0: only at the end and when stopped"});
  schema.integer("run.keep", &config.run.keep, {2}, {.description = "newest checkpoints kept"});
  schema.boolean("run.keep_best", &config.run.keep_best,
                 {.description = "also keep the checkpoint with the lowest validation loss"});
  schema.integer("run.validate_every", &config.run.validate_every, {0},
                 {.description = "steps between validations; 0: only at the end"});
  schema.integer("run.sample_every", &config.run.sample_every, {0},
                 {.description = "steps between sampled completions; 0: never"});
  schema.texts(
      "run.sample_prompts", &config.run.sample_prompts,
      {.description =
           "prompts of the samples; with a chat template each is a user's message, unless data is plain text"});
  schema.integer("run.sample_max_tokens", &config.run.sample_max_tokens, {1, 1 << 20},
                 {.description = "tokens of a sample at most"});
  schema.integer("log.every", &config.log.every, {1}, {.description = "steps between lines of metrics.jsonl"});
  schema.boolean("log.tensorboard", &config.log.tensorboard, {.description = "write TensorBoard event files"});
}

[[noreturn]] void fail_key(const ConfigSchema& schema, const std::string& key, const std::string& problem) {
  const std::string place = schema.place(key);
  fail_input("{}: key \"{}\": {}", place.empty() ? "recipe" : place, key, problem);
}

void check_batch(const ConfigSchema& schema, RunConfig& config) {
  auto& batch = config.batch;
  const int64_t row = config.data.sequence_tokens;
  if (batch.tokens_per_micro_batch == 0) batch.tokens_per_micro_batch = batch.tokens_per_step;
  if (batch.tokens_per_step % row != 0)
    fail_key(schema, "batch.tokens_per_step",
             fmt::format("found {}, expected a multiple of data.sequence_tokens = {}", batch.tokens_per_step, row));
  if (batch.tokens_per_micro_batch % row != 0 || batch.tokens_per_step % batch.tokens_per_micro_batch != 0) {
    fail_key(schema, "batch.tokens_per_micro_batch",
             fmt::format(
                 "found {}, expected a multiple of data.sequence_tokens = {} that divides batch.tokens_per_step = {}",
                 batch.tokens_per_micro_batch, row, batch.tokens_per_step));
  }
}

void check_optimizer(const ConfigSchema& schema, const RunConfig& config) {
  const auto& betas = config.optimizer.betas;
  if (betas.size() != 2) fail_key(schema, "optimizer.betas", fmt::format("found {} values, expected 2", betas.size()));
  if (config.optimizer.moments == "bfloat16" && betas[1] > 0.99) {
    fail_key(schema, "optimizer.moments",
             fmt::format(
                 "bfloat16 needs beta2 <= 0.99, found {}: rounding to nearest would never let the second moment decay",
                 betas[1]));
  }
  double last = 0;
  for (const double at : config.schedule.decay_at) {
    if (at < last) fail_key(schema, "schedule.decay_at", "the fractions must ascend");
    last = at;
  }
}

// A setting that would be ignored is an error.
void check_ignored(const ConfigSchema& schema, const RunConfig& config) {
  const std::string& kind = config.schedule.kind;
  const std::vector<std::pair<std::string, std::set<std::string>>> used_by = {
      {"schedule.decay_at", {"warmup_step_decay"}},
      {"schedule.decay_factor", {"warmup_step_decay"}},
      {"schedule.min_learning_rate_ratio", {"cosine", "warmup_stable_decay"}},
      {"schedule.stable_until", {"warmup_stable_decay"}},
  };
  for (const auto& [key, kinds] : used_by) {
    if (schema.is_set(key) && !kinds.contains(kind))
      fail_key(schema, key, fmt::format("would be ignored: schedule.kind is \"{}\"", kind));
  }
  if (schema.is_set("run.total_tokens") && schema.is_set("run.epochs") && config.run.total_tokens > 0 &&
      config.run.epochs > 0) {
    fail_key(schema, "run.epochs", "conflicts with run.total_tokens: give one of the two");
  }
  if (config.run.total_tokens == 0 && config.run.epochs == 0)
    fail_key(schema, "run.total_tokens", "found neither run.total_tokens nor run.epochs, expected one of the two");
  if (schema.is_set("run.validate_every") && config.run.validate_every > 0 && config.data.validation.empty())
    fail_key(schema, "run.validate_every", "would be ignored: data.validation is empty");
  if (schema.is_set("run.keep_best") && config.run.keep_best && config.data.validation.empty())
    fail_key(schema, "run.keep_best", "would be ignored: data.validation is empty");
  if (config.run.sample_every > 0 && config.run.sample_prompts.empty())
    fail_key(schema, "run.sample_every", "would be ignored: run.sample_prompts is empty");
  if (config.data.train.empty())
    fail_key(schema, "data.train", "found an empty list, expected at least one token file");
}

}  // namespace

std::unique_ptr<ConfigSchema> run_schema(RunConfig* config) {
  auto schema = std::make_unique<ConfigSchema>();
  add_model_and_data(*schema, *config);
  add_optimizer(*schema, *config);
  add_run(*schema, *config);
  return schema;
}

RunConfig read_recipe(const std::string& path, const std::vector<std::string>& overrides) {
  RunConfig config;
  const auto schema = run_schema(&config);
  schema->read_file(path, overrides);
  check_batch(*schema, config);
  check_optimizer(*schema, config);
  check_ignored(*schema, config);
  return config;
}

RunConfig read_resolved_recipe(const std::string& path) {
  RunConfig config;
  run_schema(&config)->read_file(path, {});
  return config;
}

std::string resolved_toml(const RunConfig& config) {
  RunConfig copy = config;
  return run_schema(&copy)->resolved_toml();
}

RunLength run_length(const RunConfig& config, int64_t rows_per_epoch) {
  RunLength length;
  const int64_t row = config.data.sequence_tokens;
  length.rows_per_step = config.batch.tokens_per_step / row;
  length.rows_per_micro_batch = config.batch.tokens_per_micro_batch / row;
  length.total_tokens =
      config.run.total_tokens > 0
          ? config.run.total_tokens
          : static_cast<int64_t>(std::ceil(config.run.epochs * static_cast<double>(rows_per_epoch))) * row;
  length.num_steps = (length.total_tokens + config.batch.tokens_per_step - 1) / config.batch.tokens_per_step;
  return length;
}

AdamWConfig adamw_config(const RunConfig& config) {
  return {.beta1 = config.optimizer.betas[0],
          .beta2 = config.optimizer.betas[1],
          .eps = config.optimizer.eps,
          .weight_decay = config.optimizer.weight_decay,
          .bf16_moments = config.optimizer.moments == "bfloat16"};
}

ScheduleConfig schedule_config(const RunConfig& config) {
  return {.kind = schedule_kind(config.schedule.kind),
          .learning_rate = config.optimizer.learning_rate,
          .warmup_steps = config.schedule.warmup_steps,
          .decay_at = config.schedule.decay_at,
          .decay_factor = config.schedule.decay_factor,
          .min_learning_rate_ratio = config.schedule.min_learning_rate_ratio,
          .stable_until = config.schedule.stable_until};
}

void check_continuation(const RunConfig& saved, const RunConfig& wanted, const std::string& saved_path,
                        int64_t steps_done, int64_t rows_per_epoch) {
  static const std::set<std::string> free_keys = {"run.folder",         "run.save_every",        "run.keep",
                                                  "run.keep_best",      "run.validate_every",    "run.sample_every",
                                                  "run.sample_prompts", "run.sample_max_tokens", "log.every",
                                                  "log.tensorboard",    "run.total_tokens",      "run.epochs"};
  RunConfig before = saved, after = wanted;
  const auto old_schema = run_schema(&before), new_schema = run_schema(&after);
  for (const std::string& key : old_schema->keys()) {
    if (free_keys.contains(key) || old_schema->value_text(key) == new_schema->value_text(key)) continue;
    fail_input(
        "key \"{}\": the run was started with {}, found {} ({}); a run goes on only with the recipe that it was "
        "started with",
        key, old_schema->value_text(key), new_schema->value_text(key), saved_path);
  }
  const RunLength old_length = run_length(saved, rows_per_epoch), new_length = run_length(wanted, rows_per_epoch);
  const std::string key = wanted.run.total_tokens > 0 ? "run.total_tokens" : "run.epochs";
  if (new_length.total_tokens < old_length.total_tokens) {
    fail_input("key \"{}\": the run was started with {} row places, found {}; only a larger number continues it ({})",
               key, old_length.total_tokens, new_length.total_tokens, saved_path);
  }
  for (int64_t step = 1; step <= steps_done; ++step) {
    const double used =
        learning_rate(schedule_config(saved), step, saved.batch.tokens_per_step, old_length.total_tokens);
    const double would =
        learning_rate(schedule_config(wanted), step, wanted.batch.tokens_per_step, new_length.total_tokens);
    if (used != would) {
      fail_input(
          "key \"{}\": {} row places instead of {} would have given step {} the learning rate {} instead of {}, which "
          "is already used ({})",
          key, new_length.total_tokens, old_length.total_tokens, step, would, used, saved_path);
    }
  }
}

}  // namespace dslite
