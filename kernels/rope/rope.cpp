// Dispatch of the rotary embedding.
#include "kernels/rope/rope.h"

#include "kernels/common/contract.h"
#include "kernels/common/dispatch.h"

namespace dslite::kernels {

DSLITE_DECLARE_FOR_EACH_SET(void rope(const Context&, const Rope&);)

void rope(const Context& context, const Rope& arguments) {
  const Rope& x = arguments;
  const int64_t values = x.num_tokens * x.num_heads * x.rotated;
  DSLITE_CONTRACT(is_usable(context) && x.num_tokens >= 0 && x.num_heads >= 0 && x.rotated >= 0 && x.rotated % 2 == 0);
  DSLITE_CONTRACT(is_given(x.in, values) && is_given(x.out, values) && is_given(x.angles.positions, values));
  DSLITE_CONTRACT(is_given(x.angles.cos, values) && is_given(x.angles.sin, values));
  DSLITE_DISPATCH(context, rope(context, arguments));
}

}  // namespace dslite::kernels
