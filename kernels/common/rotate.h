// Rotary embedding of one row in registers (kernels/rope/rope.h says the equation): shared by rope and by the kernels
// that rotate while they pack or write. For X_cpu.cpp only.
#pragma once
#include "kernels/common/elements.h"
#include "kernels/rope/rope.h"

namespace dslite::kernels::DSLITE_ISA {

// The angles of one position; `sign` -1 rotates back.
struct Angle {
  const float *cos, *sin;  // [count / 2]
  float sign;
};

// Of row `row` of `positions`.
DSLITE_INLINE Angle angle_at(const RopeAngles& angles, const int32_t* positions, int64_t row, int64_t rotated,
                             float sign) {
  const int64_t at = rotated == 0 ? 0 : positions[row] * (rotated / 2);
  return {.cos = angles.cos + at, .sin = angles.sin + at, .sign = sign};
}

DSLITE_INLINE void put_value(float* p, float value) { *p = value; }
DSLITE_INLINE void put_value(uint16_t* p, float value) { *p = narrow(value); }

// `count` values, an even number, from `in` to `out`, which may be the same. In, Out: float or uint16_t (bf16).
template <class In, class Out>
DSLITE_INLINE void rotate_row(const In* in, int64_t count, const Angle& angle, Out* out) {
  float signs[kWidth];
  for (int i = 0; i < kWidth; ++i) signs[i] = i % 2 == 0 ? -angle.sign : angle.sign;
  const Float sign = load(signs);
  int64_t i = 0;
  for (; kWidth > 1 && i + kWidth <= count; i += kWidth) {
    const Float x = load(in + i);
    store(out + i, x * load_twice(angle.cos + i / 2) + swap_pairs(x) * (load_twice(angle.sin + i / 2) * sign));
  }
  for (; i < count; i += 2) {
    const float x0 = value_at(in + i), x1 = value_at(in + i + 1), cos = angle.cos[i / 2];
    const float sin = angle.sign * angle.sin[i / 2];
    put_value(out + i, x0 * cos - x1 * sin);
    put_value(out + i + 1, x0 * sin + x1 * cos);
  }
}

}  // namespace dslite::kernels::DSLITE_ISA
