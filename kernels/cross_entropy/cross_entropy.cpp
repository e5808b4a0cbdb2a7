#include "kernels/cross_entropy/cross_entropy.h"

#include "kernels/common/dispatch.h"

namespace dslite::kernels {

DSLITE_DECLARE_FOR_EACH_SET(void cross_entropy(const Context&, const CrossEntropy&);)

void cross_entropy(const Context& context, const CrossEntropy& arguments) {
  DSLITE_DISPATCH(context, cross_entropy(context, arguments));
}

}  // namespace dslite::kernels
