#include "src/ops/linear.h"

#include <ATen/ops/empty.h>

#include "src/base/parallel_for.h"
#include "src/ops/check.h"
#include "src/ops/context.h"
#include "src/ops/matrix.h"

namespace dslite::ops {
namespace {

void product(const kernels::GemmArguments& arguments) {
  const int64_t scratch_bytes = kernels::gemm_scratch_bytes(arguments.m, arguments.n, arguments.k, num_threads());
  kernels::gemm(kernel_context(scratch_bytes), arguments);
}

// x[rows[t]], or x[t] without `rows`.
kernels::PanelSource rows_of(const at::Tensor& x_TI, const at::Tensor& rows_T, int64_t tokens, int64_t width) {
  kernels::PanelSource source = panel_source(x_TI);
  DSLITE_CHECK_ROWS(x_TI, x_TI.scalar_type(), rows_T.defined() ? x_TI.size(0) : tokens, width);
  if (!rows_T.defined()) return source;
  DSLITE_CHECK_TENSOR(rows_T, at::kInt, tokens);
  source.row_index = rows_T.const_data_ptr<int32_t>();
  return source;
}

void input_gradient(const at::Tensor& dy_TO, const WeightRef& weight, const at::Tensor& dx_TI, bool accumulate) {
  DSLITE_CHECK_ROWS(dy_TO, dy_TO.scalar_type(), dy_TO.size(0), weight.out_features);
  product({.m = dy_TO.size(0),
           .n = weight.in_features,
           .k = weight.out_features,
           .a = panel_source(dy_TO),
           .b = weight.source,
           .c = matrix(dx_TI),
           .accumulate = accumulate});
}

}  // namespace

WeightRef weight_ref(Parameter& parameter) {
  const at::Tensor& value = parameter.value;
  DSLITE_CHECK_TENSOR(value, value.scalar_type(), value.size(0), value.size(1));
  return {.source = panel_source(value),
          .out_features = value.size(0),
          .in_features = value.size(1),
          .trained = parameter.trained() ? &parameter : nullptr};
}

at::Tensor linear(const at::Tensor& x_TI, const WeightRef& weight, at::ScalarType dtype) {
  at::Tensor y_TO = at::empty({x_TI.size(0), weight.out_features}, dtype);
  linear(x_TI, weight, y_TO);
  return y_TO;
}

void linear(const at::Tensor& x_TI, const WeightRef& weight, const at::Tensor& y_TO, const at::Tensor& rows_T) {
  const int64_t tokens = (rows_T.defined() ? rows_T : x_TI).size(0);
  DSLITE_CHECK_ROWS(y_TO, y_TO.scalar_type(), tokens, weight.out_features);
  product({.m = tokens,
           .n = weight.out_features,
           .k = weight.in_features,
           .a = rows_of(x_TI, rows_T, tokens, weight.in_features),
           .b = transposed(weight.source),
           .c = matrix(y_TO),
           .accumulate = false});
}

at::Tensor linear_input_gradient(const at::Tensor& dy_TO, const WeightRef& weight) {
  at::Tensor dx_TI = at::empty({dy_TO.size(0), weight.in_features}, dy_TO.scalar_type());
  input_gradient(dy_TO, weight, dx_TI, false);
  return dx_TI;
}

void linear_input_gradient(const at::Tensor& dy_TO, const WeightRef& weight, const at::Tensor& dx_TI) {
  DSLITE_CHECK_ROWS(dx_TI, dx_TI.scalar_type(), dy_TO.size(0), weight.in_features);
  input_gradient(dy_TO, weight, dx_TI, false);
}

void add_linear_input_gradient(const at::Tensor& dy_TO, const WeightRef& weight, GradientSum& dx_TI) {
  if (!dx_TI.sum.defined()) dx_TI.sum = at::empty({dy_TO.size(0), weight.in_features}, at::kFloat);
  DSLITE_CHECK_TENSOR(dx_TI.sum, at::kFloat, dy_TO.size(0), weight.in_features);
  input_gradient(dy_TO, weight, dx_TI.sum, !dx_TI.empty);
  dx_TI.empty = false;
}

void add_linear_weight_gradient(const at::Tensor& x_TI, const at::Tensor& dy_TO, const WeightRef& weight,
                                const at::Tensor& rows_T) {
  if (!weight.trained) return;
  DSLITE_CHECK_ROWS(dy_TO, dy_TO.scalar_type(), dy_TO.size(0), weight.out_features);
  DSLITE_CHECK_TENSOR(weight.trained->grad, at::kFloat, weight.out_features, weight.in_features);
  product({.m = weight.out_features,
           .n = weight.in_features,
           .k = dy_TO.size(0),
           .a = transposed(panel_source(dy_TO)),
           .b = rows_of(x_TI, rows_T, dy_TO.size(0), weight.in_features),
           .c = matrix(weight.trained->grad),
           .accumulate = !weight.trained->grad_empty});
  weight.trained->grad_empty = false;
}

}  // namespace dslite::ops
