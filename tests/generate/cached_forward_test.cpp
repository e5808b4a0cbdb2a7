// The cache against the training forward: token by token, in chunks, mixed, in fp32 and bf16.
#include "src/generate/cached_forward.h"

#include <ATen/ops/cat.h>
#include <gtest/gtest.h>

#include "src/base/error.h"
#include "src/base/parallel_for.h"
#include "tests/generate/tiny_model.h"

namespace dslite {
namespace {

struct Case {
  const char* name;
  bool query_compression;
  std::vector<int64_t> pieces;  // cut again and again until the tokens are gone
};

class Cached : public ::testing::TestWithParam<Case> {};

TEST_P(Cached, IsTheTrainingForward) {
  const ModelConfig config = test::tiny_config(GetParam().query_compression);
  const auto model = test::tiny_model(config);
  const auto tokens = test::random_tokens(150, config.vocab_size, 3);
  CachedForward cached(*model, 16);
  const int64_t sequence = cached.cache().open();
  std::vector<at::Tensor> hidden;
  for (size_t begin = 0, i = 0; begin < tokens.size(); ++i) {
    const size_t count = std::min<size_t>(tokens.size() - begin, GetParam().pieces[i % GetParam().pieces.size()]);
    const Piece piece{.sequence = sequence, .tokens = std::span(tokens).subspan(begin, count)};
    hidden.push_back(cached.forward(std::span(&piece, 1)));
    begin += count;
  }
  EXPECT_TRUE(test::close(model->logits(at::cat(hidden)), test::full_logits(*model, tokens), 1e-5));
}

INSTANTIATE_TEST_SUITE_P(All, Cached,
                         ::testing::Values(Case{"token by token", false, {1}},
                                           Case{"token by token, q compression", true, {1}},
                                           Case{"chunks", false, {64}}, Case{"chunks, q compression", true, {37}},
                                           Case{"mixed", true, {20, 1, 1, 7, 1, 2}}, Case{"at once", false, {150}}));

TEST(CachedForward, Bf16StaysWithinItsRounding) {
  set_num_threads(1);
  const ModelConfig config = test::tiny_config();
  const auto model = test::tiny_model(config, at::kBFloat16);
  const auto tokens = test::random_tokens(60, config.vocab_size, 3);
  CachedForward cached(*model, 16);
  const int64_t sequence = cached.cache().open();
  std::vector<at::Tensor> hidden;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const Piece piece{.sequence = sequence, .tokens = std::span(tokens).subspan(i, 1)};
    hidden.push_back(cached.forward(std::span(&piece, 1)));
  }
  // A near tie of the router may fall the other way in single tokens: the norm over all is what holds.
  EXPECT_LT(test::relative_norm(model->logits(at::cat(hidden)), test::full_logits(*model, tokens)), 5e-2);
}

TEST(CachedForward, SequencesOfOneForwardDoNotTouchEachOther) {
  const ModelConfig config = test::tiny_config();
  const auto model = test::tiny_model(config);
  const auto a = test::random_tokens(40, config.vocab_size, 1), b = test::random_tokens(70, config.vocab_size, 2);
  CachedForward together(*model, 8), alone(*model, 8);
  const int64_t a_together = together.cache().open(), b_together = together.cache().open(),
                a_alone = alone.cache().open();
  const auto both = [&](size_t a_begin, size_t a_count, size_t b_begin, size_t b_count) {
    const std::vector<Piece> pieces{{a_together, std::span(a).subspan(a_begin, a_count)},
                                    {b_together, std::span(b).subspan(b_begin, b_count)}};
    const Piece single{a_alone, std::span(a).subspan(a_begin, a_count)};
    const at::Tensor logits = together.next_logits(pieces);
    EXPECT_TRUE(test::same_tensor(logits.slice(0, 0, 1), alone.next_logits(std::span(&single, 1))));
    return logits;
  };
  both(0, 30, 0, 50);
  both(30, 5, 50, 19);
  const at::Tensor last = both(35, 1, 69, 1);
  EXPECT_TRUE(test::close(last[1], test::full_logits(*model, b)[69], 1e-5));
}

TEST(CachedForward, RefusesWhatTheModelCannotHold) {
  const ModelConfig config = test::tiny_config();
  const auto model = test::tiny_model(config);
  CachedForward cached(*model);
  const int64_t sequence = cached.cache().open();
  const std::vector<int32_t> too_many(201, 1), unknown{53}, negative{-1};
  for (const auto* tokens : {&too_many, &unknown, &negative}) {
    const Piece piece{sequence, *tokens};
    EXPECT_THROW(cached.forward(std::span(&piece, 1)), UserError);
    EXPECT_EQ(cached.cache().num_tokens(sequence), 0);
  }
}

}  // namespace
}  // namespace dslite
