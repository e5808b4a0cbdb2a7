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

// The sum of `count` floats, count a multiple of 64.
float peak_read(const float* data, int64_t count) {
  Float sums[8];
  for (int s = 0; s < 8; ++s) sums[s] = splat(0);
  for (int64_t i = 0; i < count; i += 8 * kWidth)
    for (int s = 0; s < 8; ++s) sums[s] = sums[s] + load(data + i + s * kWidth);
  for (int s = 1; s < 8; ++s) sums[0] = sums[0] + sums[s];
  return sum(sums[0]);
}

}  // namespace dslite::kernels::DSLITE_ISA
