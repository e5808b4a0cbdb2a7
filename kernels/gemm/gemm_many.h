// Many independent products in one parallel sweep (grouped experts), each a sum of up to two products into one C: C =
// A0 B0 + A1 B1 (+ C). The arithmetic and its promises are gemm.h's; part 1's K blocks follow part 0's.
#pragma once
#include "kernels/common/context.h"
#include "kernels/gemm/gemm.h"

namespace dslite::kernels {

struct GemmPart {
  PanelSource a, b;
  int64_t k;
};

struct GemmProduct {
  int64_t m, n;
  int32_t num_parts;  // 1 or 2
  bool accumulate;
  bool stream;  // C is not read soon: written past the caches where that is possible
  GemmPart parts[2];
  Matrix c;  // [M, N]
};

int64_t gemm_many_scratch_bytes(int num_threads);
// The C matrices must not overlap. Runs context.parallel_for once.
void gemm_many(const Context& context, const GemmProduct* products, int64_t num_products);

}  // namespace dslite::kernels
