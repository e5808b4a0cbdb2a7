// Weighted cross-entropy on one chunk of logits: loss_t = logsumexp(logits_t) - logits_t[label_t], in fp32 (sums over the vocabulary in blocks of fixed order).
// The caller makes logits chunk by chunk, so that [T, vocab] never exists. label < 0: the token has no target; its loss is 0 and its gradient row exact zeros.
#pragma once
#include "kernels/common/context.h"

namespace dslite::kernels {

struct CrossEntropy {
  int64_t num_rows, vocab_size;
  float* logits;              // [rows, vocab], row_stride = vocab; with `gradient` replaced by weight * scale * (softmax - onehot)
  const int32_t* labels;      // [rows]
  const float* loss_weight;   // [rows]; a weight of 0 gives a gradient row of exact zeros, whatever the logits
  float scale;                // 1 / target weight of the global batch
  bool gradient;
  DType gradient_dtype;       // kBFloat16: each row's gradient is rounded into the first half of the row's own memory (row_stride = 2 vocab of its elements)
  float* loss;                // [rows] unweighted loss
  int32_t* prediction;        // [rows] argmax (lowest index on ties), or null
};
void cross_entropy(const Context& context, const CrossEntropy& arguments);

}  // namespace dslite::kernels
