// The ATen way of doing the same, beside a kernel in its X_bench.cpp: a benchmark at_X/NAME stands beside Y/NAME.
#pragma once
#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>

#include "kernels/common/bench.h"

namespace dslite::bench {

inline at::Tensor tensor(const Buffer& buffer, at::IntArrayRef sizes, at::ScalarType dtype = at::kBFloat16) {
  return at::from_blob(buffer.data(), sizes, dtype);
}

}  // namespace dslite::bench
