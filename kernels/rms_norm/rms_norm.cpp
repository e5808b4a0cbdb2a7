// Dispatch of RMSNorm and the size of its scratch.
#include "kernels/rms_norm/rms_norm.h"

#include "kernels/common/dispatch.h"

namespace dslite::kernels {

DSLITE_DECLARE_FOR_EACH_SET(void rms_norm_forward(const Context&, const RmsNormForward&);
                            void rms_norm_backward(const Context&, const RmsNormBackward&);)

void rms_norm_forward(const Context& context, const RmsNormForward& arguments) {
  DSLITE_DISPATCH(context, rms_norm_forward(context, arguments));
}

int64_t rms_norm_backward_scratch_bytes(int64_t num_rows, int64_t width, int /*num_threads*/) {
  const int64_t num_blocks = (num_rows + kRmsNormBlockRows - 1) / kRmsNormBlockRows;
  return (num_blocks * width * 4 + 63) / 64 * 64;
}

void rms_norm_backward(const Context& context, const RmsNormBackward& arguments) {
  DSLITE_DISPATCH(context, rms_norm_backward(context, arguments));
}

}  // namespace dslite::kernels
