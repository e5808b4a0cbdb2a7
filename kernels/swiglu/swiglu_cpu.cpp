// SwiGLU on chunks of a row, in fp32.
#include "kernels/swiglu/swiglu.h"

#include "kernels/common/simd.h"
#include "kernels/common/typed.h"

namespace dslite::kernels::DSLITE_ISA {
namespace {

constexpr int64_t kChunk = 512;

DSLITE_INLINE Float sigmoid(Float x) { return splat(1) / (splat(1) + exp(splat(0) - x)); }
DSLITE_INLINE int64_t chunk_at(int64_t column, int64_t columns) {
  return columns - column < kChunk ? columns - column : kChunk;
}

// A chunk of a row, zero-padded to whole vectors, and back.
DSLITE_INLINE void read(ConstMatrix matrix, int64_t row, int64_t column, int64_t count, float* out) {
  const int64_t padded = (count + kWidth - 1) / kWidth * kWidth;
  widen_row(matrix.data, matrix.dtype, row * matrix.row_stride + column, count, padded, out);
}
DSLITE_INLINE void write(const float* in, Matrix matrix, int64_t row, int64_t column, int64_t count) {
  narrow_row(in, count, matrix.data, matrix.dtype, row * matrix.row_stride + column);
}

struct Chunk {
  alignas(64) float gate[kChunk], up[kChunk], a[kChunk];
};

// Reads a chunk of z and makes a = silu(gate) * up.
DSLITE_INLINE void forward_chunk(ConstMatrix z, int64_t intermediate, int64_t row, int64_t column, int64_t count,
                                 Chunk& chunk) {
  read(z, row, column, count, chunk.gate);
  read(z, row, intermediate + column, count, chunk.up);
  for (int64_t i = 0; i < count; i += kWidth) {
    const Float gate = load(chunk.gate + i);
    store(chunk.a + i, gate * sigmoid(gate) * load(chunk.up + i));
  }
}

}  // namespace

void swiglu_forward_rows(int64_t first, int64_t last, int64_t intermediate, ConstMatrix z, Matrix a) {
  Chunk chunk;
  for (int64_t row = first; row < last; ++row) {
    for (int64_t column = 0; column < intermediate; column += kChunk) {
      const int64_t count = chunk_at(column, intermediate);
      forward_chunk(z, intermediate, row, column, count, chunk);
      write(chunk.a, a, row, column, count);
    }
  }
}

void swiglu_backward_rows(int64_t first, int64_t last, const SwigluBackward& arguments) {
  const int64_t intermediate = arguments.intermediate;
  Chunk chunk;
  alignas(64) float da[kChunk], d_gate[kChunk], d_up[kChunk];
  for (int64_t row = first; row < last; ++row) {
    const Float scale = splat(arguments.row_scale ? arguments.row_scale[row] : 1.0f);
    Float ds = splat(0);
    for (int64_t column = 0; column < intermediate; column += kChunk) {
      const int64_t count = chunk_at(column, intermediate);
      forward_chunk(arguments.z, intermediate, row, column, count, chunk);
      read(arguments.da, row, column, count, da);
      for (int64_t i = 0; i < count; i += kWidth) {
        const Float gate = load(chunk.gate + i), d = load(da + i), s = sigmoid(gate);
        const Float a = rounded_to(arguments.z.dtype, load(chunk.a + i));  // as forward stored it
        ds = fma(d, a, ds);
        const Float scaled = scale * d;
        store(d_gate + i, scaled * load(chunk.up + i) * s * fma(gate, splat(1) - s, splat(1)));
        store(d_up + i, scaled * gate * s);
        store(chunk.a + i, scale * a);
      }
      write(d_gate, arguments.dz, row, column, count);
      write(d_up, arguments.dz, row, intermediate + column, count);
      if (arguments.scaled_a.data) write(chunk.a, arguments.scaled_a, row, column, count);
    }
    if (arguments.ds) arguments.ds[row] = sum(ds);
  }
}

}  // namespace dslite::kernels::DSLITE_ISA
