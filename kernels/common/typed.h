// Loads and stores of fp32 or bf16 memory as fp32 lanes, whole or part, with the dtype known at run time. For X_cpu.cpp
// only.
#pragma once
#include "kernels/common/simd.h"

namespace dslite::kernels::DSLITE_ISA {

DSLITE_INLINE const void* at_element(const void* p, DType dtype, int64_t i) {
  return static_cast<const char*>(p) + i * (dtype == DType::kFloat32 ? 4 : 2);
}
DSLITE_INLINE void* at_element(void* p, DType dtype, int64_t i) {
  return static_cast<char*>(p) + i * (dtype == DType::kFloat32 ? 4 : 2);
}

// Elements [i, i + kWidth).
DSLITE_INLINE Float load_typed(const void* p, DType dtype, int64_t i) {
  if (dtype == DType::kFloat32) return load(static_cast<const float*>(p) + i);
  return load(static_cast<const uint16_t*>(p) + i);
}
DSLITE_INLINE void store_typed(void* p, DType dtype, int64_t i, Float a) {
  if (dtype == DType::kFloat32) return store(static_cast<float*>(p) + i, a);
  store(static_cast<uint16_t*>(p) + i, a);
}

// The same past the caches; the place is aligned to 64 bytes.
DSLITE_INLINE void stream_typed(void* p, DType dtype, int64_t i, Float a) {
  if (dtype == DType::kFloat32) return stream(static_cast<float*>(p) + i, a);
  stream(static_cast<uint16_t*>(p) + i, a);
}
// A matrix that the caches cannot keep until it is read is written past them: its lines need not be fetched first.
DSLITE_INLINE bool goes_past_caches(const Matrix& m, int64_t rows, int64_t columns) {
  constexpr int64_t kCaches = int64_t{32} << 20;
  const int64_t element = m.dtype == DType::kFloat32 ? 4 : 2;
  return rows * columns * element > kCaches && m.row_stride * element % 64 == 0 &&
         reinterpret_cast<uintptr_t>(m.data) % 64 == 0;
}

// Elements [i, i + count), count < kWidth, touching no other; the other lanes are 0.
DSLITE_INLINE Float load_part(const void* p, DType dtype, int64_t i, int64_t count) {
  float lanes[kWidth] = {};
  for (int64_t j = 0; j < count; ++j) {
    lanes[j] =
        dtype == DType::kFloat32 ? static_cast<const float*>(p)[i + j] : widen(static_cast<const uint16_t*>(p)[i + j]);
  }
  return load(lanes);
}
DSLITE_INLINE void store_part(void* p, DType dtype, int64_t i, int64_t count, Float a) {
  float lanes[kWidth];
  store(lanes, a);
  for (int64_t j = 0; j < count; ++j) {
    if (dtype == DType::kFloat32) {
      static_cast<float*>(p)[i + j] = lanes[j];
    } else {
      static_cast<uint16_t*>(p)[i + j] = narrow(lanes[j]);
    }
  }
}

// The lanes as they read after a store and a load in `dtype`.
DSLITE_INLINE Float rounded_to(DType dtype, Float a) {
  return dtype == DType::kFloat32 ? a : rounded_to_bf16(a);
}

// out[j] = x[i + j] for j in [0, count); out[j] = 0 for j in [count, padded).
DSLITE_INLINE void widen_row(const void* x, DType dtype, int64_t i, int64_t count, int64_t padded, float* out) {
  int64_t j = 0;
  if (dtype == DType::kFloat32) {
    std::memcpy(out, static_cast<const float*>(x) + i, static_cast<size_t>(count) * 4);
    j = count;
  } else {
    const uint16_t* bits = static_cast<const uint16_t*>(x) + i;
    for (; j + kWidth <= count; j += kWidth) store(out + j, load(bits + j));
    for (; j < count; ++j) out[j] = widen(bits[j]);
  }
  for (; j < padded; ++j) out[j] = 0.0f;
}
// x[i + j] = a[j] for j in [0, count), rounded to the dtype.
DSLITE_INLINE void narrow_row(const float* a, int64_t count, void* x, DType dtype, int64_t i) {
  int64_t j = 0;
  for (; j + kWidth <= count; j += kWidth) store_typed(x, dtype, i + j, load(a + j));
  if (j < count) store_part(x, dtype, i + j, count - j, load_part(a, DType::kFloat32, j, count - j));
}

}  // namespace dslite::kernels::DSLITE_ISA
