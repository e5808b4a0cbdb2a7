// Float of one lane for any processor, and a Packet of four for the inner loops. Included by simd.h alone.
#pragma once

namespace dslite::kernels::DSLITE_ISA {

constexpr int kWidth = 1;
struct Float {
  float v;
};
DSLITE_INLINE Float splat(float x) { return {x}; }
DSLITE_INLINE Float load(const float* p) { return {*p}; }
DSLITE_INLINE void store(float* p, Float a) { *p = a.v; }
DSLITE_INLINE Float load(const uint16_t* p) { return {widen(*p)}; }
DSLITE_INLINE void store(uint16_t* p, Float a) { *p = narrow(a.v); }
DSLITE_INLINE Float rounded_to_bf16(Float a) { return {widen(narrow(a.v))}; }
DSLITE_INLINE void stream(float* p, Float a) { store(p, a); }
DSLITE_INLINE void stream(uint16_t* p, Float a) { store(p, a); }
DSLITE_INLINE Float load_master(const uint16_t* value, const int16_t* low) {
  const uint32_t bits = (static_cast<uint32_t>(*value) << 16) + static_cast<uint32_t>(static_cast<int32_t>(*low));
  Float master;
  std::memcpy(&master.v, &bits, 4);
  return master;
}
DSLITE_INLINE void store_master(uint16_t* value, int16_t* low, Float a) {
  uint32_t bits;
  std::memcpy(&bits, &a.v, 4);
  if (a.v != a.v) bits = 0x7fc00000u;
  *value = static_cast<uint16_t>((bits + 0x8000u) >> 16);
  *low = static_cast<int16_t>(static_cast<uint16_t>(bits));
}
DSLITE_INLINE Float operator+(Float a, Float b) { return {a.v + b.v}; }
DSLITE_INLINE Float operator-(Float a, Float b) { return {a.v - b.v}; }
DSLITE_INLINE Float operator*(Float a, Float b) { return {a.v * b.v}; }
DSLITE_INLINE Float operator/(Float a, Float b) { return {a.v / b.v}; }
DSLITE_INLINE Float fma(Float a, Float b, Float c) { return {a.v * b.v + c.v}; }  // rounded twice: the baseline x86-64 has no FMA
DSLITE_INLINE Float max(Float a, Float b) { return {a.v > b.v ? a.v : b.v}; }     // as maxps: b when either is NaN
DSLITE_INLINE Float min(Float a, Float b) { return {a.v < b.v ? a.v : b.v}; }
DSLITE_INLINE Float sqrt(Float a) { return {__builtin_sqrtf(a.v)}; }
DSLITE_INLINE Float zero_unless_above(Float a, Float bound, Float value) { return {a.v <= bound.v ? 0.0f : value.v}; }
DSLITE_INLINE Float keep_first(Float a, int64_t) { return a; }  // of count > 0
DSLITE_INLINE float sum(Float a) { return a.v; }
DSLITE_INLINE float max_lane(Float a) { return a.v; }
DSLITE_INLINE Float times_power_of_two(Float a, Float n) {
  if (n.v != n.v) return n;
  const uint32_t word = static_cast<uint32_t>(static_cast<int32_t>(n.v) + 127) << 23;
  float value;
  std::memcpy(&value, &word, 4);
  return {a.v * value};
}
DSLITE_INLINE Float round_to_whole(Float a) { return {__builtin_rintf(a.v)}; }
DSLITE_INLINE void transpose(Float*) {}
// Named by loops over pairs that never run: one lane holds no pair.
DSLITE_INLINE Float load_twice(const float* p) { return {*p}; }
DSLITE_INLINE Float swap_pairs(Float a) { return a; }
// Packet: the vector of the innermost loops of products; here four lanes of the compiler's own vectors (any processor), each with the arithmetic of Float.
typedef float FourFloats __attribute__((vector_size(16)));
struct Packet {
  FourFloats v;
};
constexpr int kPacketWidth = 4;
DSLITE_INLINE Packet packet_splat(float x) { return {FourFloats{x, x, x, x}}; }
DSLITE_INLINE Packet packet_load(const float* p) {
  Packet a;
  std::memcpy(&a, p, sizeof a);
  return a;
}
DSLITE_INLINE void packet_store(float* p, Packet a) { std::memcpy(p, &a, sizeof a); }
DSLITE_INLINE void packet_stream(float* p, Packet a) { packet_store(p, a); }
DSLITE_INLINE Packet operator+(Packet a, Packet b) { return {a.v + b.v}; }
DSLITE_INLINE Packet fma(Packet a, Packet b, Packet c) { return {a.v * b.v + c.v}; }

}  // namespace dslite::kernels::DSLITE_ISA
