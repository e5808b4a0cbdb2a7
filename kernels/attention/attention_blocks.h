// What forward and backward of attention share: block sizes, the packing of rows, the sizes of scratch. No templates
// (included by baseline code too).
#pragma once
#include "kernels/attention/attention.h"

namespace dslite::kernels {

constexpr int64_t kAttentionQueryBlock = 384;  // queries of a forward task: K and V are packed once for all of them
constexpr int64_t kAttentionKeyBlock = 96;
constexpr int64_t kAttentionBackwardQueries = 96;  // queries that meet a key block at once in backward
constexpr int64_t kAttentionColumns = 96;          // most queries whose scores are held at once
constexpr int64_t kAttentionWidest = 32;           // columns of the widest tile of any instruction set

// Scratch in floats. Of one thread in forward; of one thread in backward, for segments of at most `longest` queries.
int64_t attention_forward_thread_floats(const AttentionShape& shape);
int64_t attention_backward_thread_floats(const AttentionShape& shape);
int64_t attention_longest_segment(const AttentionShape& shape);  // queries, rounded up to whole backward blocks

}  // namespace dslite::kernels
