// AdamW over tensors: which parameters decay, where their state lives; the arithmetic is kernels/adamw.
#include "src/optim/adamw.h"

#include <cmath>

#include "kernels/adamw/adamw.h"
#include "src/base/error.h"
#include "src/ops/context.h"
#include "src/ops/matrix.h"

namespace dslite {
namespace {

bool decays(const Parameter& parameter) { return parameter.value.dim() >= 2; }

}  // namespace

double GradientNorm::clip_factor(double max_norm) const {
  return max_norm <= 0 || value <= max_norm ? 1.0 : max_norm / value;
}

GradientNorm gradient_norm(const std::vector<Parameter*>& parameters) {
  GradientNorm norm;
  double sum_squares = 0;
  for (const Parameter* parameter : parameters) {
    if (!parameter->trained() || parameter->grad_empty) continue;
    const at::Tensor& grad = parameter->grad;
    DSLITE_ASSERT(grad.is_contiguous() && grad.scalar_type() == at::kFloat);
    const kernels::Context context = ops::kernel_context(kernels::gradient_statistics_scratch_bytes(grad.numel()));
    const auto statistics = kernels::gradient_statistics(context, grad.const_data_ptr<float>(), grad.numel());
    sum_squares += statistics.sum_squares;
    if (statistics.num_nonfinite > 0) norm.non_finite.push_back({parameter->name, statistics.num_nonfinite});
  }
  norm.value = std::sqrt(sum_squares);
  return norm;
}

AdamW::AdamW(const AdamWConfig& config, std::vector<Parameter*> parameters) : config_(config) {
  if (config.bf16_moments && config.beta2 > 0.99)
    fail_input(
        "optimizer: moments in bfloat16 with beta2 = {}: expected beta2 <= 0.99, as above it rounding to nearest never "
        "lets the second moment decay; use moments in float32",
        config.beta2);
  for (Parameter* parameter : parameters) {
    if (!parameter->trained()) continue;
    const at::Tensor& value = parameter->value;
    DSLITE_ASSERT(value.is_contiguous() && parameter->grad.sizes() == value.sizes());
    const auto moments = value.options().dtype(config.bf16_moments ? at::kBFloat16 : at::kFloat);
    states_.push_back({.parameter = parameter,
                       .low = value.scalar_type() == at::kBFloat16
                                  ? at::zeros(value.sizes(), value.options().dtype(at::kShort))
                                  : at::Tensor(),
                       .exp_avg = at::zeros(value.sizes(), moments),
                       .exp_avg_sq = at::zeros(value.sizes(), moments)});
  }
}

void AdamW::step(int64_t step, double learning_rate, double gradient_scale) {
  DSLITE_ASSERT(step >= 1);
  const kernels::Context context = ops::kernel_context();
  const auto count = static_cast<double>(step);
  for (State& state : states_) {
    const Parameter& parameter = *state.parameter;
    kernels::adamw(context, {.size = parameter.value.numel(),
                             .value = parameter.value.data_ptr(),
                             .value_dtype = ops::kernel_dtype(parameter.value.scalar_type()),
                             .low = state.low.defined() ? state.low.data_ptr<int16_t>() : nullptr,
                             .gradient = parameter.grad_empty ? nullptr : parameter.grad.const_data_ptr<float>(),
                             .exp_avg = state.exp_avg.data_ptr(),
                             .exp_avg_sq = state.exp_avg_sq.data_ptr(),
                             .moment_dtype = ops::kernel_dtype(state.exp_avg.scalar_type()),
                             .learning_rate = static_cast<float>(learning_rate),
                             .beta1 = static_cast<float>(config_.beta1),
                             .beta2 = static_cast<float>(config_.beta2),
                             .eps = static_cast<float>(config_.eps),
                             .weight_decay = decays(parameter) ? static_cast<float>(config_.weight_decay) : 0.0f,
                             .bias_correction1 = static_cast<float>(1 - std::pow(config_.beta1, count)),
                             .bias_correction2 = static_cast<float>(1 - std::pow(config_.beta2, count)),
                             .gradient_scale = static_cast<float>(gradient_scale)});
  }
}

}  // namespace dslite
