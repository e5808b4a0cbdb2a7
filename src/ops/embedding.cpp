#include "src/ops/embedding.h"

#include <ATen/ops/empty.h>

#include "kernels/embedding/embedding.h"
#include "src/ops/check.h"
#include "src/ops/context.h"
#include "src/ops/matrix.h"

namespace dslite::ops {

at::Tensor embedding(const at::Tensor& ids_T, const Parameter& table) {
  const int64_t tokens = ids_T.size(0), width = table.value.size(1);
  DSLITE_CHECK_TENSOR(ids_T, at::kInt, tokens);
  at::Tensor out_TD = at::empty({tokens, width}, table.value.scalar_type());
  kernels::embedding_forward(kernel_context(), tokens, width, ids_T.const_data_ptr<int32_t>(),
                             const_matrix(table.value), matrix(out_TD));
  return out_TD;
}

void add_embedding_gradient(const at::Tensor& ids_T, const at::Tensor& dy_TD, Parameter& table) {
  if (!table.trained()) return;
  const int64_t tokens = ids_T.size(0), vocabulary = table.value.size(0), width = table.value.size(1);
  DSLITE_CHECK_TENSOR(ids_T, at::kInt, tokens);
  DSLITE_CHECK_ROWS(dy_TD, dy_TD.scalar_type(), tokens, width);
  kernels::embedding_backward(kernel_context(), {.num_tokens = tokens,
                                                 .vocab_size = vocabulary,
                                                 .width = width,
                                                 .ids = ids_T.const_data_ptr<int32_t>(),
                                                 .dy = const_matrix(dy_TD),
                                                 .d_table = table.grad.data_ptr<float>(),
                                                 .accumulate = !table.grad_empty});
  table.grad_empty = false;
}

}  // namespace dslite::ops
