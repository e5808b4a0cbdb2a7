// Attention: each instruction set x dtype x odd shapes against the double reference, the reference against finite
// differences, and what a row's bits may depend on.
#include "kernels/attention/attention.h"

#include <gtest/gtest.h>

#include <limits>

#include "kernels/attention/attention_reference.h"
#include "kernels/rope/rope.h"
#include "kernels/rope/rope_reference.h"
#include "tests/support/compare.h"
#include "tests/support/kernel_context.h"
#include "tests/support/test_data.h"

namespace dslite {
namespace {

using kernels::AttentionShape;
using kernels::DType;
using test::KernelContext;
using test::TypedMatrix;

struct Segment {
  int64_t n, m;  // queries, keys
};
struct Dims {
  int64_t heads, nope, rope, value;
};

constexpr int64_t kMaxPosition = 700;

// Offsets, shape and angles of a row of segments. Positions begin again in each segment, at `offset`.
struct Layout {
  std::vector<int64_t> q_offsets{0}, kv_offsets{0};
  std::vector<int32_t> positions, key_positions;
  std::vector<float> cos, sin;
  AttentionShape shape;
  Layout(const std::vector<Segment>& segments, Dims d, int32_t offset = 0) {
    for (const Segment s : segments) {
      q_offsets.push_back(q_offsets.back() + s.n);
      kv_offsets.push_back(kv_offsets.back() + s.m);
      for (int64_t j = 0; j < s.m; ++j) key_positions.push_back(offset + static_cast<int32_t>(j));
      positions.insert(positions.end(), key_positions.end() - s.n, key_positions.end());
    }
    for (int64_t i = 0; i < kMaxPosition * d.rope / 2; ++i) {
      const double angle = 3.0 * test::random_value(9, i);
      cos.push_back(static_cast<float>(1.1 * std::cos(angle)));
      sin.push_back(static_cast<float>(1.1 * std::sin(angle)));
    }
    shape = {.num_heads = d.heads,
             .qk_nope_head_dim = d.nope,
             .qk_rope_head_dim = d.rope,
             .v_head_dim = d.value,
             .num_queries = q_offsets.back(),
             .num_keys = kv_offsets.back(),
             .num_segments = static_cast<int64_t>(segments.size()),
             .q_offsets = q_offsets.data(),
             .kv_offsets = kv_offsets.data(),
             .scale = 1.3f / std::sqrt(static_cast<float>(d.nope + d.rope))};
  }
  Layout(const Layout&) = delete;
  int64_t q_columns() const { return shape.num_heads * (shape.qk_nope_head_dim + shape.qk_rope_head_dim); }
  int64_t kv_columns() const { return shape.num_heads * (shape.qk_nope_head_dim + shape.v_head_dim); }
  int64_t out_columns() const { return shape.num_heads * shape.v_head_dim; }
  kernels::RopeAngles rope() const { return {positions.data(), cos.data(), sin.data()}; }
};

struct Inputs {
  TypedMatrix q, kv, k_rope, d_out;
  Inputs(DType dtype, const Layout& l, uint64_t seed = 1)
      : q(TypedMatrix::random(dtype, l.shape.num_queries, l.q_columns(), seed, 2)),
        kv(TypedMatrix::random(dtype, l.shape.num_keys, l.kv_columns(), seed + 1, 2)),
        k_rope(TypedMatrix::random(dtype, l.shape.num_keys, l.shape.qk_rope_head_dim, seed + 2, 2)),
        d_out(TypedMatrix::random(dtype, l.shape.num_queries, l.out_columns(), seed + 3)) {}
  kernels::AttentionInputs pointers(const Layout& l) const {
    return {.dtype = q.dtype(), .q = q.data(), .kv = kv.data(), .k_rope = k_rope.data(), .rope = l.rope()};
  }
};

struct Forward {
  TypedMatrix out;
  std::vector<float> lse;
  Forward(kernels::InstructionSet set, int threads, const Layout& l, const Inputs& in, bool with_lse = true)
      : out(in.q.dtype(), l.shape.num_queries, l.out_columns()), lse(l.shape.num_queries * l.shape.num_heads, NAN) {
    const KernelContext context(set, threads, kernels::attention_forward_scratch_bytes(l.shape, threads));
    kernels::attention_forward(context, l.shape, in.pointers(l), out.data(), with_lse ? lse.data() : nullptr);
  }
};

struct Backward {
  TypedMatrix d_q, d_kv, d_k_rope;
  Backward(kernels::InstructionSet set, int threads, const Layout& l, const Inputs& in, const Forward& saved)
      : d_q(in.q.dtype(), l.shape.num_queries, l.q_columns()),
        d_kv(in.q.dtype(), l.shape.num_keys, l.kv_columns()),
        d_k_rope(in.q.dtype(), l.shape.num_keys, l.shape.qk_rope_head_dim, 3) {
    const KernelContext context(set, threads, kernels::attention_backward_scratch_bytes(l.shape, threads));
    kernels::attention_backward(context, l.shape, in.pointers(l),
                                {.out = saved.out.data(),
                                 .lse = saved.lse.data(),
                                 .d_out = in.d_out.data(),
                                 .key_positions = l.key_positions.data(),
                                 .d_q = d_q.data(),
                                 .d_kv = d_kv.data(),
                                 .d_k_rope = d_k_rope.data(),
                                 .d_k_rope_row_stride = d_k_rope.view().row_stride});
    EXPECT_TRUE(d_k_rope.padding_untouched());
  }
};

struct Reference {
  std::vector<double> q, kv, k_rope, d_out, cos, sin, out, lse, d_q, d_kv, d_k_rope;
  Reference(const Layout& l, const Inputs& in)
      : q(test::to_double(in.q.values())),
        kv(test::to_double(in.kv.values())),
        k_rope(test::to_double(in.k_rope.values())),
        d_out(test::to_double(in.d_out.values())),
        cos(test::to_double(l.cos)),
        sin(test::to_double(l.sin)),
        out(d_out.size()),
        lse(l.shape.num_queries * l.shape.num_heads),
        d_q(q.size()),
        d_kv(kv.size()),
        d_k_rope(k_rope.size()) {
    run(l);
  }
  void run(const Layout& l) {
    kernels::attention_forward_reference<double>(l.shape, pointers(l), out.data(), lse.data());
    kernels::attention_backward_reference<double>(l.shape, pointers(l),
                                                  {.d_out = d_out.data(),
                                                   .key_positions = l.key_positions.data(),
                                                   .d_q = d_q.data(),
                                                   .d_kv = d_kv.data(),
                                                   .d_k_rope = d_k_rope.data()});
  }
  kernels::AttentionInputsReference<double> pointers(const Layout& l) const {
    return {q.data(), kv.data(), k_rope.data(), l.positions.data(), cos.data(), sin.data()};
  }
};

struct NamedCase {
  const char* name;
  std::vector<Segment> segments;
  Dims dims;
};
const std::vector<NamedCase>& cases() {
  static const std::vector<NamedCase> table = {
      {"no tokens", {}, {2, 8, 4, 8}},
      {"empty segments", {{0, 0}, {3, 3}, {0, 0}}, {2, 8, 4, 8}},
      {"one token", {{1, 1}}, {1, 1, 2, 1}},
      {"many one-token segments", std::vector<Segment>(40, {1, 1}), {3, 5, 2, 7}},
      {"odd dims, several segments", {{5, 5}, {1, 1}, {30, 30}, {2, 2}}, {3, 7, 6, 13}},
      {"chunked prefill", {{7, 50}, {1, 97}, {3, 3}, {2, 200}}, {2, 16, 8, 24}},
      {"keys without queries", {{0, 5}, {4, 100}}, {2, 8, 4, 8}},
      {"one past a block of keys", {{97, 97}}, {2, 8, 4, 33}},
      {"one past a block of queries", {{193, 193}}, {1, 16, 8, 16}},
      {"a chunk past several blocks", {{200, 300}}, {1, 12, 4, 20}},
      {"a head of V2-Lite", {{130, 130}, {70, 70}}, {2, 128, 64, 128}},
      {"documents around vectors of queries",
       {{7, 7}, {8, 8}, {9, 9}, {15, 15}, {16, 16}, {17, 17}, {31, 31}, {32, 32}, {33, 33}, {49, 65}},
       {2, 12, 4, 20}},
      {"no rope", {{20, 20}}, {2, 8, 0, 8}},
  };
  return table;
}

class Attention : public ::testing::TestWithParam<std::tuple<kernels::InstructionSet, DType>> {
 protected:
  kernels::InstructionSet set() const { return std::get<0>(GetParam()); }
  DType dtype() const { return std::get<1>(GetParam()); }
  double forward_tolerance() const { return dtype() == DType::kFloat32 ? 2e-6 : 6e-3; }
  double lse_tolerance() const { return dtype() == DType::kFloat32 ? 2e-6 : 2e-3; }  // the rotated q is rounded
  double backward_tolerance() const { return dtype() == DType::kFloat32 ? 5e-6 : 1e-2; }
};

TEST_P(Attention, ForwardIsTheReference) {
  for (const NamedCase& c : cases()) {
    SCOPED_TRACE(c.name);
    const Layout l(c.segments, c.dims, 300);
    const Inputs in(dtype(), l);
    const Forward actual(set(), 2, l, in);
    const Reference expected(l, in);
    EXPECT_TRUE(test::close(actual.out.values(), expected.out, forward_tolerance(), l.out_columns()));
    EXPECT_TRUE(test::close(actual.lse, expected.lse, lse_tolerance(), c.dims.heads));
  }
}

TEST_P(Attention, BackwardIsTheReference) {
  for (const NamedCase& c : cases()) {
    SCOPED_TRACE(c.name);
    const Layout l(c.segments, c.dims, 300);
    const Inputs in(dtype(), l);
    const Forward saved(set(), 1, l, in);
    const Backward actual(set(), 2, l, in, saved);
    const Reference expected(l, in);
    EXPECT_TRUE(test::close(actual.d_kv.values(), expected.d_kv, backward_tolerance(), l.kv_columns()));
    // A segment of one token: its softmax is 1 whatever the score, so that the gradients of q and k are zero within
    // rounding of dP - delta.
    const bool zero = test::compare(expected.d_q, std::vector<double>(expected.d_q.size())).max_abs < 1e-12;
    if (zero) {
      EXPECT_LT(test::compare(actual.d_q.values(), expected.d_q).max_abs, dtype() == DType::kFloat32 ? 1e-5 : 0.1);
      continue;
    }
    EXPECT_TRUE(test::close(actual.d_q.values(), expected.d_q, backward_tolerance(), l.q_columns()));
    EXPECT_TRUE(test::close(actual.d_k_rope.values(), expected.d_k_rope, backward_tolerance(), c.dims.rope));
  }
}

// What is rotated while it is packed has the bits of what the rotary embedding rotated and rounded before.
TEST_P(Attention, RotatesTheQueriesAsRopeDoes) {
  const Dims dims{2, 15, 6, 24};
  Layout l({{50, 50}, {7, 9}}, dims, 40);
  Inputs in(dtype(), l);
  const Forward fused(set(), 2, l, in);
  const Backward fused_back(set(), 1, l, in, fused);
  const auto head = [&](int64_t h) {
    return static_cast<char*>(in.q.data()) + (h * (dims.nope + dims.rope) + dims.nope) * test::dtype_bytes(dtype());
  };
  for (int64_t h = 0; h < dims.heads; ++h) {
    kernels::rope(KernelContext(set()), {.num_tokens = l.shape.num_queries,
                                         .num_heads = 1,
                                         .rotated = dims.rope,
                                         .angles = l.rope(),
                                         .in = head(h),
                                         .out = head(h),
                                         .in_dtype = dtype(),
                                         .out_dtype = dtype(),
                                         .in_token_stride = l.q_columns(),
                                         .in_head_stride = 0,
                                         .out_token_stride = l.q_columns(),
                                         .out_head_stride = 0});
  }
  std::fill(l.cos.begin(), l.cos.end(), 1.0f);
  std::fill(l.sin.begin(), l.sin.end(), 0.0f);
  const Forward before(set(), 1, l, in);
  EXPECT_TRUE(test::same_bits(fused.out.values(), before.out.values()));
  EXPECT_TRUE(test::same_bits(fused.lse, before.lse));
  const Backward back(set(), 1, l, in, before);
  EXPECT_TRUE(test::same_bits(fused_back.d_kv.values(), back.d_kv.values()));
}

TEST_P(Attention, BitsDoNotDependOnThreadsOrOnLse) {
  const Layout l({{100, 100}, {1, 1}, {37, 60}, {193, 193}}, {3, 16, 8, 24});
  const Inputs in(dtype(), l);
  const Forward one(set(), 1, l, in), two(set(), 2, l, in, false);
  EXPECT_TRUE(test::same_bits(one.out.values(), two.out.values()));
  const Backward back_one(set(), 1, l, in, one), back_two(set(), 2, l, in, one);
  EXPECT_TRUE(test::same_bits(back_one.d_q.values(), back_two.d_q.values()));
  EXPECT_TRUE(test::same_bits(back_one.d_kv.values(), back_two.d_kv.values()));
  EXPECT_TRUE(test::same_bits(back_one.d_k_rope.values(), back_two.d_k_rope.values()));
}

void copy_rows(const TypedMatrix& from, int64_t first, TypedMatrix& to, int64_t at, int64_t rows) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < from.columns(); ++c) to.set(at + r, c, from.at(first + r, c));
}

