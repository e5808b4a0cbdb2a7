// Dispatch of the rotary embedding.
#include "kernels/rope/rope.h"

#include "kernels/common/dispatch.h"

namespace dslite::kernels {

DSLITE_DECLARE_FOR_EACH_SET(void rope(const Context&, const Rope&);)

void rope(const Context& context, const Rope& arguments) { DSLITE_DISPATCH(context, rope(context, arguments)); }

}  // namespace dslite::kernels
