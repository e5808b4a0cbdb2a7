// Embedding rows. T tokens, V vocabulary, D width.
#pragma once
#include "src/ops/types.h"

namespace dslite::ops {

// ids [T] int32 within [0, V) -> rows of table [V, D], in its dtype.
at::Tensor embedding(const at::Tensor& ids_T, const Parameter& table);
// Adds dy [T, D] to the rows of the table's gradient, in ascending t; nothing when it is frozen.
void add_embedding_gradient(const at::Tensor& ids_T, const at::Tensor& dy_TD, Parameter& table);

}  // namespace dslite::ops
