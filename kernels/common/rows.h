// Pieces of matrix rows as fp32 whatever they are stored in. For X_cpu.cpp files, as simd.h.
#pragma once
#include "kernels/common/simd.h"

namespace dslite::kernels::DSLITE_ISA {

DSLITE_INLINE float value_at(const float* p) { return *p; }
DSLITE_INLINE float value_at(const uint16_t* p) { return widen(*p); }

// out[i] = in[i]; zeros from `count` to `padded`.
template <class T>
DSLITE_INLINE void widen_row(const T* in, int64_t count, int64_t padded, float* out) {
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) store(out + i, load(in + i));
  for (; i < count; ++i) out[i] = value_at(in + i);
  for (; i < padded; ++i) out[i] = 0;
}

// `count` elements of row `row` from column `column` on, followed by zeros up to the next multiple of kWidth.
DSLITE_INLINE void read_row(ConstMatrix matrix, int64_t row, int64_t column, int64_t count, float* out) {
  const int64_t place = row * matrix.row_stride + column, padded = (count + kWidth - 1) / kWidth * kWidth;
  if (matrix.dtype == DType::kFloat32) {
    widen_row(static_cast<const float*>(matrix.data) + place, count, padded, out);
  } else {
    widen_row(static_cast<const uint16_t*>(matrix.data) + place, count, padded, out);
  }
}

// The other way; bf16 rounds to nearest even.
DSLITE_INLINE void write_row(const float* in, Matrix matrix, int64_t row, int64_t column, int64_t count) {
  const int64_t place = row * matrix.row_stride + column;
  if (matrix.dtype == DType::kFloat32) {
    std::memcpy(static_cast<float*>(matrix.data) + place, in, count * sizeof(float));
    return;
  }
  uint16_t* out = static_cast<uint16_t*>(matrix.data) + place;
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) store(out + i, load(in + i));
  for (; i < count; ++i) out[i] = narrow(in[i]);
}

// values[i] as they will be read back after a store in `dtype`.
DSLITE_INLINE void round_row(DType dtype, int64_t count, float* values) {
  if (dtype == DType::kFloat32) return;
  for (int64_t i = 0; i < count; ++i) values[i] = widen(narrow(values[i]));
}

}  // namespace dslite::kernels::DSLITE_ISA
