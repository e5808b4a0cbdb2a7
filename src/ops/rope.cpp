#include "src/ops/rope.h"

#include "kernels/rope/rope.h"
#include "src/ops/check.h"
#include "src/ops/context.h"
#include "src/ops/matrix.h"

namespace dslite::ops {

kernels::RopeAngles rope_angles(const RopeTable& table, const at::Tensor& positions_T, int64_t rotated) {
  DSLITE_ASSERT(rotated % 2 == 0);
  DSLITE_CHECK_TENSOR(positions_T, at::kInt, positions_T.size(0));
  DSLITE_CHECK_TENSOR(table.cos, at::kFloat, table.cos.size(0), rotated / 2);
  DSLITE_CHECK_TENSOR(table.sin, at::kFloat, table.cos.size(0), rotated / 2);
  return {.positions = positions_T.const_data_ptr<int32_t>(),
          .cos = table.cos.const_data_ptr<float>(),
          .sin = table.sin.const_data_ptr<float>()};
}

void rope(const at::Tensor& in_THR, const at::Tensor& out_THR, const at::Tensor& positions_T, const RopeTable& table) {
  DSLITE_ASSERT(out_THR.sizes() == in_THR.sizes() && positions_T.size(0) == in_THR.size(0));
  DSLITE_ASSERT(in_THR.stride(2) == 1 && out_THR.stride(2) == 1);
  kernels::rope(kernel_context(), {.num_tokens = in_THR.size(0),
                                   .num_heads = in_THR.size(1),
                                   .rotated = in_THR.size(2),
                                   .angles = rope_angles(table, positions_T, in_THR.size(2)),
                                   .in = in_THR.const_data_ptr(),
                                   .out = out_THR.data_ptr(),
                                   .in_dtype = kernel_dtype(in_THR.scalar_type()),
                                   .out_dtype = kernel_dtype(out_THR.scalar_type()),
                                   .in_token_stride = in_THR.stride(0),
                                   .in_head_stride = in_THR.stride(1),
                                   .out_token_stride = out_THR.stride(0),
                                   .out_head_stride = out_THR.stride(1)});
}

}  // namespace dslite::ops
