#include "kernels/cross_entropy/cross_entropy.h"

#include "kernels/common/contract.h"
#include "kernels/common/dispatch.h"

namespace dslite::kernels {

DSLITE_DECLARE_FOR_EACH_SET(void cross_entropy(const Context&, const CrossEntropy&);)

void cross_entropy(const Context& context, const CrossEntropy& arguments) {
  const CrossEntropy& x = arguments;
  DSLITE_CONTRACT(is_usable(context) && x.num_rows >= 0 && x.vocab_size >= 1);
  DSLITE_CONTRACT(is_given(x.logits, x.num_rows) && is_given(x.labels, x.num_rows));
  DSLITE_CONTRACT(is_given(x.loss_weight, x.num_rows) && is_given(x.loss, x.num_rows));
  DSLITE_DISPATCH(context, cross_entropy(context, arguments));
}

}  // namespace dslite::kernels
