// Operation counts against figures derived by hand, and their properties.
#include "src/model/flops.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace dslite {
namespace {

ModelConfig v2_lite() {
  ModelConfig config;
  config.vocab_size = 102400, config.hidden_size = 2048, config.num_hidden_layers = 27;
  config.num_attention_heads = 16, config.intermediate_size = 10944, config.moe_intermediate_size = 1408;
  config.kv_lora_rank = 512, config.qk_nope_head_dim = 128, config.qk_rope_head_dim = 64, config.v_head_dim = 128;
  config.n_routed_experts = 64, config.n_shared_experts = 2, config.num_experts_per_tok = 6;
  config.first_k_dense_replace = 1;
  return config;
}

double per_token(const Flops& flops, int64_t tokens) { return flops.total() / static_cast<double>(tokens); }

TEST(Flops, OfV2Lite) {
  for (const auto& [tokens, expected] :
       std::vector<std::pair<int64_t, double>>{{2048, 15.6e9}, {4096, 16.4e9}, {8192, 18.1e9}}) {
    const std::vector<int64_t> offsets{0, tokens};
    EXPECT_NEAR(per_token(training_flops(v2_lite(), offsets), tokens), expected, 0.05e9);
  }
  const Flops forward = forward_flops(v2_lite(), std::vector<int64_t>{0, 4096});
  EXPECT_NEAR(forward.products / 4096, 4.90e9, 0.005e9);
  EXPECT_NEAR(forward.attention / 4096, 0.57e9, 0.005e9);
}

// Three layers, vocabulary 32,000, every matrix written out.
TEST(Flops, OfASliceByHand) {
  ModelConfig config = v2_lite();
  config.num_hidden_layers = 3, config.vocab_size = 32000;
  const double attention = 2048.0 * (3072 + 576) + 512.0 * 4096 + 2048.0 * 2048;
  const double dense = 3.0 * 2048 * 10944, expert = 3.0 * 2048 * 1408;
  const double multiply_adds = 3 * attention + dense + 2 * (8 * expert + 64 * 2048.0) + 32000 * 2048.0;
  EXPECT_NEAR(multiply_adds, 312.7e6, 0.05e6);
  const Flops flops = forward_flops(config, std::vector<int64_t>{0, 2048});
  EXPECT_DOUBLE_EQ(flops.products, 2 * 2048 * multiply_adds);
  EXPECT_DOUBLE_EQ(flops.attention, 2 * (2048.0 * 2049 / 2) * 3 * 16 * (192 + 128));
}

TEST(Flops, OfSegmentsAreTheirSum) {
  const ModelConfig config = v2_lite();
  const Flops packed = forward_flops(config, std::vector<int64_t>{0, 100, 100, 612});
  const Flops first = forward_flops(config, std::vector<int64_t>{0, 100});
  const Flops second = forward_flops(config, std::vector<int64_t>{0, 512});
  EXPECT_DOUBLE_EQ(packed.products, first.products + second.products);
  EXPECT_DOUBLE_EQ(packed.attention, first.attention + second.attention);
  EXPECT_LT(packed.attention, forward_flops(config, std::vector<int64_t>{0, 612}).attention);
}

TEST(Flops, QueryCompressionIsCounted) {
  ModelConfig config = v2_lite();
  const double before = forward_flops(config, std::vector<int64_t>{0, 1}).products;
  config.q_lora_rank = 1536;
  EXPECT_DOUBLE_EQ(forward_flops(config, std::vector<int64_t>{0, 1}).products - before,
                   2 * 27 * (1536.0 * (2048 + 3072) - 2048.0 * 3072));
}

}  // namespace
}  // namespace dslite
