#include "src/ops/rope.h"

#include "kernels/rope/rope.h"
#include "src/ops/check.h"
#include "src/ops/context.h"
#include "src/ops/matrix.h"

namespace dslite::ops {

void rope(const at::Tensor& in_THR, const at::Tensor& out_THR, const at::Tensor& positions_T, const RopeTable& table,
          bool inverse) {
  const int64_t tokens = in_THR.size(0), heads = in_THR.size(1), rotated = in_THR.size(2);
  DSLITE_ASSERT(out_THR.sizes() == in_THR.sizes() && out_THR.scalar_type() == in_THR.scalar_type());
  DSLITE_ASSERT(in_THR.stride(2) == 1 && out_THR.stride(2) == 1 && rotated % 2 == 0);
  DSLITE_CHECK_TENSOR(positions_T, at::kInt, tokens);
  DSLITE_CHECK_TENSOR(table.cos, at::kFloat, table.cos.size(0), rotated / 2);
  DSLITE_CHECK_TENSOR(table.sin, at::kFloat, table.cos.size(0), rotated / 2);
  kernels::rope(kernel_context(), {.num_tokens = tokens,
                                   .num_heads = heads,
                                   .rotated = rotated,
                                   .positions = positions_T.const_data_ptr<int32_t>(),
                                   .cos = table.cos.const_data_ptr<float>(),
                                   .sin = table.sin.const_data_ptr<float>(),
                                   .in = in_THR.const_data_ptr(),
                                   .out = out_THR.data_ptr(),
                                   .dtype = kernel_dtype(in_THR.scalar_type()),
                                   .in_token_stride = in_THR.stride(0),
                                   .in_head_stride = in_THR.stride(1),
                                   .out_token_stride = out_THR.stride(0),
                                   .out_head_stride = out_THR.stride(1),
                                   .inverse = inverse});
}

}  // namespace dslite::ops
