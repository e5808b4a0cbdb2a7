// Dispatch of RMSNorm and the size of its scratch.
#include "kernels/rms_norm/rms_norm.h"

#include "kernels/common/contract.h"
#include "kernels/common/dispatch.h"

namespace dslite::kernels {

DSLITE_DECLARE_FOR_EACH_SET(void rms_norm_forward(const Context&, const RmsNormForward&);
                            void rms_norm_backward(const Context&, const RmsNormBackward&);)

void rms_norm_forward(const Context& context, const RmsNormForward& arguments) {
  const RmsNormForward& x = arguments;
  DSLITE_CONTRACT(is_usable(context) && is_given(x.weight, x.width));
  DSLITE_CONTRACT(is_matrix(x.x, x.num_rows, x.width) && is_matrix(x.y, x.num_rows, x.width));
  DSLITE_CONTRACT(!x.residual.data ||
                  (is_matrix(x.residual, x.num_rows, x.width) && is_matrix(x.h, x.num_rows, x.width)));
  DSLITE_DISPATCH(context, rms_norm_forward(context, arguments));
}

int64_t rms_norm_backward_scratch_bytes(int64_t num_rows, int64_t width, int /*num_threads*/) {
  const int64_t num_blocks = (num_rows + kRmsNormBlockRows - 1) / kRmsNormBlockRows;
  return (num_blocks * width * 4 + 63) / 64 * 64;
}

void rms_norm_backward(const Context& context, const RmsNormBackward& arguments) {
  const RmsNormBackward& x = arguments;
  DSLITE_CONTRACT(is_given(x.weight, x.width) && is_given(x.rstd, x.num_rows));
  DSLITE_CONTRACT(
      is_usable(context, x.dw ? rms_norm_backward_scratch_bytes(x.num_rows, x.width, context.num_threads) : 0));
  DSLITE_CONTRACT(is_matrix(x.h, x.num_rows, x.width) && is_matrix(x.dy, x.num_rows, x.width));
  DSLITE_CONTRACT(is_matrix(x.dh, x.num_rows, x.width));
  DSLITE_CONTRACT(!x.d_residual.data || is_matrix(x.d_residual, x.num_rows, x.width));
  DSLITE_DISPATCH(context, rms_norm_backward(context, arguments));
}

}  // namespace dslite::kernels
