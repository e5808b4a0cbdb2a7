// Latent decode: each instruction set x cache dtype x odd shapes against the double reference and against the expanded
// form; pages in any order; a sequence by itself.
#include "kernels/latent_decode/latent_decode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "kernels/attention/attention_reference.h"
#include "kernels/latent_decode/latent_decode_reference.h"
#include "tests/support/compare.h"
#include "tests/support/kernel_context.h"
#include "tests/support/test_data.h"

namespace dslite {
namespace {

using kernels::DType;
using test::KernelContext;
using test::TypedMatrix;

struct Shape {
  const char* name;
  std::vector<int64_t> lengths;
  int64_t heads, latent, rope, page_tokens;
};
const std::vector<Shape>& shapes() {
  static const std::vector<Shape> table = {
      {"no sequences", {}, 2, 8, 4, 16},
      {"one token", {1}, 1, 1, 2, 4},
      {"odd dims", {3, 50, 1, 17}, 3, 7, 5, 6},
      {"one past a step and a split", {97, 385, 384, 96}, 5, 33, 4, 10},
      {"V2-Lite", {400, 7}, 16, 512, 64, 256},
      {"more heads than a step holds", {130}, 50, 16, 8, 64},
      {"one head past a vector", {33}, 17, 12, 4, 8},
      {"no rope", {20}, 4, 16, 0, 8},
  };
  return table;
}
float scale_of(const Shape& s) { return 3 / std::sqrt(static_cast<float>(s.latent + s.rope)); }

// Sequences in pages that lie backwards and interleaved; what no sequence owns is NaN.
struct Cache {
  Shape shape;
  int64_t width, max_pages = 0;
  std::vector<std::vector<float>> tokens;  // per sequence [length, width]
  std::vector<int32_t> block_table;
  TypedMatrix pages;
  static int64_t count_pages(const Shape& s) {
    int64_t total = 0;
    for (const int64_t length : s.lengths) total += (length + s.page_tokens - 1) / s.page_tokens;
    return total;
  }
  Cache(const Shape& s, DType dtype)
      : shape(s), width(s.latent + s.rope), pages(dtype, (count_pages(s) + 1) * s.page_tokens, width) {
    for (const int64_t length : s.lengths)
      max_pages = std::max(max_pages, (length + s.page_tokens - 1) / s.page_tokens);
    block_table.assign(s.lengths.size() * max_pages, -1);
    auto next = static_cast<int32_t>(count_pages(s));
    for (size_t b = 0; b < s.lengths.size(); ++b) {
      tokens.push_back(test::random_floats(s.lengths[b] * width, 10 + b));
      for (int64_t t = 0; t < s.lengths[b]; ++t) {
        int32_t& page = block_table[b * max_pages + t / s.page_tokens];
        if (page < 0) page = next--;
        for (int64_t c = 0; c < width; ++c) {
          float& value = tokens[b][t * width + c];
          value = test::through(dtype, value);
          pages.set(page * s.page_tokens + t % s.page_tokens, c, value);
        }
      }
    }
  }
};

std::vector<float> decode(kernels::InstructionSet set, int threads, const Cache& cache,
                          const std::vector<float>& q_latent, const std::vector<float>& q_rope) {
  const Shape& s = cache.shape;
  std::vector<float> out(s.lengths.size() * s.heads * s.latent, NAN);
  const kernels::LatentDecode arguments{.num_sequences = static_cast<int64_t>(s.lengths.size()),
                                        .num_heads = s.heads,
                                        .kv_lora_rank = s.latent,
                                        .qk_rope_head_dim = s.rope,
                                        .scale = scale_of(s),
                                        .pages = {.data = cache.pages.data(),
                                                  .dtype = cache.pages.dtype(),
                                                  .page_tokens = s.page_tokens,
                                                  .block_table = cache.block_table.data(),
                                                  .max_pages = cache.max_pages,
                                                  .kv_lengths = s.lengths.data()},
                                        .q_latent = q_latent.data(),
                                        .q_rope = q_rope.data(),
                                        .out = out.data()};
  kernels::latent_decode(KernelContext(set, threads, kernels::latent_decode_scratch_bytes(arguments, threads)),
                         arguments);
  return out;
}

class LatentDecodeTest : public ::testing::TestWithParam<std::tuple<kernels::InstructionSet, DType>> {
 protected:
  kernels::InstructionSet set() const { return std::get<0>(GetParam()); }
  DType dtype() const { return std::get<1>(GetParam()); }
};

TEST_P(LatentDecodeTest, IsTheReference) {
  for (const Shape& s : shapes()) {
    SCOPED_TRACE(s.name);
    const Cache cache(s, dtype());
    const auto sequences = static_cast<int64_t>(s.lengths.size());
    const auto q_latent = test::random_floats(sequences * s.heads * s.latent, 1, 2),
               q_rope = test::random_floats(sequences * s.heads * s.rope, 2, 2);
    const std::vector<double> q_latent64 = test::to_double(q_latent), q_rope64 = test::to_double(q_rope);
    std::vector<double> expected(q_latent.size());
    for (int64_t b = 0; b < sequences; ++b) {
      const auto tokens = test::to_double(cache.tokens[b]);
      kernels::latent_decode_reference<double>({.num_heads = s.heads,
                                                .kv_lora_rank = s.latent,
                                                .qk_rope_head_dim = s.rope,
                                                .scale = scale_of(s),
                                                .num_tokens = s.lengths[b],
                                                .cache = tokens.data(),
                                                .q_latent = q_latent64.data() + b * s.heads * s.latent,
                                                .q_rope = q_rope64.data() + b * s.heads * s.rope,
                                                .out = expected.data() + b * s.heads * s.latent});
    }
    const auto actual = decode(set(), 2, cache, q_latent, q_rope);
    EXPECT_TRUE(test::close(actual, expected, 2e-6,
                            s.latent));  // the cache is given as rounded: fp32 arithmetic for both dtypes
    EXPECT_TRUE(test::same_bits(actual, decode(set(), 1, cache, q_latent, q_rope)));
  }
}

// q_nope W_uk and W_uv around it make the expanded attention of one query over all tokens.
TEST_P(LatentDecodeTest, IsTheExpandedForm) {
  const int64_t heads = 3, latent = 20, rope = 6, nope = 9, value = 11, length = 410;
  const Shape s{"", {length}, heads, latent, rope, 32};
  const Cache cache(s, dtype());
  const auto up = test::random_floats(heads * (nope + value) * latent, 5, 0.5f),
             q = test::random_floats(heads * (nope + rope), 6, 2);
  std::vector<double> kv(length * heads * (nope + value)), k_rope(length * rope), expected(heads * value);
  for (int64_t t = 0; t < length; ++t) {
    const float* row = cache.tokens[0].data() + t * (latent + rope);
    for (int64_t o = 0; o < heads * (nope + value); ++o)
      for (int64_t i = 0; i < latent; ++i)
        kv[t * heads * (nope + value) + o] += static_cast<double>(up[o * latent + i]) * row[i];
    for (int64_t i = 0; i < rope; ++i) k_rope[t * rope + i] = row[latent + i];
  }
  const int64_t q_offsets[] = {0, 1}, kv_offsets[] = {0, length};
  const std::vector<double> q64 = test::to_double(q), cos(rope / 2, 1), sin(rope / 2, 0);  // the query is rotated
  const int32_t position = 0;
  kernels::attention_forward_reference<double>({.num_heads = heads,
                                                .qk_nope_head_dim = nope,
                                                .qk_rope_head_dim = rope,
                                                .v_head_dim = value,
                                                .num_queries = 1,
                                                .num_keys = length,
                                                .num_segments = 1,
                                                .q_offsets = q_offsets,
                                                .kv_offsets = kv_offsets,
                                                .scale = scale_of(s)},
                                               {.q = q64.data(),
                                                .kv = kv.data(),
                                                .k_rope = k_rope.data(),
                                                .positions = &position,
                                                .cos = cos.data(),
                                                .sin = sin.data()},
                                               expected.data(), nullptr);
  std::vector<float> q_latent(heads * latent), q_rope(heads * rope);
  for (int64_t h = 0; h < heads; ++h) {
    for (int64_t i = 0; i < latent; ++i) {
      double total = 0;
      for (int64_t d = 0; d < nope; ++d)
        total += static_cast<double>(q[h * (nope + rope) + d]) * up[(h * (nope + value) + d) * latent + i];
      q_latent[h * latent + i] = static_cast<float>(total);
    }
    for (int64_t i = 0; i < rope; ++i) q_rope[h * rope + i] = q[h * (nope + rope) + nope + i];
  }
  const auto mixed = decode(set(), 2, cache, q_latent, q_rope);
  std::vector<double> actual(heads * value);
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t v = 0; v < value; ++v)
      for (int64_t i = 0; i < latent; ++i)
        actual[h * value + v] +=
            static_cast<double>(mixed[h * latent + i]) * up[(h * (nope + value) + nope + v) * latent + i];
  EXPECT_TRUE(test::close(actual, expected, 2e-6, value));
}

TEST_P(LatentDecodeTest, ASequencesBitsAreItsOwn) {
  const Shape s{"", {130, 400, 5}, 4, 24, 8, 16};
  Cache cache(s, dtype());
  const auto q_latent = test::random_floats(3 * 4 * 24, 1), q_rope = test::random_floats(3 * 4 * 8, 2);
  const auto before = decode(set(), 1, cache, q_latent, q_rope);
  cache.pages.set(cache.block_table[1 * cache.max_pages] * 16 + 3, 2, std::numeric_limits<float>::quiet_NaN());
  const auto after = decode(set(), 2, cache, q_latent, q_rope);
  const int64_t per_sequence = 4 * 24;
  for (int64_t i = 0; i < 3 * per_sequence; ++i) {
    if (i / per_sequence == 1) {
      EXPECT_TRUE(std::isnan(after[i]));
    } else {
      EXPECT_EQ(before[i], after[i]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, LatentDecodeTest,
                         ::testing::Combine(::testing::ValuesIn(test::available_instruction_sets()),
                                            ::testing::Values(DType::kFloat32, DType::kBFloat16)));

}  // namespace
}  // namespace dslite
