// gemm against the double reference over instruction sets, dtypes, layouts and odd shapes; and its promises about bits.
#include "kernels/gemm/gemm.h"

#include <gtest/gtest.h>

#include <deque>
#include <limits>
#include <numeric>

#include "kernels/gemm/gemm_many.h"
#include "kernels/gemm/gemm_reference.h"
#include "tests/support/compare.h"
#include "tests/support/test_data.h"

namespace dslite::kernels {
namespace {

using test::close;
using test::KernelContext;
using test::same_bits;
using test::TypedMatrix;

// An operand of `rows` x `columns` as the product sees it, stored in either orientation, with or without gathered rows
// (of a matrix twice as long).
struct Operand {
  Operand(DType dtype, int64_t rows, int64_t columns, bool transposed, bool gathered, uint64_t seed)
      : transposed(transposed),
        index(make_index(transposed ? columns : rows, gathered)),
        matrix(TypedMatrix::random(dtype, (transposed ? columns : rows) * (gathered ? 2 : 1),
                                   transposed ? rows : columns, seed, 1, 3)),
        values(test::to_double(matrix.values())) {}
  static std::vector<int32_t> make_index(int64_t count, bool gathered) {
    std::vector<int32_t> index(gathered ? count : 0);
    for (size_t i = 0; i < index.size(); ++i) index[i] = static_cast<int32_t>((i * 7 + 3) % (2 * index.size()));
    return index;
  }
  const int32_t* index_data() const { return index.empty() ? nullptr : index.data(); }
  PanelSource source() const {
    return {matrix.data(), matrix.dtype(), matrix.view().row_stride, index_data(), transposed};
  }
  ReferenceOperand<double> reference() const { return {values.data(), matrix.columns(), index_data(), transposed}; }
  bool transposed;
  std::vector<int32_t> index;
  TypedMatrix matrix;
  std::vector<double> values;
};

struct Case {
  int64_t m, n, k;
  bool transpose_a = false, transpose_b = true, gather_a = false, gather_b = false, accumulate = false;
};
const Case kCases[] = {
    {0, 5, 5},
    {5, 0, 5},
    {3, 4, 0},
    {3, 4, 0, false, true, false, false, true},
    {1, 1, 1},
    {1, 100, 513},
    {7, 17, 9},
    {6, 16, 512},
    {5, 15, 511},
    {13, 65, 1025},
    {241, 33, 40},
    {50, 257, 70},
    {2, 700, 30},
    {61, 130, 129, false, false},
    {61, 130, 129, true, false},
    {61, 130, 129, true, true},
    {61, 130, 600, false, false, true},
    {45, 90, 77, true, false, true, true},
    {45, 90, 520, true, false, true, true, true},
    {45, 90, 77, false, true, true, true, true},
    {9, 20, 600, false, true, false, false, true},
};

TEST(Gemm, MatchesTheReference) {
  for (const InstructionSet set : test::available_instruction_sets()) {
    for (const DType in : {DType::kFloat32, DType::kBFloat16}) {
      for (const DType out : {DType::kFloat32, DType::kBFloat16}) {
        for (const Case& c : kCases) {
          if (c.accumulate && out == DType::kBFloat16) continue;
          SCOPED_TRACE(::testing::Message() << static_cast<int>(set) << " in " << static_cast<int>(in) << " out "
                                            << static_cast<int>(out) << " m " << c.m << " n " << c.n << " k " << c.k
                                            << " ta " << c.transpose_a << " tb " << c.transpose_b);
          const Operand a(in, c.m, c.k, c.transpose_a, c.gather_a, 1), b(in, c.k, c.n, c.transpose_b, c.gather_b, 2);
          TypedMatrix result =
              c.accumulate ? TypedMatrix::random(out, c.m, c.n, 3, 1, 5) : TypedMatrix(out, c.m, c.n, 5);
          std::vector<double> expected = test::to_double(result.values());
          gemm_reference<double>({c.m, c.n, c.k, a.reference(), b.reference(), expected.data(), c.n, c.accumulate});
          const KernelContext context(set, 2, gemm_scratch_bytes(c.m, c.n, c.k, 2));
          gemm(context, {c.m, c.n, c.k, a.source(), b.source(), result.output(), c.accumulate});
          EXPECT_TRUE(close(result.values(), expected, out == DType::kFloat32 ? 2e-6 : 4e-3, c.n));
          EXPECT_TRUE(result.padding_untouched());
        }
      }
    }
  }
}

// Whatever the shape, the layout and the mixture of dtypes; guard pages lie behind every matrix and the scratch.
TEST(Gemm, RandomProductsMatchTheReference) {
  uint64_t state = 12345;
  const auto below = [&](uint64_t bound) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<int64_t>((state >> 33) % bound);
  };
  for (const InstructionSet set : test::available_instruction_sets()) {
    for (int i = 0; i < 120; ++i) {
      const int64_t longest = below(4);  // at the edge of a block: of rows, columns, values, or none
      const auto size = [&](int64_t dimension, int64_t block) {
        return dimension == longest ? (1 + below(2)) * block + below(5) - 2 : below(90);
      };
      const int64_t m = size(0, 258), n = size(1, 512), k = size(2, 512);
      const DType in_a = below(2) ? DType::kBFloat16 : DType::kFloat32,
                  in_b = below(2) ? DType::kBFloat16 : DType::kFloat32,
                  out = below(3) ? DType::kFloat32 : DType::kBFloat16;
      const bool accumulate = out == DType::kFloat32 && below(2);
      const Operand a(in_a, m, k, below(2), below(2), 3 * i), b(in_b, k, n, below(2), below(2), 3 * i + 1);
      SCOPED_TRACE(::testing::Message() << "set " << static_cast<int>(set) << " number " << i << ": " << m << " x " << n
                                        << " x " << k);
      TypedMatrix result = accumulate ? TypedMatrix::random(out, m, n, 3 * i + 2, 1, 5) : TypedMatrix(out, m, n, 5);
      std::vector<double> expected = test::to_double(result.values());
      gemm_reference<double>({m, n, k, a.reference(), b.reference(), expected.data(), n, accumulate});
      const int threads = 1 + static_cast<int>(below(2));
      gemm(KernelContext(set, threads, gemm_scratch_bytes(m, n, k, threads)),
           {m, n, k, a.source(), b.source(), result.output(), accumulate});
      EXPECT_TRUE(close(result.values(), expected, out == DType::kFloat32 ? 2e-6 : 4e-3, n));
      EXPECT_TRUE(result.padding_untouched());
    }
  }
}

// fp32 operands of one sign: one long chain would miss this; blocks of 512 hold it.
TEST(Gemm, LongContractionsStayExact) {
  const int64_t k = 11000;
  for (const InstructionSet set : test::available_instruction_sets()) {
    const Operand a(DType::kFloat32, 7, k, false, false, 1), b(DType::kFloat32, k, 33, true, false, 2);
    TypedMatrix result(DType::kFloat32, 7, 33);
    std::vector<double> expected(7 * 33);
    gemm_reference<double>({7, 33, k, a.reference(), b.reference(), expected.data(), 33});
    gemm(KernelContext(set, 2, gemm_scratch_bytes(7, 33, k, 2)),
         {7, 33, k, a.source(), b.source(), result.output(), false});
    EXPECT_TRUE(close(result.values(), expected, 2e-6, 33));
  }
}

std::vector<float> run(InstructionSet set, int threads, int64_t m, int64_t n, int64_t k, PanelSource a, PanelSource b,
                       DType out = DType::kFloat32) {
  TypedMatrix result(out, m, n, 1);
  gemm(KernelContext(set, threads, gemm_scratch_bytes(m, n, k, threads)), {m, n, k, a, b, result.output(), false});
  return result.values();
}

TEST(Gemm, BitsDoNotDependOnThreads) {
  for (const InstructionSet set : test::available_instruction_sets()) {
    const Operand a(DType::kBFloat16, 500, 700, false, false, 1), b(DType::kBFloat16, 700, 600, true, false, 2);
    EXPECT_TRUE(same_bits(run(set, 1, 500, 600, 700, a.source(), b.source()),
                          run(set, 2, 500, 600, 700, a.source(), b.source())));
  }
}

// A row alone, or anywhere among others, at any alignment, of any tile shape, has the same bits.
TEST(Gemm, RowBitsDoNotDependOnTheRowCount) {
  const int64_t rows = 300, n = 150, k = 1100;
  for (const InstructionSet set : test::available_instruction_sets()) {
    for (const DType dtype : {DType::kFloat32, DType::kBFloat16}) {
      for (const bool transpose_b : {false, true}) {
        const Operand a(dtype, rows, k, false, false, 1), b(dtype, k, n, transpose_b, false, 2);
        const std::vector<float> all = run(set, 2, rows, n, k, a.source(), b.source());
        const int64_t stride = a.matrix.view().row_stride;
        for (const int64_t count : {1, 2, 3, 5, 8, 47, 49, 130}) {
          const int64_t first = 299 - count;
          PanelSource some = a.source();
          some.data = static_cast<const char*>(some.data) + first * stride * test::dtype_bytes(dtype);
          const std::vector<float> expected(all.begin() + first * n, all.begin() + (first + count) * n);
          EXPECT_TRUE(same_bits(run(set, 2, count, n, k, some, b.source()), expected)) << count << " rows";
        }
      }
    }
  }
}

// The same values through a gather or a transposed copy give the same bits; fp32 instead of bf16 storage too, where
// bf16 has no products of its own.
TEST(Gemm, BitsDoNotDependOnTheLayout) {
  const int64_t m = 37, n = 50, k = 531;
  for (const InstructionSet set : test::available_instruction_sets()) {
    const Operand a(DType::kBFloat16, m, k, false, false, 1), b(DType::kBFloat16, k, n, false, false, 2);
    const std::vector<float> expected = run(set, 1, m, n, k, a.source(), b.source());
    for (const DType storage : {DType::kBFloat16, DType::kFloat32}) {
      if (storage == DType::kFloat32 && set == InstructionSet::kAvx512Bf16) continue;
      TypedMatrix a_t(storage, k, m), b_t(storage, n, k);
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < k; ++j) a_t.set(j, i, a.matrix.at(i, j));
      for (int64_t i = 0; i < k; ++i)
        for (int64_t j = 0; j < n; ++j) b_t.set(j, i, b.matrix.at(i, j));
      std::vector<int32_t> identity(k);
      std::iota(identity.begin(), identity.end(), 0);
      const PanelSource other_a{a_t.data(), storage, a_t.view().row_stride, identity.data(), true},
          other_b{b_t.data(), storage, b_t.view().row_stride, identity.data(), true};
      EXPECT_TRUE(same_bits(run(set, 2, m, n, k, other_a, other_b), expected));
    }
  }
}

