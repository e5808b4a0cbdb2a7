// The one shape and dtype check, made at the boundary of ops/: prints the tensor's name, what was expected and what
// came.
//   DSLITE_CHECK_TENSOR(x_TD, at::kFloat, num_tokens, hidden_size);   // contiguous rows
// A wrong tensor is a bug of ours (std::logic_error): users' shapes are checked where files are read.
#pragma once
#include <ATen/core/Tensor.h>

#include <initializer_list>

namespace dslite::ops {

void check_tensor(const char* name, const at::Tensor& tensor, at::ScalarType dtype,
                  std::initializer_list<int64_t> shape, bool dense, const char* file, int line);

}  // namespace dslite::ops

#define DSLITE_CHECK_TENSOR(tensor, dtype, ...) \
  ::dslite::ops::check_tensor(#tensor, tensor, dtype, {__VA_ARGS__}, true, __FILE__, __LINE__)
// A matrix whose rows are contiguous but may lie apart: a range of columns of a wider one.
#define DSLITE_CHECK_ROWS(tensor, dtype, ...) \
  ::dslite::ops::check_tensor(#tensor, tensor, dtype, {__VA_ARGS__}, false, __FILE__, __LINE__)
