// Embedding rows: forward copies table[id]; backward adds dy[t] to d_table[id[t]] in ascending t (deterministic for any number of threads).
#pragma once
#include "kernels/common/context.h"

namespace dslite::kernels {

// ids [T] in [0, vocab); table [vocab, D] and out [T, D] of one dtype.
void embedding_forward(const Context& context, int64_t num_tokens, int64_t width, const int32_t* ids, ConstMatrix table, Matrix out);

// d_table [vocab, D] fp32. accumulate false: rows of no token become zero, too.
struct EmbeddingBackward {
  int64_t num_tokens, vocab_size, width;
  const int32_t* ids;
  ConstMatrix dy;
  float* d_table;
  bool accumulate;
};
void embedding_backward(const Context& context, const EmbeddingBackward& arguments);

}  // namespace dslite::kernels
