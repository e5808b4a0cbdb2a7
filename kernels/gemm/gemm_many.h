// Many independent products in one parallel sweep (grouped experts), each a sum of up to two products into one C: C =
// A0 B0 + A1 B1 (+ C). The arithmetic and its promises are gemm.h's; part 1's K blocks follow part 0's. An epilogue
// takes the finished fp32 sums of a tile instead of C.
#pragma once
#include "kernels/common/context.h"
#include "kernels/gemm/gemm.h"

namespace dslite::kernels {

struct GemmPart {
  PanelSource a, b;
  int64_t k;
};

enum class EpilogueKind : uint8_t { kStore, kSwiglu, kSwigluBackward };
constexpr int64_t kEpiloguePanel = 64;  // columns of one partial sum of ds

// kStore: C [M, N] = the sum.
// kSwiglu: C = z [M, 2N] = [A B0 | A B1] (both parts have the same A, k and dtype of B), a [M, N] = swiglu(z as
// stored). kSwigluBackward: the sum is da [M, N], never stored. C = dz [M, 2N], made from s * da and z; a = s *
// swiglu(z), rounded to z's dtype before the scaling as forward stored it; ds_parts = sums of da * swiglu(z) over a
// panel's columns. Added in the panels' order they are the gradient of s. A row's bits depend on that row alone.
// Equations: swiglu_lanes.h.
struct GemmEpilogue {
  EpilogueKind kind;
  Matrix a;                // data null: not wanted
  ConstMatrix z;           // [M, 2N]
  const float* row_scale;  // s [M], or null: 1
  float* ds_parts;         // [M, ceil(N / kEpiloguePanel)], or null: not wanted
};

struct GemmProduct {
  int64_t m, n;
  int32_t num_parts;  // 1 or 2
  bool accumulate;
  bool stream;  // C is not read soon: written past the caches where that is possible
  GemmPart parts[2];
  Matrix c;  // [M, N], or as the epilogue says
  GemmEpilogue epilogue = {};
};

int64_t gemm_many_scratch_bytes(int num_threads);
// The C matrices must not overlap. Runs context.parallel_for once.
void gemm_many(const Context& context, const GemmProduct* products, int64_t num_products);

}  // namespace dslite::kernels
