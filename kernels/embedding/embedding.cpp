#include "kernels/embedding/embedding.h"

#include "kernels/common/contract.h"
#include "kernels/common/dispatch.h"

namespace dslite::kernels {

DSLITE_DECLARE_FOR_EACH_SET(void embedding_forward(const Context&, int64_t, int64_t, const int32_t*, ConstMatrix,
                                                   Matrix);
                            void embedding_backward(const Context&, const EmbeddingBackward&);)

void embedding_forward(const Context& context, int64_t num_tokens, int64_t width, const int32_t* ids, ConstMatrix table,
                       Matrix out) {
  DSLITE_CONTRACT(is_usable(context) && is_given(ids, num_tokens) && table.dtype == out.dtype);
  DSLITE_CONTRACT(is_given(table.data, num_tokens * width) && is_matrix(out, num_tokens, width));
  DSLITE_DISPATCH(context, embedding_forward(context, num_tokens, width, ids, table, out));
}

void embedding_backward(const Context& context, const EmbeddingBackward& arguments) {
  const EmbeddingBackward& x = arguments;
  DSLITE_CONTRACT(is_usable(context) && is_given(x.ids, x.num_tokens) && are_below(x.ids, x.num_tokens, x.vocab_size));
  DSLITE_CONTRACT(is_matrix(x.dy, x.num_tokens, x.width) && is_given(x.d_table, x.vocab_size * x.width));
  DSLITE_DISPATCH(context, embedding_backward(context, arguments));
}

}  // namespace dslite::kernels