// Writing past the caches changes nothing but the way to memory, whether C is aligned for it or not.
TEST(Gemm, StreamedResultsAreTheSame) {
  for (const InstructionSet set : test::available_instruction_sets()) {
    for (const int64_t k : {30, 700}) {
      for (const int64_t offset : {0, 1}) {
        const int64_t m = 50, n = 192;
        const Operand a(DType::kBFloat16, m, k, true, false, 1), b(DType::kBFloat16, k, n, false, false, 2);
        const std::vector<float> expected = run(set, 1, m, n, k, a.source(), b.source());
        alignas(64) static float memory[50 * 192 + 1];
        const GemmProduct product{
            m, n, 1, false, true, {{a.source(), b.source(), k}, {}}, {memory + offset, DType::kFloat32, n}};
        gemm_many(KernelContext(set, 2, gemm_many_scratch_bytes(2)), &product, 1);
        EXPECT_TRUE(same_bits({memory + offset, memory + offset + m * n}, expected)) << k << " " << offset;
      }
    }
  }
}

// A second micro-batch's gradient is the first's plus its own product, whatever way C is walked.
TEST(Gemm, AccumulatingAddsTheFinishedProduct) {
  for (const InstructionSet set : test::available_instruction_sets()) {
    for (const int64_t n : {100, 700}) {
      for (const int64_t k : {1, 48, 129}) {
        const int64_t m = 275;
        const Operand a(DType::kBFloat16, m, k, true, true, 1), b(DType::kBFloat16, k, n, false, true, 2);
        std::vector<float> expected = run(set, 1, m, n, k, a.source(), b.source());
        TypedMatrix sum = TypedMatrix::random(DType::kFloat32, m, n, 3, 1, 5);
        const std::vector<float> before = sum.values();
        for (size_t i = 0; i < expected.size(); ++i) expected[i] = before[i] + expected[i];
        std::vector<GemmProduct> products(  // enough of them for the widest tiles; all but one empty
            8, {0, n, 1, true, true, {{a.source(), b.source(), k}, {}}, sum.output()});
        products[3].m = m;
        gemm_many(KernelContext(set, 2, gemm_many_scratch_bytes(2)), products.data(), 8);
        EXPECT_TRUE(same_bits(sum.values(), expected)) << n << " " << k;
        EXPECT_TRUE(sum.padding_untouched());
      }
    }
  }
}

