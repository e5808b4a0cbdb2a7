// Deterministic random fill, bf16 rounding, and a matrix of either dtype with padded rows between guards.
#pragma once
#include <bit>
#include <cmath>
#include <cstring>
#include <span>
#include <vector>

#include "kernels/common/context.h"
#include "tests/support/kernel_context.h"

namespace dslite::test {

inline float widen_bf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
inline uint16_t round_bf16(float value) {  // to nearest even; NaN stays NaN
  const auto word = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>((word >> 16) | 0x40);
  return static_cast<uint16_t>((word + 0x7fff + ((word >> 16) & 1)) >> 16);
}
inline float through(kernels::DType dtype, float value) {
  return dtype == kernels::DType::kBFloat16 ? widen_bf16(round_bf16(value)) : value;
}
inline int64_t dtype_bytes(kernels::DType dtype) { return dtype == kernels::DType::kBFloat16 ? 2 : 4; }

// Value `index` of stream `seed`, uniform in [-1, 1): a function of its arguments alone (splitmix64).
inline float random_value(uint64_t seed, uint64_t index) {
  uint64_t z = (seed * 0xd1342543de82ef95u + index + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return static_cast<float>(static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-52 - 1.0);
}
inline std::vector<float> random_floats(int64_t count, uint64_t seed, float scale = 1) {
  std::vector<float> values(count);
  for (int64_t i = 0; i < count; ++i) values[i] = scale * random_value(seed, i);
  return values;
}
inline std::vector<double> to_double(std::span<const float> values) { return {values.begin(), values.end()}; }

// A row-major matrix in `dtype`; its last element is followed by a guard page, and the padding of its rows (row_stride
// > columns) must stay NaN.
class TypedMatrix {
 public:
  TypedMatrix(kernels::DType dtype, int64_t rows, int64_t columns, int64_t padding = 0)
      : dtype_(dtype),
        rows_(rows),
        columns_(columns),
        stride_(columns + padding),
        buffer_(bytes() + 64),
        data_(static_cast<char*>(buffer_.data()) + tail_gap()) {}
  TypedMatrix(kernels::DType dtype, int64_t rows, int64_t columns, std::span<const float> values, int64_t padding = 0)
      : TypedMatrix(dtype, rows, columns, padding) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c) set(r, c, values[r * columns + c]);
  }
  // Random values, rounded to the dtype.
  static TypedMatrix random(kernels::DType dtype, int64_t rows, int64_t columns, uint64_t seed, float scale = 1,
                            int64_t padding = 0) {
    return TypedMatrix(dtype, rows, columns, random_floats(rows * columns, seed, scale), padding);
  }
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  kernels::DType dtype() const { return dtype_; }
  void* data() const { return data_; }
  float* floats() const { return static_cast<float*>(data()); }
  kernels::ConstMatrix view() const { return {data(), dtype_, stride_}; }
  kernels::Matrix output() { return {data(), dtype_, stride_}; }

  void set(int64_t row, int64_t column, float value) {
    if (dtype_ == kernels::DType::kBFloat16) {
      const uint16_t bits = round_bf16(value);
      std::memcpy(element(row, column), &bits, 2);
    } else {
      std::memcpy(element(row, column), &value, 4);
    }
  }
  float at(int64_t row, int64_t column) const {
    if (dtype_ == kernels::DType::kBFloat16) {
      uint16_t bits;
      std::memcpy(&bits, element(row, column), 2);
      return widen_bf16(bits);
    }
    float value;
    std::memcpy(&value, element(row, column), 4);
    return value;
  }
  std::vector<float> values() const {  // [rows, columns], without padding
    std::vector<float> all;
    all.reserve(rows_ * columns_);
    for (int64_t r = 0; r < rows_; ++r)
      for (int64_t c = 0; c < columns_; ++c) all.push_back(at(r, c));
    return all;
  }
  std::vector<float> row(int64_t r) const {
    std::vector<float> all;
    for (int64_t c = 0; c < columns_; ++c) all.push_back(at(r, c));
    return all;
  }
  bool padding_untouched() const {
    for (int64_t r = 0; r + 1 < rows_; ++r)
      for (int64_t c = columns_; c < stride_; ++c)
        if (!std::isnan(at(r, c))) return false;
    return true;
  }

 private:
  // The last row has no padding: reading past its last column must fault.
  int64_t bytes() const { return rows_ == 0 ? 0 : ((rows_ - 1) * stride_ + columns_) * dtype_bytes(dtype_); }
  int64_t tail_gap() const { return (bytes() + 64 + 63) / 64 * 64 - bytes(); }
  char* element(int64_t row, int64_t column) const { return data_ + (row * stride_ + column) * dtype_bytes(dtype_); }
  kernels::DType dtype_;
  int64_t rows_, columns_, stride_;
  GuardedBuffer buffer_;
  char* data_;  // aligned to the element only: the matrix ends exactly at the guard
};

}  // namespace dslite::test