TEST_P(Attention, ASegmentsBitsDoNotDependOnItsNeighboursOrPlace) {
  const Dims dims{2, 16, 8, 24};
  const Layout alone({{120, 131}}, dims), packed({{3, 3}, {120, 131}, {50, 50}}, dims);
  const Inputs single(dtype(), alone);
  Inputs row(dtype(), packed, 77);
  copy_rows(single.q, 0, row.q, 3, 120);
  copy_rows(single.d_out, 0, row.d_out, 3, 120);
  copy_rows(single.kv, 0, row.kv, 3, 131);
  copy_rows(single.k_rope, 0, row.k_rope, 3, 131);
  row.q.set(1, 0, std::numeric_limits<float>::quiet_NaN());  // a damaged neighbour stays by itself
  row.kv.set(140, 5, std::numeric_limits<float>::infinity());
  const Forward one(set(), 1, alone, single), many(set(), 2, packed, row);
  const Backward back_one(set(), 1, alone, single, one), back_many(set(), 2, packed, row, many);
  for (int64_t i = 0; i < 120; ++i) {
    ASSERT_TRUE(test::same_bits(one.out.row(i), many.out.row(3 + i))) << i;
    ASSERT_TRUE(test::same_bits(back_one.d_q.row(i), back_many.d_q.row(3 + i))) << i;
  }
  for (int64_t j = 0; j < 131; ++j) {
    ASSERT_TRUE(test::same_bits(back_one.d_kv.row(j), back_many.d_kv.row(3 + j))) << j;
    ASSERT_TRUE(test::same_bits(back_one.d_k_rope.row(j), back_many.d_k_rope.row(3 + j))) << j;
  }
  EXPECT_TRUE(std::isnan(many.out.at(1, 0)));
  EXPECT_TRUE(std::isnan(many.out.at(1, 1)));
}