TEST(Gemm, NonFiniteRowsStayInTheirRows) {
  const int64_t m = 31, n = 70, k = 90;
  for (const InstructionSet set : test::available_instruction_sets()) {
    for (const bool transpose_a : {false, true}) {
      Operand a(DType::kBFloat16, m, k, transpose_a, false, 1);
      const Operand b(DType::kBFloat16, k, n, true, false, 2);
      const std::vector<float> clean = run(set, 2, m, n, k, a.source(), b.source());
      for (int64_t kk = 0; kk < k; ++kk) {
        transpose_a ? a.matrix.set(kk, 12, std::numeric_limits<float>::quiet_NaN())
                    : a.matrix.set(12, kk, std::numeric_limits<float>::quiet_NaN());
        transpose_a ? a.matrix.set(kk, 20, std::numeric_limits<float>::infinity())
                    : a.matrix.set(20, kk, std::numeric_limits<float>::infinity());
      }
      std::vector<float> dirty = run(set, 2, m, n, k, a.source(), b.source());
      for (int64_t j = 0; j < n; ++j) {
        EXPECT_TRUE(std::isnan(dirty[12 * n + j]) && !std::isfinite(dirty[20 * n + j]));
        dirty[12 * n + j] = clean[12 * n + j], dirty[20 * n + j] = clean[20 * n + j];
      }
      EXPECT_TRUE(same_bits(dirty, clean));
    }
  }
}

