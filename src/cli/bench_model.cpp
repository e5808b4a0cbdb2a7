// Benchmarks of the whole model: training steps and decoding on the first layers of DeepSeek-V2-Lite at full width.
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "src/base/error.h"
#include "src/base/memory.h"
#include "src/base/progress.h"
#include "src/base/random.h"
#include "src/cli/bench.h"
#include "src/model/flops.h"
#include "src/model/initial_weights.h"
#include "src/optim/adamw.h"
#include "src/train/loss_and_gradient.h"
#include "src/train/plan.h"

namespace dslite {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

void check_memory(const char* name, int64_t needed_bytes) {
  const int64_t available = available_memory_bytes();
  if (available > 0 && available < needed_bytes)
    fail_work("bench {}: needs {} of memory, {} are available; --layers makes it smaller", name,
              bytes_text(static_cast<double>(needed_bytes)), bytes_text(static_cast<double>(available)));
}

// Normal numbers from one table of odd length, each tensor from another place in it: numbers enough for a benchmark, in
// a second instead of a minute.
void fill_weights(DeepseekV2& model) {
  constexpr int64_t kTable = (1 << 20) + 7;
  std::vector<float> table(2 * kTable);
  initial_values({"table", {kTable}}, model.config().initializer_range, 1, {table.data(), kTable});
  std::copy_n(table.begin(), kTable, table.begin() + kTable);
  int64_t place = 0;
  for (Parameter* parameter : model.parameters()) {
    if (parameter->value.dim() == 1) {
      parameter->value.fill_(1);
      continue;
    }
    const at::Tensor flat = parameter->value.view(-1);
    for (int64_t begin = 0; begin < flat.numel(); begin += kTable) {
      const int64_t count = std::min(kTable, flat.numel() - begin);
      flat.slice(0, begin, begin + count).copy_(at::from_blob(table.data() + place, {count}, at::kFloat));
      place = (place + 7919) % kTable;
    }
  }
}

Batch random_batch(int64_t tokens, int64_t vocab_size) {
  const RandomStream random(1, RandomPurpose::kTest);
  Batch batch;
  for (int64_t t = 0; t < tokens; ++t) {
    batch.tokens.push_back(static_cast<int32_t>(random.below(t, vocab_size)));
    batch.positions.push_back(static_cast<int32_t>(t));
  }
  batch.labels.assign(batch.tokens.begin() + 1, batch.tokens.end());
  batch.labels.push_back(-1);
  batch.loss_weight.assign(tokens, 1);
  batch.loss_weight.back() = 0;
  batch.offsets = {0, tokens};
  return batch;
}

double seconds_of(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct StepSeconds {
  std::vector<double> gradients, norm, adamw, step;
};

// One step that warms up, then the timed ones; every step trains on.
StepSeconds time_steps(DeepseekV2& model, AdamW& optimizer, const Batch& batch, int64_t steps) {
  const BatchTotals totals{.target_weight = static_cast<double>(batch.tokens.size() - 1),
                           .num_tokens = static_cast<int64_t>(batch.tokens.size()),
                           .num_trained_tokens = static_cast<int64_t>(batch.tokens.size()) - 1};
  StepSeconds times;
  Progress progress("training", steps + 1, "steps");
  for (int64_t step = 1; step <= steps + 1; ++step) {
    LossSum loss;
    GradientNorm norm;
    const double gradients = seconds_of([&] {
      model.begin_gradients();
      loss = loss_and_gradient(model, batch, totals, {.balance_alpha = model.config().aux_loss_alpha});
    });
    const double norm_seconds = seconds_of([&] { norm = gradient_norm(model.parameters()); });
    const double adamw = seconds_of([&] { optimizer.step(step, 1e-4, norm.clip_factor(1)); });
    if (!std::isfinite(loss.cross_entropy) || !std::isfinite(norm.value))
      fail_work("bench train: the loss is {}, the gradient norm {}", loss.cross_entropy, norm.value);
    progress.update(step, fmt::format("loss {:.3f}", loss.cross_entropy / totals.target_weight));
    if (step == 1) continue;
    times.gradients.push_back(gradients);
    times.norm.push_back(norm_seconds);
    times.adamw.push_back(adamw);
    times.step.push_back(gradients + norm_seconds + adamw);
  }
  return times;
}

}  // namespace

ModelConfig v2_lite_slice(int64_t num_layers) {
  ModelConfig config;
  config.vocab_size = 32000, config.hidden_size = 2048, config.num_hidden_layers = num_layers;
  config.num_attention_heads = 16, config.intermediate_size = 10944, config.moe_intermediate_size = 1408;
  config.kv_lora_rank = 512, config.qk_nope_head_dim = 128, config.qk_rope_head_dim = 64, config.v_head_dim = 128;
  config.n_routed_experts = 64, config.n_shared_experts = 2, config.num_experts_per_tok = 6;
  config.first_k_dense_replace = 1, config.max_position_embeddings = 163840;
  config.rope_scaling =
      YarnScaling{.factor = 40, .mscale = 0.707, .mscale_all_dim = 0.707, .original_max_position_embeddings = 4096};
  return config;
}

BenchResult bench_train(const BenchOptions& options, MeasuredPeak& peak) {
  const ModelConfig config = v2_lite_slice(options.layers);
  const int64_t parameters = count_parameters(config).total;
  // value (with low bits), fp32 gradient, moments; activations
  check_memory("train", (options.bf16 ? 12 : 16) * parameters + 2 * kGiB);
  const MemoryPlan plan = plan_memory(config, {.bf16 = options.bf16,
                                               .bf16_moments = options.bf16,
                                               .micro_batch_tokens = options.tokens,
                                               .trained_parameters = parameters,
                                               .program_bytes = process_memory().resident_bytes});
  DeepseekV2 model(config, {.dtype = options.bf16 ? at::kBFloat16 : at::kFloat, .trained = [](const std::string&) { return true; }});
  fill_weights(model);
  AdamW optimizer({.bf16_moments = options.bf16}, model.parameters());
  const Batch batch = random_batch(options.tokens, config.vocab_size);
  const StepSeconds times = time_steps(model, optimizer, batch, options.steps);
  const int64_t peak_bytes = process_memory().peak_resident_bytes;
  const double at_mm = at_mm_flops_per_second(options.bf16);
  peak.measure_again();

  const double step = median(times.step), flops = training_flops(config, batch.offsets).total();
  const double rate = flops / step;
  const double share = rate / (options.bf16 ? peak.rates().bf16_flops_per_second : peak.rates().flops_per_second);
  const double tokens_per_second = static_cast<double>(options.tokens) / step;
  return {.line = fmt::format(
              "{} layers of V2-Lite, {} parameters, {}, {} tokens a step: {:.1f} tokens/s, {:.1f} GF/s ({:.0f} %), "
              "{:.2f} s a step (gradients {:.2f}: {:.0f} % of at::mm's {:.1f} GF/s; norm {:.2f}, AdamW {:.2f}), peak "
              "memory {} (planned {})",
              options.layers, count_text(static_cast<double>(parameters)), options.bf16 ? "bf16" : "fp32", options.tokens, tokens_per_second,
              rate * 1e-9, 100 * share, step, median(times.gradients), 100 * flops / median(times.gradients) / at_mm,
              at_mm * 1e-9, median(times.norm), median(times.adamw), bytes_text(static_cast<double>(peak_bytes)),
              bytes_text(static_cast<double>(plan.total_bytes()))),
          .values = {{"layers", options.layers},
                     {"parameters", parameters},
                     {"dtype", options.bf16 ? "bfloat16" : "float32"},
                     {"tokens_per_step", options.tokens},
                     {"steps", options.steps},
                     {"tokens_per_second", tokens_per_second},
                     {"flops_per_token", flops / static_cast<double>(options.tokens)},
                     {"flops_per_second", rate},
                     {"share_of_peak", share},
                     {"at_mm_flops_per_second", at_mm},
                     {"step_seconds", step},
                     {"gradient_seconds", median(times.gradients)},
                     {"norm_seconds", median(times.norm)},
                     {"adamw_seconds", median(times.adamw)},
                     {"planned_bytes", plan.total_bytes()},
                     {"peak_resident_bytes", peak_bytes}}};
}

// One sequence, greedy, after a context of 1,024 tokens. Counted bytes: the weights that a token passes through, and
// the cache.
BenchResult bench_decode(const BenchOptions& options, MeasuredPeak& peak) {
  constexpr int64_t kContext = 1024, kMostSteps = 11;
  const ModelConfig config = v2_lite_slice(options.layers);
  check_memory("decode", 2 * count_parameters(config).total + kGiB);
  DeepseekV2 model(config, {.dtype = at::kBFloat16, .trained = nullptr});
  fill_weights(model);
  const int64_t columns = config.kv_lora_rank + config.qk_rope_head_dim;
  std::vector<LatentCacheView> caches;
  for (int64_t layer = 0; layer < options.layers; ++layer)
    caches.push_back({.pages = at::full({1, kContext + kMostSteps, columns}, 0.1, at::kBFloat16),
                      .block_table = at::zeros({1, 1}, at::kInt),
                      .kv_lengths = {kContext}});
  int64_t length = kContext;
  int32_t token = 1;
  const auto decode_one = [&] {
    ++length;
    for (LatentCacheView& cache : caches) cache.kv_lengths = {length};
    const Sequence sequence{
        .positions = at::full({1}, length - 1, at::kInt), .q_offsets = {0, 1}, .kv_offsets = {0, length}};
    const auto output = model.forward({.tokens = {&token, 1}, .sequence = &sequence, .caches = &caches}, nullptr);
    token = static_cast<int32_t>(model.logits(output.hidden).argmax().item<int64_t>());
  };
  const double seconds = median(time_runs(decode_one));
  peak.measure_again();

  const double bytes = 2.0 * static_cast<double>(count_parameters(config).active + options.layers * kContext * columns);
  const double rate = bytes / seconds, share = rate / peak.rates().read_bytes_per_second;
  return {.line = fmt::format(
              "{} layers of V2-Lite, one sequence, context {}: {:.1f} tokens/s, {:.1f} GB/s read ({:.0f} %)",
              options.layers, kContext, 1 / seconds, rate * 1e-9, 100 * share),
          .values = {{"layers", options.layers},
                     {"context_tokens", kContext},
                     {"tokens_per_second", 1 / seconds},
                     {"read_bytes_per_token", bytes},
                     {"read_bytes_per_second", rate},
                     {"share_of_read_bandwidth", share}}};
}

}  // namespace dslite
