// Dispatch, and the fixed-order sum of the statistics' blocks.
#include "kernels/adamw/adamw.h"

#include "kernels/common/contract.h"
#include "kernels/common/dispatch.h"

namespace dslite::kernels {

constexpr int64_t kStatisticsBlock = 32768;  // elements whose squares make one partial sum

DSLITE_DECLARE_FOR_EACH_SET(void adamw(const Context&, const AdamW&);
                            void gradient_blocks(const Context&, const float*, int64_t, int64_t, GradientStatistics*);
                            void split_master(const Context&, int64_t, const float*, uint16_t*, int16_t*);
                            void join_master(const Context&, int64_t, const uint16_t*, const int16_t*, float*);)
namespace {

int64_t num_blocks(int64_t size) { return (size + kStatisticsBlock - 1) / kStatisticsBlock; }

void gradient_blocks(const Context& context, const float* gradient, int64_t size, GradientStatistics* blocks) {
  DSLITE_DISPATCH(context, gradient_blocks(context, gradient, size, kStatisticsBlock, blocks));
}

}  // namespace

void adamw(const Context& context, const AdamW& arguments) {
  const AdamW& x = arguments;
  DSLITE_CONTRACT(is_usable(context) && is_given(x.value, x.size));
  DSLITE_CONTRACT(x.value_dtype == DType::kBFloat16 ? is_given(x.low, x.size) : !x.low);
  DSLITE_CONTRACT(is_given(x.exp_avg, x.size) && is_given(x.exp_avg_sq, x.size));
  DSLITE_DISPATCH(context, adamw(context, arguments));
}

int64_t gradient_statistics_scratch_bytes(int64_t size) {
  return num_blocks(size) * static_cast<int64_t>(sizeof(GradientStatistics));
}

GradientStatistics gradient_statistics(const Context& context, const float* gradient, int64_t size) {
  DSLITE_CONTRACT(is_given(gradient, size) && is_usable(context, gradient_statistics_scratch_bytes(size)));
  auto* blocks = static_cast<GradientStatistics*>(context.scratch);
  gradient_blocks(context, gradient, size, blocks);
  GradientStatistics total{};
  for (int64_t b = 0; b < num_blocks(size); ++b) {
    total.sum_squares += blocks[b].sum_squares;
    total.num_nonfinite += blocks[b].num_nonfinite;
  }
  return total;
}

void split_master(const Context& context, int64_t size, const float* master, uint16_t* value, int16_t* low) {
  DSLITE_CONTRACT(is_usable(context) && is_given(master, size) && is_given(value, size) && is_given(low, size));
  DSLITE_DISPATCH(context, split_master(context, size, master, value, low));
}

void join_master(const Context& context, int64_t size, const uint16_t* value, const int16_t* low, float* master) {
  DSLITE_CONTRACT(is_usable(context) && is_given(master, size) && is_given(value, size) && is_given(low, size));
  DSLITE_DISPATCH(context, join_master(context, size, value, low, master));
}

}  // namespace dslite::kernels
