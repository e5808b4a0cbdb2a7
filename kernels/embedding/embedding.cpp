#include "kernels/embedding/embedding.h"

#include "kernels/common/dispatch.h"

namespace dslite::kernels {

DSLITE_DECLARE_FOR_EACH_SET(void embedding_forward(const Context&, int64_t, int64_t, const int32_t*, ConstMatrix,
                                                   Matrix);
                            void embedding_backward(const Context&, const EmbeddingBackward&);)

void embedding_forward(const Context& context, int64_t num_tokens, int64_t width, const int32_t* ids, ConstMatrix table,
                       Matrix out) {
  DSLITE_DISPATCH(context, embedding_forward(context, num_tokens, width, ids, table, out));
}

void embedding_backward(const Context& context, const EmbeddingBackward& arguments) {
  DSLITE_DISPATCH(context, embedding_backward(context, arguments));
}

}  // namespace dslite::kernels
