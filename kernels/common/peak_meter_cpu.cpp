// The loops that the peak meter times. The multiply-adds are independent chains in registers, as many as hide the
// latency of an FMA (4 cycles x 2 units) twice.
#include "kernels/common/simd.h"

namespace dslite::kernels::DSLITE_ISA {
namespace {

constexpr int kChains = 12;

}  // namespace

int64_t peak_flops_per_iteration() { return int64_t{2} * kChains * kPacketWidth; }

// factor near 1 and addend near 0 keep the sums finite; the result must be used.
float peak_multiply_adds(int64_t iterations, float factor, float addend) {
  Packet chains[kChains];
  for (int c = 0; c < kChains; ++c) chains[c] = packet_splat(static_cast<float>(c));
  const Packet f = packet_splat(factor), a = packet_splat(addend);
  for (int64_t i = 0; i < iterations; ++i)
    for (int c = 0; c < kChains; ++c) chains[c] = fma(chains[c], f, a);
  float total = 0, lanes[kPacketWidth];
  for (int c = 0; c < kChains; ++c) {
    packet_store(lanes, chains[c]);
    for (int l = 0; l < kPacketWidth; ++l) total += lanes[l];
  }
  return total;
}

#if defined(DSLITE_ISA_avx512bf16)
// Products of bf16 pairs and of int8 quadruples are two and four times as many a vector.
float peak_bf16_dot_products(int64_t iterations) {
  __m512 chains[kChains];
  for (int c = 0; c < kChains; ++c) chains[c] = _mm512_set1_ps(static_cast<float>(c));
  const __m512bh a = (__m512bh)_mm512_set1_epi32(0x3c003c00), b = (__m512bh)_mm512_set1_epi32(0x3c003c01);
  for (int64_t i = 0; i < iterations; ++i)
    for (int c = 0; c < kChains; ++c) chains[c] = _mm512_dpbf16_ps(chains[c], a, b);
  Float total = splat(0);
  for (int c = 0; c < kChains; ++c) total = total + Float{chains[c]};
  return sum(total);
}

float peak_int8_dot_products(int64_t iterations) {
  __m512i chains[kChains];
  for (int c = 0; c < kChains; ++c) chains[c] = _mm512_set1_epi32(c);
  const __m512i a = _mm512_set1_epi32(0x01020304), b = _mm512_set1_epi32(0x01ff0100);
  for (int64_t i = 0; i < iterations; ++i)
    for (int c = 0; c < kChains; ++c) chains[c] = _mm512_dpbusd_epi32(chains[c], a, b);
  Float total = splat(0);
  for (int c = 0; c < kChains; ++c) total = total + Float{_mm512_cvtepi32_ps(chains[c])};
  return sum(total);
}

bool has_dot_products() { return true; }
#else
float peak_bf16_dot_products(int64_t) { return 0; }
float peak_int8_dot_products(int64_t) { return 0; }
bool has_dot_products() { return false; }
#endif

// The sum of `count` floats, count a multiple of 128.
float peak_read(const float* data, int64_t count) {
  Float sums[8];
  for (int s = 0; s < 8; ++s) sums[s] = splat(0);
  for (int64_t i = 0; i < count; i += 8 * kWidth)
    for (int s = 0; s < 8; ++s) sums[s] = sums[s] + load(data + i + s * kWidth);
  for (int s = 1; s < 8; ++s) sums[0] = sums[0] + sums[s];
  return sum(sums[0]);
}

}  // namespace dslite::kernels::DSLITE_ISA
