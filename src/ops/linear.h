// y = x W^T and its gradients. T tokens, I inputs, O outputs. Activations fp32 or bf16, sums in fp32.
#pragma once
#include "src/ops/types.h"

namespace dslite::ops {

WeightRef weight_ref(Parameter& parameter);  // parameter.value [out, in]

// y [T, O] of `dtype`; the second form writes into `y`, which may be a range of columns of a wider matrix. With `rows`
// [T] int32 the product reads x[rows[t]] in place of x[t], where they lie.
at::Tensor linear(const at::Tensor& x_TI, const WeightRef& weight, at::ScalarType dtype);
void linear(const at::Tensor& x_TI, const WeightRef& weight, const at::Tensor& y_TO, const at::Tensor& rows_T = {});

// dx = dy W [T, I]: of dy's dtype, into `dx` (of any dtype, perhaps a range of columns), or added to an fp32 sum.
at::Tensor linear_input_gradient(const at::Tensor& dy_TO, const WeightRef& weight);
void linear_input_gradient(const at::Tensor& dy_TO, const WeightRef& weight, const at::Tensor& dx_TI);
void add_linear_input_gradient(const at::Tensor& dy_TO, const WeightRef& weight, GradientSum& dx_TI);

// dW += dy^T x; overwrites an empty gradient; nothing for a frozen weight. `rows` as above.
void add_linear_weight_gradient(const at::Tensor& x_TI, const at::Tensor& dy_TO, const WeightRef& weight,
                                const at::Tensor& rows_T = {});

}  // namespace dslite::ops
