#include "src/ops/experts.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "kernels/expert_gemm/expert_gemm.h"
#include "kernels/permute/permute.h"
#include "src/base/parallel_for.h"
#include "src/ops/check.h"
#include "src/ops/context.h"
#include "src/ops/matrix.h"

namespace dslite::ops {
namespace {

std::vector<kernels::ExpertWeights> sources(const std::vector<MlpWeights>& experts) {
  std::vector<kernels::ExpertWeights> out;
  for (const MlpWeights& expert : experts)
    out.push_back({.gate = expert.gate.source, .up = expert.up.source, .down = expert.down.source});
  return out;
}

kernels::ExpertShape shape_of(const ExpertsSaved& plan, const std::vector<MlpWeights>& experts) {
  return {.num_tokens = plan.row_of_slot.size(0),
          .num_rows = plan.row_token.size(0),
          .num_experts = static_cast<int64_t>(experts.size()),
          .hidden = experts[0].gate.in_features,
          .intermediate = experts[0].gate.out_features,
          .offsets = plan.offsets.data(),
          .row_token = plan.row_token.const_data_ptr<int32_t>()};
}

void make_plan(const at::Tensor& indices_TK, int64_t num_experts, ExpertsSaved& plan) {
  const int64_t tokens = indices_TK.size(0), chosen = indices_TK.size(1);
  plan.offsets.resize(num_experts + 1);
  plan.row_token = at::empty({tokens * chosen}, at::kInt);
  plan.row_of_slot = at::empty({tokens, chosen}, at::kInt);
  kernels::make_dispatch_plan(kernel_context(), tokens, chosen, num_experts, indices_TK.const_data_ptr<int32_t>(),
                              {.offsets = plan.offsets.data(),
                               .row_token = plan.row_token.data_ptr<int32_t>(),
                               .row_of_slot = plan.row_of_slot.data_ptr<int32_t>()});
}

// Where the experts' weight gradients go; null for frozen ones.
std::vector<kernels::ExpertGradients> gradient_targets(const std::vector<MlpWeights>& experts) {
  const auto pointer = [](const WeightRef& weight) {
    return weight.trained ? weight.trained->grad.data_ptr<float>() : nullptr;
  };
  std::vector<kernels::ExpertGradients> out;
  for (const MlpWeights& expert : experts) {
    bool accumulate = false;
    for (const WeightRef* weight : {&expert.gate, &expert.up, &expert.down})
      accumulate |= weight->trained && !weight->trained->grad_empty;
    out.push_back({.gate = pointer(expert.gate),
                   .up = pointer(expert.up),
                   .down = pointer(expert.down),
                   .accumulate = accumulate});
  }
  return out;
}

void add_weight_gradients(const ExpertsSaved& saved, const std::vector<MlpWeights>& experts, const at::Tensor& d_out_TD,
                          const at::Tensor& dz, const at::Tensor& scaled_a) {
  const std::vector<kernels::ExpertGradients> targets = gradient_targets(experts);
  if (std::none_of(targets.begin(), targets.end(), [](const auto& t) { return t.gate || t.up || t.down; })) return;
  const kernels::ExpertShape shape = shape_of(saved, experts);
  const int64_t scratch_bytes = kernels::expert_weight_gradient_scratch_bytes(shape, num_threads());
  kernels::expert_weight_gradient(kernel_context(scratch_bytes), {.shape = shape,
                                                                  .x = const_matrix(saved.x_TD),
                                                                  .d_out = const_matrix(d_out_TD),
                                                                  .dz = const_matrix(dz),
                                                                  .scaled_a = const_matrix(scaled_a),
                                                                  .gradients = targets.data()});
  for (size_t e = 0; e < experts.size(); ++e) {
    if (saved.offsets[e] == saved.offsets[e + 1]) continue;
    for (const WeightRef* weight : {&experts[e].gate, &experts[e].up, &experts[e].down}) {
      if (weight->trained) weight->trained->grad_empty = false;
    }
  }
}

// What forward kept, or the same again.
at::Tensor before_activation(const ExpertsSaved& saved, const kernels::ExpertShape& shape,
                             const std::vector<kernels::ExpertWeights>& weights) {
  if (saved.z.defined()) return saved.z;
  at::Tensor z = at::empty({shape.num_rows, 2 * shape.intermediate}, saved.x_TD.scalar_type());
  const int64_t scratch_bytes = kernels::expert_forward_scratch_bytes(shape, num_threads());
  kernels::expert_forward(
      kernel_context(scratch_bytes),
      {.shape = shape, .weights = weights.data(), .x = const_matrix(saved.x_TD), .z = matrix(z), .a = {}, .y = {}});
  return z;
}

}  // namespace

at::Tensor experts(const ExpertsInput& input, const std::vector<MlpWeights>& experts, ExpertsSaved* saved) {
  const int64_t tokens = input.x_TD.size(0), chosen = input.indices_TK.size(1);
  const at::ScalarType dtype = input.x_TD.scalar_type();
  ExpertsSaved plan;
  make_plan(input.indices_TK, static_cast<int64_t>(experts.size()), plan);
  const kernels::ExpertShape shape = shape_of(plan, experts);
  DSLITE_CHECK_TENSOR(input.x_TD, dtype, tokens, shape.hidden);
  DSLITE_CHECK_TENSOR(input.indices_TK, at::kInt, tokens, chosen);
  DSLITE_CHECK_TENSOR(input.weights_TK, at::kFloat, tokens, chosen);
  for (const at::Tensor* added : {&input.shared_TD, &input.residual_TD}) {
    if (added->defined()) DSLITE_CHECK_TENSOR(*added, dtype, tokens, shape.hidden);
  }
  const at::Tensor z = at::empty({shape.num_rows, 2 * shape.intermediate}, dtype);
  const at::Tensor a = at::empty({shape.num_rows, shape.intermediate}, dtype);
  const at::Tensor y = at::empty({shape.num_rows, shape.hidden}, dtype);
  const std::vector<kernels::ExpertWeights> weights = sources(experts);
  const int64_t scratch_bytes = kernels::expert_forward_scratch_bytes(shape, num_threads());
  kernels::expert_forward(kernel_context(scratch_bytes), {.shape = shape,
                                                          .weights = weights.data(),
                                                          .x = const_matrix(input.x_TD),
                                                          .z = matrix(z),
                                                          .a = matrix(a),
                                                          .y = matrix(y)});
  at::Tensor out_TD = at::empty({tokens, shape.hidden}, dtype);
  kernels::combine(kernel_context(), {.num_tokens = tokens,
                                      .num_experts_per_tok = chosen,
                                      .hidden = shape.hidden,
                                      .row_of_slot = plan.row_of_slot.const_data_ptr<int32_t>(),
                                      .weights = input.weights_TK.const_data_ptr<float>(),
                                      .y = const_matrix(y),
                                      .shared = const_matrix(input.shared_TD),
                                      .residual = const_matrix(input.residual_TD),
                                      .out = matrix(out_TD)});
  if (saved) {
    plan.x_TD = input.x_TD;
    plan.weights_TK = input.weights_TK;
    plan.z = z;
    *saved = std::move(plan);
  }
  return out_TD;
}

at::Tensor experts_backward(const ExpertsSaved& saved, const std::vector<MlpWeights>& experts,
                            const at::Tensor& d_out_TD, GradientSum& dx_TD) {
  const kernels::ExpertShape shape = shape_of(saved, experts);
  const int64_t slots = shape.num_rows, chosen = saved.row_of_slot.size(1);
  const at::ScalarType dtype = saved.x_TD.scalar_type();
  DSLITE_CHECK_TENSOR(d_out_TD, dtype, shape.num_tokens, shape.hidden);
  const auto* row_of_slot = saved.row_of_slot.const_data_ptr<int32_t>();
  const at::Tensor row_weights = at::empty({slots}, at::kFloat);
  kernels::slots_to_rows(kernel_context(), slots, row_of_slot, saved.weights_TK.const_data_ptr<float>(),
                         row_weights.data_ptr<float>());

  const std::vector<kernels::ExpertWeights> weights = sources(experts);
  at::Tensor z = before_activation(saved, shape, weights);
  const at::Tensor ds = at::empty({slots}, at::kFloat), dz = at::empty_like(z);
  const at::Tensor scaled_a = at::empty({slots, shape.intermediate}, dtype),
                   dx_rows = at::empty({slots, shape.hidden}, dtype);
  {
    const int64_t scratch_bytes = kernels::expert_input_gradient_scratch_bytes(shape, num_threads());
    kernels::expert_input_gradient(kernel_context(scratch_bytes), {.shape = shape,
                                                                   .weights = weights.data(),
                                                                   .row_weights = row_weights.const_data_ptr<float>(),
                                                                   .d_out = const_matrix(d_out_TD),
                                                                   .z = const_matrix(z),
                                                                   .ds = ds.data_ptr<float>(),
                                                                   .dz = matrix(dz),
                                                                   .scaled_a = matrix(scaled_a),
                                                                   .dx_rows = matrix(dx_rows),
                                                                   .accumulate = false});
  }
  z.reset();
  add_weight_gradients(saved, experts, d_out_TD, dz, scaled_a);

  const at::Tensor sum_TD = at::empty({shape.num_tokens, shape.hidden}, at::kFloat);
  kernels::combine(kernel_context(), {.num_tokens = shape.num_tokens,
                                      .num_experts_per_tok = chosen,
                                      .hidden = shape.hidden,
                                      .row_of_slot = row_of_slot,
                                      .weights = nullptr,
                                      .y = const_matrix(dx_rows),
                                      .shared = dx_TD.empty ? kernels::ConstMatrix{} : const_matrix(dx_TD.sum),
                                      .residual = {},
                                      .out = matrix(sum_TD)});
  dx_TD = {.sum = sum_TD, .empty = false};
  at::Tensor d_weights_TK = at::empty({shape.num_tokens, chosen}, at::kFloat);
  kernels::rows_to_slots(kernel_context(), slots, row_of_slot, ds.const_data_ptr<float>(),
                         d_weights_TK.data_ptr<float>());
  return d_weights_TK;
}

}  // namespace dslite::ops
