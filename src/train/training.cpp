// The training loop.
#include "src/train/training.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdio>

#include "src/base/error.h"
#include "src/base/memory.h"
#include "src/base/peak_meter.h"
#include "src/base/progress.h"
#include "src/train/metrics.h"
#include "src/train/run_folder.h"
#include "src/train/samples.h"
#include "src/train/signals.h"
#include "src/train/summary.h"
#include "src/train/train_state.h"
#include "src/train/train_step.h"
#include "src/train/training_setup.h"

namespace dslite {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

TrainState make_train_state(const TrainingSetup& setup, std::shared_ptr<const Mixture> mixture, const Mesh& mesh) {
  const RunConfig& config = setup.config;
  const ModelOptions options{.dtype = config.model.dtype == "bfloat16" ? at::kBFloat16 : at::kFloat,
                             .trained = [](const std::string&) { return true; },
                             .recompute = recompute_named(config.memory.recompute)};
  auto model = std::make_unique<DeepseekV2>(setup.open.config, options);
  AdamW optimizer(adamw_config(config), model->parameters());
  const BatchRows rows{.per_step = setup.length.rows_per_step, .per_micro_batch = setup.length.rows_per_micro_batch};
  auto loader = std::make_unique<Prefetcher>(Loader(std::move(mixture), rows), mesh.data_rank(), mesh.data_size());
  return {.model = std::move(model), .optimizer = std::move(optimizer), .loader = std::move(loader)};
}

std::vector<int64_t> moe_layers(const ModelConfig& config) {
  std::vector<int64_t> layers;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    if (config.is_moe_layer(layer)) layers.push_back(layer);
  }
  return layers;
}

std::vector<Batch> read_validation(const RunConfig& config, const RunLength& length) {
  if (config.data.validation.empty()) return {};
  return validation_batches(validation_config(config), length.rows_per_micro_batch);
}

class TrainingRun {
 public:
  explicit TrainingRun(const RunConfig& recipe);
  RunOutcome run();

 private:
  void start_or_continue(const std::string& start_weights);
  bool due(int64_t every) const { return every > 0 && state_.step % every == 0; }
  void step();
  void log_step(const StepResult& result, double seconds);
  bool validate();  // true when it is the best so far and is to be kept
  void sample();
  void save();
  void finish();

  RunFolder folder_;
  std::optional<RunConfig> saved_;
  std::shared_ptr<const Mixture> mixture_;
  TrainingSetup setup_;
  std::vector<Batch> validation_;
  PeakRates peak_{};  // measured when a step is about to run
  Mesh mesh_ = make_single_process_mesh();
  TrainState state_;
  std::unique_ptr<MetricsLog> metrics_;
  std::unique_ptr<Progress> progress_;
  RunSummary summary_;
};

// Says what will run, and refuses what cannot before anything large is allocated.
TrainingSetup set_up_run(const RunConfig& recipe, const std::string& model_path, const Mixture& mixture) {
  TrainingSetup setup = set_up_training(recipe, model_path, mixture);
  std::fputs(setup_text(setup).c_str(), stderr);
  require_memory(setup.memory, available_memory_bytes() + free_swap_bytes());
  return setup;
}

TrainingRun::TrainingRun(const RunConfig& recipe)
    : folder_(recipe.run.folder),
      saved_(folder_.saved_recipe()),
      mixture_(std::make_shared<Mixture>(mixture_config(recipe))),
      setup_(set_up_run(recipe, saved_ ? folder_.path() + "/model" : recipe.model.path, *mixture_)),
      validation_(read_validation(recipe, setup_.length)),
      state_(make_train_state(setup_, mixture_, mesh_)) {
  start_or_continue(recipe.model.path);
  metrics_ = std::make_unique<MetricsLog>(folder_.path(), state_.step, setup_.config.log.tensorboard,
                                          moe_layers(setup_.open.config));
}

void TrainingRun::start_or_continue(const std::string& start_weights) {
  const auto checkpoint = newest_sound_checkpoint(
      folder_.path(),
      [](const std::string& folder, const std::string& reason) { spdlog::warn("{} is rejected: {}", folder, reason); });
  if (saved_)
    check_continuation(*saved_, setup_.config, folder_.recipe_path(), checkpoint ? checkpoint->step : 0,
                       setup_.rows_per_epoch);
  if (checkpoint) {
    restore_train_state(state_, checkpoint->folder);
    spdlog::info("{} goes on from step {}", folder_.path(), state_.step);
  } else {
    const OpenModel start = open_model(start_weights);
    load_weights(start, *state_.model);
    if (!saved_) folder_.start(start.location.model_folder, setup_.config);
  }
  if (saved_) folder_.save_recipe(setup_.config);
  state_.loader->start();
}

RunOutcome TrainingRun::run() {
  const int64_t last = setup_.length.num_steps;
  if (state_.step >= last) {
    spdlog::info("{} is complete at step {}; a larger run.total_tokens or run.epochs continues it", folder_.path(),
                 state_.step);
    return RunOutcome::kDone;
  }
  peak_ = measure_peak_rates();
  SignalGuard signals;
  progress_ = std::make_unique<Progress>("train", last, "steps");
  progress_->start_from(state_.step);
  while (state_.step < last) {
    step();
    const bool ends = state_.step == last;
    const bool best = !validation_.empty() && (ends || due(setup_.config.run.validate_every)) && validate();
    if (due(setup_.config.run.sample_every)) sample();
    const bool stop = signals.stop_requested() && !ends;
    if (ends || stop || best || due(setup_.config.run.save_every) || signals.take_save_request()) save();
    if (!stop) continue;
    progress_.reset();
    spdlog::warn("stopped by a signal after step {}, which is saved; the same command goes on", state_.step);
    return RunOutcome::kStopped;
  }
  progress_.reset();
  finish();
  return RunOutcome::kDone;
}

