// Debug builds assert what a kernel demands of its caller: one violation for each family.
#include "kernels/common/contract.h"

#include <gtest/gtest.h>

#include <functional>

#include "kernels/adamw/adamw.h"
#include "kernels/attention/attention.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/embedding/embedding.h"
#include "kernels/expert_gemm/expert_gemm.h"
#include "kernels/gemm/gemm_many.h"
#include "kernels/gemm/packed.h"
#include "kernels/latent_decode/latent_decode.h"
#include "kernels/permute/permute.h"
#include "kernels/rms_norm/rms_norm.h"
#include "kernels/rope/rope.h"
#include "kernels/router/router.h"
#include "tests/support/test_data.h"

namespace dslite::kernels {
namespace {

using test::KernelContext;
using test::TypedMatrix;

struct Violation {
  const char* name;
  const char* condition;  // what the message names
  std::function<void()> call;
};

class ContractDeathTest : public ::testing::TestWithParam<Violation> {};

TEST_P(ContractDeathTest, ViolationIsNamed) {
  if (!kContractsAreAsserted) GTEST_SKIP() << "built with NDEBUG: nothing is asserted";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(GetParam().call(), GetParam().condition);
}

constexpr InstructionSet kSet = InstructionSet::kScalar;
PanelSource rows_of(const TypedMatrix& x, bool transposed = false) {
  return {x.data(), x.dtype(), x.view().row_stride, nullptr, transposed};
}

void accumulate_into_bf16() {
  TypedMatrix x(DType::kBFloat16, 4, 4);
  gemm(KernelContext(kSet, 1, gemm_scratch_bytes(4, 4, 4, 1)), {4, 4, 4, rows_of(x), rows_of(x), x.output(), true});
}
void too_little_scratch() {
  TypedMatrix x(DType::kFloat32, 4, 4);
  gemm(KernelContext(kSet, 2, gemm_scratch_bytes(4, 4, 4, 1)), {4, 4, 4, rows_of(x), rows_of(x), x.output(), false});
}
void narrow_stride() {
  TypedMatrix x(DType::kFloat32, 4, 4);
  PanelSource narrow = rows_of(x);
  narrow.row_stride = 3;
  gemm(KernelContext(kSet, 1, gemm_scratch_bytes(4, 4, 4, 1)), {4, 4, 4, narrow, rows_of(x), x.output(), false});
}
void packed_as_it_lies() {
  TypedMatrix x(DType::kBFloat16, 64, 64);
  const test::GuardedBuffer memory(packed_bytes(64, 64));
  PanelSource packed = pack_matrix(KernelContext(kSet), {64, 64, rows_of(x), memory.data()});
  packed.transposed = false;
  TypedMatrix c(DType::kFloat32, 64, 64);
  gemm(KernelContext(kSet, 1, gemm_scratch_bytes(64, 64, 64, 1)), {64, 64, 64, rows_of(x), packed, c.output(), false});
}
void packing_fp32() {
  TypedMatrix x(DType::kFloat32, 4, 4);
  const test::GuardedBuffer memory(packed_bytes(4, 4));
  pack_matrix(KernelContext(kSet), {4, 4, rows_of(x), memory.data()});
}
void falling_offsets() {
  const int64_t offsets[] = {0, 3, 2};
  const int32_t tokens[] = {0, 0};
  const ExpertShape shape{1, 2, 2, 4, 4, offsets, tokens};
  expert_forward(KernelContext(kSet, 1, expert_forward_scratch_bytes(shape, 1)), {.shape = shape});
}
void expert_out_of_range() {
  const int32_t indices[] = {0, 2};
  int64_t offsets[3];
  int32_t row_token[2], row_of_slot[2];
  make_dispatch_plan(KernelContext(kSet), 2, 1, 2, indices, {offsets, row_token, row_of_slot});
}
void norm_without_weight() {
  TypedMatrix x(DType::kFloat32, 2, 4), y(DType::kFloat32, 2, 4);
  rms_norm_forward(KernelContext(kSet), {.num_rows = 2, .width = 4, .eps = 1e-6f, .x = x.view(), .y = y.output()});
}
void empty_vocabulary() { cross_entropy(KernelContext(kSet), {.num_rows = 0, .vocab_size = 0}); }
void table_of_another_dtype() {
  TypedMatrix table(DType::kFloat32, 2, 4), out(DType::kBFloat16, 1, 4);
  const int32_t id = 0;
  embedding_forward(KernelContext(kSet), 1, 4, &id, table.view(), out.output());
}
void bf16_without_low() {
  uint16_t value[4] = {};
  float moment[4] = {};
  adamw(KernelContext(kSet), {.size = 4,
                              .value = value,
                              .value_dtype = DType::kBFloat16,
                              .exp_avg = moment,
                              .exp_avg_sq = moment,
                              .moment_dtype = DType::kFloat32});
}
void replayed_expert_out_of_range() {
  float scores[2] = {}, weight = 0;
  int32_t index = 2;
  router_forward(KernelContext(kSet), {2, 1, 1, 1, false, 1},
                 {.num_tokens = 1,
                  .logits = scores,
                  .probabilities = scores,
                  .indices = &index,
                  .weights = &weight,
                  .replay = true});
}

void fewer_keys_than_queries() {
  const int64_t queries[] = {0, 2}, keys[] = {0, 1};
  const AttentionShape shape{.num_heads = 1,
                             .qk_nope_head_dim = 2,
                             .qk_rope_head_dim = 0,
                             .v_head_dim = 2,
                             .num_queries = 2,
                             .num_keys = 1,
                             .num_segments = 1,
                             .q_offsets = queries,
                             .kv_offsets = keys,
                             .scale = 1};
  attention_forward(KernelContext(kSet, 1, attention_forward_scratch_bytes(shape, 1)), shape, {}, nullptr, nullptr);
}
void odd_rotation() { rope(KernelContext(kSet), {.num_tokens = 0, .num_heads = 1, .rotated = 3}); }
void longer_than_its_pages() {
  const int64_t length = 9;
  const int32_t page = 0;
  float values[4] = {};
  latent_decode(KernelContext(kSet), {.num_sequences = 1,
                                      .num_heads = 1,
                                      .kv_lora_rank = 2,
                                      .qk_rope_head_dim = 0,
                                      .scale = 1,
                                      .pages = {.data = values,
                                                .dtype = DType::kFloat32,
                                                .page_tokens = 8,
                                                .block_table = &page,
                                                .max_pages = 1,
                                                .kv_lengths = &length},
                                      .q_latent = values,
                                      .q_rope = values,
                                      .out = values});
}

INSTANTIATE_TEST_SUITE_P(Kernels, ContractDeathTest,
                         ::testing::Values(Violation{"GemmAccumulatesInFp32", "is_product", accumulate_into_bf16},
                                           Violation{"GemmScratch", "is_usable", too_little_scratch},
                                           Violation{"GemmStride", "is_product", narrow_stride},
                                           Violation{"GemmPackedIsTransposed", "is_product", packed_as_it_lies},
                                           Violation{"PackedIsBf16", "kBFloat16", packing_fp32},
                                           Violation{"ExpertOffsets", "is_shape", falling_offsets},
                                           Violation{"PermuteIndices", "are_below", expert_out_of_range},
                                           Violation{"RmsNormWeight", "x.weight", norm_without_weight},
                                           Violation{"CrossEntropyVocabulary", "vocab_size", empty_vocabulary},
                                           Violation{"EmbeddingDtype", "table.dtype", table_of_another_dtype},
                                           Violation{"AdamWLow", "x.low", bf16_without_low},
                                           Violation{"AttentionKeys", "is_shape", fewer_keys_than_queries},
                                           Violation{"RopeIsEven", "rotated", odd_rotation},
                                           Violation{"LatentDecodePages", "max_pages", longer_than_its_pages},
                                           Violation{"RouterReplay", "replay", replayed_expert_out_of_range}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace dslite::kernels
