// Benchmarks of single operations at the shapes of V2-Lite, bf16: forward and both gradients, as training calls them.
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>
#include <fmt/format.h>

#include "src/base/random.h"
#include "src/cli/bench.h"
#include "src/model/initial_weights.h"
#include "src/model/rope_table.h"
#include "src/ops/experts.h"
#include "src/ops/linear.h"
#include "src/ops/mla_attention.h"

namespace dslite {
namespace {

at::Tensor random_bf16(std::vector<int64_t> shape, const std::string& name, double deviation = 1) {
  const at::Tensor values = at::empty(shape, at::kFloat);
  initial_values({name, shape}, deviation, 1, {values.data_ptr<float>(), static_cast<size_t>(values.numel())});
  return values.to(at::kBFloat16);
}

Parameter trained_parameter(const std::string& name, std::vector<int64_t> shape) {
  Parameter parameter;
  parameter.name = name;
  parameter.value = random_bf16(shape, name, 0.02);
  parameter.grad = at::empty(shape, at::kFloat);
  return parameter;
}

struct Part {
  const char* name;
  double flops, seconds;
};

// "forward 180.1 GF/s (79 %), ..." and {"forward": {"flops_per_second", "share_of_peak"}, ...}.
BenchResult report(const std::string& what, const std::vector<Part>& parts, const PeakRates& peak) {
  BenchResult result{what, Json::object()};
  for (const Part& part : parts) {
    const double rate = part.flops / part.seconds, share = rate / peak.bf16_flops_per_second;
    result.line += fmt::format("{} {} {:.1f} GF/s ({:.0f} %)", result.values.empty() ? ":" : ",", part.name,
                               rate * 1e-9, 100 * share);
    result.values[part.name] = {{"flops_per_second", rate}, {"share_of_peak", share}, {"seconds", part.seconds}};
  }
  return result;
}

}  // namespace

double at_mm_flops_per_second(bool bf16) {
  constexpr int64_t kTokens = 2048, kIn = 2048, kOut = 2816;
  const at::ScalarType dtype = bf16 ? at::kBFloat16 : at::kFloat;
  const at::Tensor x = random_bf16({kTokens, kIn}, "x").to(dtype),
                   weight = random_bf16({kOut, kIn}, "weight", 0.02).to(dtype);
  return 2.0 * kTokens * kIn * kOut / fastest(time_runs([&] { at::mm(x, weight.t()); }));
}

BenchResult bench_gemm(const BenchOptions&, MeasuredPeak& peak) {
  constexpr int64_t kTokens = 2048, kIn = 2048, kOut = 2816;
  Parameter parameter = trained_parameter("weight", {kOut, kIn});
  const WeightRef weight = ops::weight_ref(parameter);
  const at::Tensor x = random_bf16({kTokens, kIn}, "x"), dy = random_bf16({kTokens, kOut}, "dy");
  const double flops = 2.0 * kTokens * kIn * kOut;
  const double forward = fastest(time_runs([&] { ops::linear(x, weight, at::kBFloat16); }));
  const double input_gradient = fastest(time_runs([&] { ops::linear_input_gradient(dy, weight); }));
  const double weight_gradient = fastest(time_runs([&] {
    parameter.grad_empty = true;
    ops::add_linear_weight_gradient(x, dy, weight);
  }));
  const double at_mm = flops / at_mm_flops_per_second();
  peak.measure_again();
  return report(fmt::format("{} x {} x {}, bf16", kTokens, kOut, kIn),
                {{"at_mm", flops, at_mm},
                 {"forward", flops, forward},
                 {"input_gradient", flops, input_gradient},
                 {"weight_gradient", flops, weight_gradient}},
                peak.rates());
}

// 16 experts of V2-Lite (277 MB of weights, far beyond the caches) with the 192 rows each that 2,048 tokens give to 64.
BenchResult bench_experts(const BenchOptions&, MeasuredPeak& peak) {
  constexpr int64_t kTokens = 512, kExperts = 16, kChosen = 6, kHidden = 2048, kWidth = 1408;
  std::vector<Parameter> parameters;
  parameters.reserve(3 * kExperts);
  std::vector<ops::MlpWeights> experts;
  for (int64_t e = 0; e < kExperts; ++e) {
    const auto add = [&](const char* name, int64_t out, int64_t in) {
      return ops::weight_ref(parameters.emplace_back(trained_parameter(fmt::format("{}{}", name, e), {out, in})));
    };
    const WeightRef gate = add("gate", kWidth, kHidden), up = add("up", kWidth, kHidden);
    experts.push_back({.gate = gate, .up = up, .down = add("down", kHidden, kWidth)});
  }
  const at::Tensor x = random_bf16({kTokens, kHidden}, "x"), d_out = random_bf16({kTokens, kHidden}, "d_out");
  const at::Tensor indices = at::empty({kTokens, kChosen}, at::kInt);
  for (int64_t i = 0; i < kTokens * kChosen; ++i)  // even, and six different ones for each token
    indices.data_ptr<int32_t>()[i] = static_cast<int32_t>((i / kChosen * 5 + i % kChosen * 3) % kExperts);
  const ops::ExpertsInput input{.x_TD = x,
                                .indices_TK = indices,
                                .weights_TK = at::full({kTokens, kChosen}, 0.1, at::kFloat),
                                .shared_TD = {},
                                .residual_TD = {}};
  ops::ExpertsSaved saved;
  const double forward = fastest(time_runs([&] { ops::experts(input, experts, &saved); }));
  const double backward = fastest(time_runs([&] {
    for (Parameter& parameter : parameters) parameter.grad_empty = true;
    GradientSum dx;
    ops::experts_backward(saved, experts, d_out, dx);
  }));
  peak.measure_again();
  const double flops = 2.0 * kTokens * kChosen * 3 * kHidden * kWidth;
  return report(fmt::format("{} experts of {}, {} rows each, bf16", kExperts, kWidth, kTokens * kChosen / kExperts),
                {{"forward", flops, forward}, {"backward", 2 * flops, backward}}, peak.rates());
}

// One document; with the up-projection of the latents, which the operation holds. Backward counts twice the forward.
BenchResult bench_attention(const BenchOptions&, MeasuredPeak& peak) {
  constexpr int64_t kTokens = 2048;
  const ModelConfig config = v2_lite_slice(1);
  const int64_t heads = config.num_attention_heads, rank = config.kv_lora_rank, qk = config.qk_head_dim();
  const int64_t kv_width = heads * (config.qk_nope_head_dim + config.v_head_dim);
  const ops::MlaShape shape{.num_heads = heads,
                            .qk_nope_head_dim = config.qk_nope_head_dim,
                            .qk_rope_head_dim = config.qk_rope_head_dim,
                            .v_head_dim = config.v_head_dim,
                            .kv_lora_rank = rank,
                            .scale = static_cast<float>(config.softmax_scale())};
  Parameter kv_b = trained_parameter("kv_b", {kv_width, rank});
  const WeightRef weight = ops::weight_ref(kv_b);
  const RopeTable table = make_rope_table(config);
  Sequence sequence{.positions = at::empty({kTokens}, at::kInt), .q_offsets = {0, kTokens}, .kv_offsets = {0, kTokens}};
  for (int32_t t = 0; t < kTokens; ++t) sequence.positions.data_ptr<int32_t>()[t] = t;
  const ops::MlaInput input{.q_TQ = random_bf16({kTokens, heads * qk}, "q"),
                            .latent_TL = random_bf16({kTokens, rank}, "latent"),
                            .k_rope_TR = random_bf16({kTokens, config.qk_rope_head_dim}, "k_rope")};
  ops::MlaSaved saved;
  const double forward =
      fastest(time_runs([&] { ops::mla_attention(input, weight, shape, table, sequence, nullptr, &saved); }));
  const at::Tensor d_out = random_bf16({kTokens, heads * config.v_head_dim}, "d_out");
  const at::Tensor d_k_rope = at::empty_like(input.k_rope_TR);
  const double backward = fastest(time_runs([&] {
    kv_b.grad_empty = true;
    ops::mla_attention_backward(saved, weight, shape, table, sequence, d_out, d_k_rope);
  }));
  peak.measure_again();
  const double pairs = kTokens * (kTokens + 1) / 2.0;
  const double flops = 2 * pairs * static_cast<double>(heads * (qk + config.v_head_dim)) +
                       2.0 * kTokens * static_cast<double>(rank * kv_width);
  return report(fmt::format("{} tokens, {} heads, bf16", kTokens, heads),
                {{"forward", flops, forward}, {"backward", 2 * flops, backward}}, peak.rates());
}

}  // namespace dslite
