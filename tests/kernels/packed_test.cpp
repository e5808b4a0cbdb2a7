// Packed matrices: their layout, and that a product reads the same bits from them as from the matrix that was packed.
#include "kernels/gemm/packed.h"

#include <gtest/gtest.h>

#include "kernels/gemm/gemm_many.h"
#include "tests/support/compare.h"
#include "tests/support/test_data.h"

namespace dslite::kernels {
namespace {

using test::GuardedBuffer;
using test::KernelContext;
using test::same_bits;
using test::TypedMatrix;

PanelSource rows_of(const TypedMatrix& x) { return {x.data(), x.dtype(), x.view().row_stride, nullptr, false}; }
PanelSource transposed(PanelSource source) {
  source.transposed = true;
  return source;
}
TypedMatrix random_bf16(int64_t rows, int64_t cols, uint64_t seed) {
  return TypedMatrix::random(DType::kBFloat16, rows, cols, seed, 1, 3);
}

struct Packed {
  Packed(InstructionSet set, int64_t rows, int64_t cols, PanelSource x)
      : memory(packed_bytes(rows, cols)),
        source(pack_matrix(KernelContext(set, 2), {.rows = rows, .cols = cols, .x = x, .out = memory.data()})) {}
  GuardedBuffer memory;
  PanelSource source;
};

TEST(Packed, LayoutIsTheSameForEveryInstructionSetAndSource) {
  const std::pair<int64_t, int64_t> shapes[] = {{1, 1}, {64, 32}, {65, 33}, {130, 70}, {200, 601}};
  for (const auto& [rows, cols] : shapes) {
    const TypedMatrix x = random_bf16(rows, cols, 1);
    TypedMatrix turned(DType::kBFloat16, cols, rows, 2);
    std::vector<uint16_t> expected(packed_bytes(rows, cols) / 2);
    EXPECT_EQ(static_cast<int64_t>(expected.size()), (rows + 63) / 64 * ((cols + 1) / 2) * 128);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) {
        turned.set(c, r, x.at(r, c));
        expected[((r / 64) * ((cols + 1) / 2) + c / 2) * 128 + r % 64 * 2 + c % 2] = test::round_bf16(x.at(r, c));
      }
    }
    for (const InstructionSet set : test::available_instruction_sets()) {
      for (const PanelSource& source : {rows_of(x), transposed(rows_of(turned))}) {
        const Packed packed(set, rows, cols, source);
        EXPECT_EQ(std::memcmp(packed.memory.data(), expected.data(), 2 * expected.size()), 0) << rows << " x " << cols;
      }
    }
  }
}

struct Case {
  int64_t m, n, k;
  bool accumulate = false;
};
const Case kCases[] = {{0, 5, 5},      {3, 70, 0},      {1, 1, 1},           {1, 64, 64},          {1, 300, 1025},
                       {7, 65, 9},     {6, 128, 512},   {5, 63, 511},        {13, 65, 1027},       {50, 257, 70},
                       {300, 130, 40}, {49, 1100, 777}, {45, 90, 520, true}, {260, 600, 90, true}, {9, 200, 33, true}};

TEST(Packed, ProductsHaveTheBitsOfTheUnpackedSource) {
  for (const InstructionSet set : test::available_instruction_sets()) {
    for (const DType in : {DType::kFloat32, DType::kBFloat16}) {
      for (const DType out : {DType::kFloat32, DType::kBFloat16}) {
        for (const Case& c : kCases) {
          if (c.accumulate && out == DType::kBFloat16) continue;
          SCOPED_TRACE(::testing::Message() << static_cast<int>(set) << " in " << static_cast<int>(in) << " out "
                                            << static_cast<int>(out) << " " << c.m << " x " << c.n << " x " << c.k);
          const TypedMatrix a = TypedMatrix::random(in, c.m, c.k, 1), x = random_bf16(c.n, c.k, 2);
          const Packed packed(set, c.n, c.k, rows_of(x));
          std::vector<std::vector<float>> results;
          for (const PanelSource& b : {transposed(rows_of(x)), packed.source}) {
            TypedMatrix result = TypedMatrix::random(out, c.m, c.n, 3, 1, 5);
            const GemmArguments arguments{c.m, c.n, c.k, rows_of(a), b, result.output(), c.accumulate};
            gemm(KernelContext(set, 2, gemm_scratch_bytes(c.m, c.n, c.k, 2)), arguments);
            EXPECT_TRUE(result.padding_untouched());
            results.push_back(result.values());
          }
          EXPECT_TRUE(same_bits(results[1], results[0]));
        }
      }
    }
  }
}

// A range of panels, and a sum of two parts of which one is packed.
TEST(Packed, PanelsAndPartsMayBeTakenApart) {
  const int64_t m = 31, n = 100, k = 530, k1 = 41;
  for (const InstructionSet set : test::available_instruction_sets()) {
    const TypedMatrix a = random_bf16(m, k, 1), a1 = random_bf16(m, k1, 2), x = random_bf16(128 + n, k, 3),
                      x1 = random_bf16(n, k1, 4);
    const Packed packed(set, 128 + n, k, rows_of(x));
    PanelSource later_rows = transposed(rows_of(x)), later_panels = packed.source;
    later_rows.data = static_cast<const uint16_t*>(x.data()) + 128 * x.view().row_stride;
    later_panels.data = static_cast<const uint16_t*>(packed.source.data) + 2 * packed.source.row_stride;
    std::vector<std::vector<float>> results;
    for (const PanelSource& b : {later_rows, later_panels}) {
      TypedMatrix result(DType::kFloat32, m, n);
      const GemmProduct product{
          m, n, 2, false, false, {{rows_of(a), b, k}, {rows_of(a1), transposed(rows_of(x1)), k1}}, result.output()};
      gemm_many(KernelContext(set, 2, gemm_many_scratch_bytes(2)), &product, 1);
      results.push_back(result.values());
    }
    EXPECT_TRUE(same_bits(results[1], results[0]));
  }
}

TEST(Packed, GatheredRowsArePackedInTheirOrder) {
  const int64_t rows = 70, cols = 41;
  for (const InstructionSet set : test::available_instruction_sets()) {
    const TypedMatrix x = random_bf16(2 * rows, cols, 1);
    TypedMatrix chosen(DType::kBFloat16, rows, cols);
    std::vector<int32_t> index(rows);
    for (int64_t r = 0; r < rows; ++r) {
      index[r] = static_cast<int32_t>((r * 7 + 3) % (2 * rows));
      for (int64_t c = 0; c < cols; ++c) chosen.set(r, c, x.at(index[r], c));
    }
    PanelSource gathered = rows_of(x);
    gathered.row_index = index.data();
    const Packed one(set, rows, cols, gathered), other(set, rows, cols, rows_of(chosen));
    EXPECT_EQ(std::memcmp(one.memory.data(), other.memory.data(), packed_bytes(rows, cols)), 0);
  }
}

}  // namespace
}  // namespace dslite::kernels