// C = A0 B0 + A1 B1 of several products, one of them empty, in one sweep.
TEST(Gemm, ManyProductsWithTwoParts) {
  for (const InstructionSet set : test::available_instruction_sets()) {
    for (const DType out : {DType::kFloat32, DType::kBFloat16}) {
      std::vector<GemmProduct> products;
      std::deque<TypedMatrix> results;
      std::vector<std::vector<double>> expected;
      std::deque<Operand> operands;
      for (const int64_t m : {60, 0, 1, 250}) {
        const int64_t n = 70, k0 = 520, k1 = 30;
        for (const int64_t k : {k0, k1}) {
          operands.emplace_back(DType::kFloat32, m, k, false, false, 10 + m + k);
          operands.emplace_back(DType::kBFloat16, k, n, false, false, 20 + m + k);
        }
        const Operand *a0 = &*(operands.end() - 4), *b0 = &*(operands.end() - 3), *a1 = &*(operands.end() - 2),
                      *b1 = &operands.back();
        results.emplace_back(out, m, n);
        products.push_back({m,
                            n,
                            2,
                            false,
                            false,
                            {{a0->source(), b0->source(), k0}, {a1->source(), b1->source(), k1}},
                            results.back().output()});
        expected.emplace_back(m * n);
        gemm_reference<double>({m, n, k0, a0->reference(), b0->reference(), expected.back().data(), n});
        gemm_reference<double>({m, n, k1, a1->reference(), b1->reference(), expected.back().data(), n, true});
      }
      gemm_many(KernelContext(set, 2, gemm_many_scratch_bytes(2)), products.data(),
                static_cast<int64_t>(products.size()));
      for (size_t i = 0; i < results.size(); ++i)
        EXPECT_TRUE(close(results[i].values(), expected[i], out == DType::kFloat32 ? 2e-6 : 4e-3));
    }
  }
}

}  // namespace
}  // namespace dslite::kernels