TEST_P(Attention, ChunkedPrefillGivesTheBitsOfTheWhole) {
  const Dims dims{2, 16, 8, 24};
  const Layout whole({{250, 250}}, dims);
  const Inputs in(dtype(), whole);
  const Forward expected(set(), 2, whole, in);
  for (int64_t begin = 0, chunk = 1; begin < 250; begin += chunk, chunk = chunk * 2 + 1) {
    const int64_t end = std::min<int64_t>(250, begin + chunk);
    const Layout part({{end - begin, end}}, dims);
    Inputs piece(dtype(), part);
    copy_rows(in.q, begin, piece.q, 0, end - begin);
    copy_rows(in.kv, 0, piece.kv, 0, end);
    copy_rows(in.k_rope, 0, piece.k_rope, 0, end);
    const Forward actual(set(), 1, part, piece);
    for (int64_t i = begin; i < end; ++i)
      ASSERT_TRUE(test::same_bits(actual.out.row(i - begin), expected.out.row(i))) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Attention,
                         ::testing::Combine(::testing::ValuesIn(test::available_instruction_sets()),
                                            ::testing::Values(DType::kFloat32, DType::kBFloat16)));

TEST(AttentionReference, GradientIsTheFiniteDifference) {
  const Layout l({{3, 3}, {2, 4}}, {2, 3, 4, 3}, 5);
  const Inputs in(DType::kFloat32, l);
  Reference r(l, in);
  std::vector<double> k_rope = r.k_rope;  // not rotated
  const auto rotate_keys = [&] {
    kernels::rope_reference<double>({.num_tokens = l.shape.num_keys,
                                     .num_heads = 1,
                                     .rotated = l.shape.qk_rope_head_dim,
                                     .positions = l.key_positions.data(),
                                     .cos = r.cos.data(),
                                     .sin = r.sin.data(),
                                     .in = k_rope.data(),
                                     .out = r.k_rope.data()});
  };
  rotate_keys();
  r.run(l);
  const auto value = [&] {
    rotate_keys();
    std::vector<double> out(r.out.size());
    kernels::attention_forward_reference<double>(l.shape, r.pointers(l), out.data(), nullptr);
    double total = 0;
    for (size_t i = 0; i < out.size(); ++i) total += out[i] * r.d_out[i];
    return total;
  };
  const auto check = [&](std::vector<double>& x, const std::vector<double>& gradient) {
    for (size_t i = 0; i < x.size(); ++i) {
      const double before = x[i], step = 1e-5;
      x[i] = before + step;
      const double above = value();
      x[i] = before - step;
      const double below = value();
      x[i] = before;
      ASSERT_NEAR(gradient[i], (above - below) / (2 * step), 1e-6) << i;
    }
  };
  check(r.q, r.d_q);
  check(r.kv, r.d_kv);
  check(k_rope, r.d_k_rope);
}

}  // namespace
}  // namespace dslite
