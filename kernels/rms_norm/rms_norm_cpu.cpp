// RMSNorm, forward and backward: two passes over a row that stays in cache; one task per block of rows.
#include "kernels/common/simd.h"
#include "kernels/common/typed.h"
#include "kernels/rms_norm/rms_norm.h"

namespace dslite::kernels::DSLITE_ISA {
namespace {

const void* row_of(const ConstMatrix& m, int64_t row) { return at_element(m.data, m.dtype, row * m.row_stride); }
void* row_of(const Matrix& m, int64_t row) { return at_element(m.data, m.dtype, row * m.row_stride); }

// A row that is written but not read again.
struct Output {
  Output(const Matrix& m, int64_t row, int64_t rows, int64_t width)
      : row(row_of(m, row)), dtype(m.dtype), past_caches(goes_past_caches(m, rows, width)) {}
  void* row;
  DType dtype;
  bool past_caches;
};

// Calls step(i, load, store) for each group of lanes of a row, the last one in part.
struct Whole {
  Float read(const void* p, DType dtype, int64_t i) const { return load_typed(p, dtype, i); }
  void write(void* p, DType dtype, int64_t i, Float a) const { store_typed(p, dtype, i, a); }
  void write(const Output& out, int64_t i, Float a) const {
    out.past_caches ? stream_typed(out.row, out.dtype, i, a) : store_typed(out.row, out.dtype, i, a);
  }
};
struct Part {
  int64_t count;
  Float read(const void* p, DType dtype, int64_t i) const { return load_part(p, dtype, i, count); }
  void write(void* p, DType dtype, int64_t i, Float a) const { store_part(p, dtype, i, count, a); }
  void write(const Output& out, int64_t i, Float a) const { store_part(out.row, out.dtype, i, count, a); }
};
template <class Step>
DSLITE_INLINE void for_each_lanes(int64_t width, const Step& step) {
  int64_t i = 0;
  for (; i + kWidth <= width; i += kWidth) step(i, Whole{});
  if (i < width) step(i, Part{width - i});
}

// 32 running sums whatever the width of a vector: short chains, so that a wide row keeps its precision.
struct Chains {
  static constexpr int kCount = 32 / kWidth;
  Float value[kCount];
  Chains() {
    for (Float& v : value) v = splat(0);
  }
  Float& of(int64_t i) { return value[i / kWidth % kCount]; }
  float total() const {
    float lanes[32];
    for (int c = 0; c < kCount; ++c) store(lanes + c * kWidth, value[c]);
    for (int half = 16; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
    return lanes[0];
  }
};

void forward_row(const RmsNormForward& a, int64_t row) {
  const void* x = row_of(a.x, row);
  const Output y(a.y, row, a.num_rows, a.width);
  Chains squares;
  const void* h = x;
  DType h_dtype = a.x.dtype;
  if (a.residual.data) {
    const void* residual = row_of(a.residual, row);
    void* sum_out = row_of(a.h, row);
    for_each_lanes(a.width, [&](int64_t i, auto lanes) {
      const Float total =
          rounded_to(a.h.dtype, lanes.read(x, a.x.dtype, i) + lanes.read(residual, a.residual.dtype, i));
      lanes.write(sum_out, a.h.dtype, i, total);
      Float& square = squares.of(i);
      square = fma(total, total, square);
    });
    h = sum_out;
    h_dtype = a.h.dtype;
  } else {
    for_each_lanes(a.width, [&](int64_t i, auto lanes) {
      const Float value = lanes.read(x, h_dtype, i);
      Float& square = squares.of(i);
      square = fma(value, value, square);
    });
  }
  const float mean = squares.total() / static_cast<float>(a.width);
  const float rstd = 1.0f / __builtin_sqrtf(mean + a.eps);
  if (a.rstd) a.rstd[row] = rstd;
  for_each_lanes(a.width, [&](int64_t i, auto lanes) {
    const Float normed = rounded_to(h_dtype, lanes.read(h, h_dtype, i) * splat(rstd));
    lanes.write(y, i, normed * lanes.read(a.weight, a.weight_dtype, i));
  });
}

void forward_block(void* state, int64_t block, int) {
  const auto& a = *static_cast<const RmsNormForward*>(state);
  const int64_t end = (block + 1) * kRmsNormBlockRows < a.num_rows ? (block + 1) * kRmsNormBlockRows : a.num_rows;
  for (int64_t row = block * kRmsNormBlockRows; row < end; ++row) forward_row(a, row);
}

struct Backward {
  const RmsNormBackward& a;
  float* partials;  // [blocks, width]
};

void backward_row(const RmsNormBackward& a, int64_t row, float* dw) {
  const void *h = row_of(a.h, row), *dy = row_of(a.dy, row);
  const void* d_residual = a.d_residual.data ? row_of(a.d_residual, row) : nullptr;
  const Output dh(a.dh, row, a.num_rows, a.width);
  const float rstd = a.rstd[row];
  Chains products;
  for_each_lanes(a.width, [&](int64_t i, auto lanes) {
    const Float h_dy = lanes.read(h, a.h.dtype, i) * lanes.read(dy, a.dy.dtype, i);
    Float& product = products.of(i);
    product = fma(h_dy, lanes.read(a.weight, a.weight_dtype, i), product);
    if (dw) {
      const Float before = lanes.read(dw, DType::kFloat32, i);
      lanes.write(dw, DType::kFloat32, i, fma(h_dy, splat(rstd), before));
    }
  });
  const float mean = products.total() / static_cast<float>(a.width);
  const float shrink = -mean * rstd * rstd;
  for_each_lanes(a.width, [&](int64_t i, auto lanes) {
    const Float w_dy = lanes.read(a.weight, a.weight_dtype, i) * lanes.read(dy, a.dy.dtype, i);
    Float value = splat(rstd) * fma(lanes.read(h, a.h.dtype, i), splat(shrink), w_dy);
    if (d_residual) value = value + lanes.read(d_residual, a.d_residual.dtype, i);
    lanes.write(dh, i, value);
  });
}

void backward_block(void* state, int64_t block, int) {
  const auto& [a, partials] = *static_cast<const Backward*>(state);
  float* dw = a.dw ? partials + block * a.width : nullptr;
  if (dw) std::memset(dw, 0, static_cast<size_t>(a.width) * 4);
  const int64_t end = (block + 1) * kRmsNormBlockRows < a.num_rows ? (block + 1) * kRmsNormBlockRows : a.num_rows;
  for (int64_t row = block * kRmsNormBlockRows; row < end; ++row) backward_row(a, row, dw);
}

constexpr int64_t kSumColumns = 256;

void sum_partials(void* state, int64_t task, int) {
  const RmsNormBackward& a = static_cast<const Backward*>(state)->a;  // clang 14 captures no structured bindings
  const float* partials = static_cast<const Backward*>(state)->partials;
  const int64_t num_blocks = (a.num_rows + kRmsNormBlockRows - 1) / kRmsNormBlockRows;
  const int64_t begin = task * kSumColumns, width = a.width - begin < kSumColumns ? a.width - begin : kSumColumns;
  for_each_lanes(width, [&](int64_t i, auto lanes) {
    Float total = splat(0);
    for (int64_t block = 0; block < num_blocks; ++block) {
      total = total + lanes.read(partials + block * a.width + begin, DType::kFloat32, i);
    }
    if (a.accumulate_dw) total = total + lanes.read(a.dw + begin, DType::kFloat32, i);
    lanes.write(a.dw + begin, DType::kFloat32, i, total);
  });
}

}  // namespace

void rms_norm_forward(const Context& context, const RmsNormForward& arguments) {
  const int64_t num_blocks = (arguments.num_rows + kRmsNormBlockRows - 1) / kRmsNormBlockRows;
  context.parallel_for(num_blocks, forward_block, const_cast<RmsNormForward*>(&arguments));
}

void rms_norm_backward(const Context& context, const RmsNormBackward& arguments) {
  const int64_t num_blocks = (arguments.num_rows + kRmsNormBlockRows - 1) / kRmsNormBlockRows;
  Backward state{arguments, static_cast<float*>(context.scratch)};
  context.parallel_for(num_blocks, backward_block, &state);
  if (arguments.dw) context.parallel_for((arguments.width + kSumColumns - 1) / kSumColumns, sum_partials, &state);
}

}  // namespace dslite::kernels::DSLITE_ISA