void TrainingRun::step() {
  const auto start = Clock::now();
  const RunConfig& config = setup_.config;
  const double rate =
      learning_rate(schedule_config(config), state_.step + 1, config.batch.tokens_per_step, setup_.length.total_tokens);
  const StepResult result = train_step(state_, mesh_,
                                       {.balance_alpha = config.loss.balance_alpha,
                                        .max_grad_norm = config.optimizer.max_grad_norm,
                                        .learning_rate = rate});
  const double seconds = seconds_since(start);
  summary_.add_step(result.loss.cross_entropy / result.totals.target_weight, result.totals.num_tokens, seconds,
                    result.data_wait_seconds);
  if (due(config.log.every) || state_.step == setup_.length.num_steps) log_step(result, seconds);
  progress_->update(state_.step, fmt::format("loss {:.3f}, learning rate {:.2e}, {} tokens/s",
                                             result.loss.cross_entropy / result.totals.target_weight, rate,
                                             count_text(static_cast<double>(result.totals.num_tokens) / seconds)));
}

void TrainingRun::log_step(const StepResult& result, double seconds) {
  StepMetrics metrics{
      .step = state_.step,
      .tokens = state_.tokens,
      .trained_tokens = state_.trained_tokens,
      .loss = result.loss.cross_entropy / result.totals.target_weight,
      .accuracy = static_cast<double>(result.loss.num_correct) /
                  static_cast<double>(std::max<int64_t>(1, result.totals.num_trained_tokens)),
      .gradient_norm = result.gradient_norm,
      .learning_rate = result.learning_rate,
      .seconds = seconds,
      .step_tokens = result.totals.num_tokens,
      .share_of_peak = result.flops / seconds /
                       peak_.flops_of(setup_.config.model.dtype == "bfloat16" ? kernels::DType::kBFloat16
                                                                              : kernels::DType::kFloat32),
      .resident_bytes = process_memory().resident_bytes,
      .data_wait_seconds = result.data_wait_seconds};
  for (const double balance : result.loss.balance_loss)
    metrics.balance_loss.push_back(balance / static_cast<double>(result.totals.num_tokens));
  for (const auto& tokens : result.loss.expert_tokens) metrics.load.push_back(expert_load(tokens));
  metrics_->write(metrics);
}

bool TrainingRun::validate() {
  const auto start = Clock::now();
  LossSum sum;
  for (const Batch& batch : validation_) sum += loss_only(*state_.model, batch);
  const ValidationMetrics metrics{.step = state_.step,
                                  .loss = sum.cross_entropy / sum.target_weight,
                                  .accuracy = static_cast<double>(sum.num_correct) /
                                              static_cast<double>(std::max<int64_t>(1, sum.num_trained_tokens))};
  metrics_->write(metrics, seconds_since(start));
  spdlog::info("step {}: validation loss {:.4f}, accuracy {:.1f} %", metrics.step, metrics.loss,
               100 * metrics.accuracy);
  summary_.validation = metrics;
  const bool best = state_.best.step == 0 || metrics.loss < state_.best.loss;
  if (best) state_.best = {.step = state_.step, .loss = metrics.loss};
  return best && setup_.config.run.keep_best;
}

void TrainingRun::sample() {
  const RunConfig::Run& run = setup_.config.run;
  const std::vector<std::string> completions = sample_completions(*state_.model, setup_.open,
                                                                  {.prompts = run.sample_prompts,
                                                                   .max_new_tokens = run.sample_max_tokens,
                                                                   .chat = !mixture_->chat_format().empty()});
  for (size_t i = 0; i < completions.size(); ++i) {
    spdlog::info("step {}: {} -> {}", state_.step, run.sample_prompts[i], completions[i]);
    metrics_->write_sample(state_.step, run.sample_prompts[i], completions[i]);
  }
}

void TrainingRun::save() {
  metrics_->sync();
  SavePolicy policy{.keep = setup_.config.run.keep};
  if (setup_.config.run.keep_best && state_.best.step > 0) policy.keep_steps = {state_.best.step};
  save_train_state(state_, folder_.path(), policy);
}

void TrainingRun::finish() {
  write_file_atomically(folder_.path() + "/summary.json", summary_.json(state_).dump(1) + "\n");
  std::fputs(summary_.text(state_, moe_layers(setup_.open.config)).c_str(), stdout);
}

}  // namespace

RunOutcome run_training(const RunConfig& recipe) { return TrainingRun(recipe).run(); }

std::string check_training(const RunConfig& recipe) {
  const Mixture mixture(mixture_config(recipe));
  const TrainingSetup setup = set_up_training(recipe, recipe.model.path, mixture);
  read_validation(recipe, setup.length);
  return setup_text(setup);
}

}  // namespace dslite
