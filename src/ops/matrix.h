// Tensors as kernels see them.
#pragma once
#include <ATen/core/Tensor.h>

#include "kernels/common/context.h"
#include "src/base/error.h"

namespace dslite::ops {

inline kernels::DType kernel_dtype(at::ScalarType type) {
  DSLITE_ASSERT(type == at::kFloat || type == at::kBFloat16);
  return type == at::kFloat ? kernels::DType::kFloat32 : kernels::DType::kBFloat16;
}

// A matrix with contiguous rows; an undefined tensor is absent (data null).
inline kernels::ConstMatrix const_matrix(const at::Tensor& tensor) {
  if (!tensor.defined()) return {nullptr, kernels::DType::kFloat32, 0};
  return {tensor.const_data_ptr(), kernel_dtype(tensor.scalar_type()), tensor.stride(0)};
}
inline kernels::Matrix matrix(const at::Tensor& tensor) {
  if (!tensor.defined()) return {nullptr, kernels::DType::kFloat32, 0};
  return {tensor.data_ptr(), kernel_dtype(tensor.scalar_type()), tensor.stride(0)};
}
inline kernels::PanelSource panel_source(const at::Tensor& tensor) {
  return {.data = tensor.const_data_ptr(),
          .dtype = kernel_dtype(tensor.scalar_type()),
          .row_stride = tensor.stride(0),
          .row_index = nullptr,
          .transposed = false};
}
inline kernels::PanelSource transposed(kernels::PanelSource source) {
  source.transposed = true;
  return source;
}

}  // namespace dslite::ops
