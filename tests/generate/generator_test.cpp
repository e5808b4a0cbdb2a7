// Replies: greedy is the argmax of the full forward, batches do not matter, turns reuse the cache, pages come back.
#include "src/generate/generator.h"

#include <gtest/gtest.h>

#include "src/base/error.h"
#include "src/base/parallel_for.h"
#include "tests/generate/tiny_model.h"

namespace dslite {
namespace {

class GeneratorTest : public ::testing::Test {
 protected:
  void SetUp() override { set_num_threads(1); }
  ModelConfig config = test::tiny_config(true);
  std::unique_ptr<DeepseekV2> model = test::tiny_model(config);
  std::vector<int32_t> prompt(int64_t count, uint64_t seed) const {
    return test::random_tokens(count, config.vocab_size, seed);
  }
  // Greedy by running the whole sequence through the training forward for each token.
  std::vector<int32_t> slow_greedy(std::vector<int32_t> tokens, int count) const {
    const size_t prompt_size = tokens.size();
    for (int i = 0; i < count; ++i) {
      const at::Tensor last = test::full_logits(*model, tokens)[static_cast<int64_t>(tokens.size()) - 1].contiguous();
      tokens.push_back(next_token({last.const_data_ptr<float>(), static_cast<size_t>(last.numel())}, {}, 0, 0));
    }
    return {tokens.begin() + static_cast<int64_t>(prompt_size), tokens.end()};
  }
};

TEST_F(GeneratorTest, GreedyIsTheArgmaxOfTheFullForward) {
  Generator generator(*model, {.prefill_tokens = 16, .page_tokens = 8});
  std::vector<GenerationRequest> requests;
  for (const int64_t length : {1, 2, 15, 16, 17, 33, 50}) requests.push_back({.prompt = prompt(length, length)});
  const auto replies = generator.complete(requests, {.max_new_tokens = 12});
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(replies[i].tokens, slow_greedy(requests[i].prompt, 12)) << requests[i].prompt.size();
    EXPECT_EQ(replies[i].finish, FinishReason::kLength);
  }
  EXPECT_EQ(generator.cache().num_used_pages(), 0);
}

TEST_F(GeneratorTest, AReplyDoesNotDependOnBatchThreadsOrOrder) {
  const GenerationOptions options{
      .sampling = {.temperature = 1.2, .top_p = 0.95, .seed = 5}, .max_new_tokens = 20, .eos_ids = {3}};
  std::vector<GenerationRequest> requests;
  for (uint64_t i = 0; i < 9; ++i)
    requests.push_back({.prompt = prompt(1 + static_cast<int64_t>(i * i) % 40, i), .sample = i});
  std::vector<Reply> expected;
  for (const GenerationRequest& request : requests) {
    Generator alone(*model, {.prefill_tokens = 16});
    expected.push_back(alone.complete(std::span(&request, 1), options).front());
  }
  for (const int64_t max_batch : {1, 2, 9}) {
    set_num_threads(max_batch == 9 ? 2 : 1);
    Generator generator(*model, {.max_batch = max_batch, .prefill_tokens = 16, .page_tokens = 4});
    std::vector<int> told(requests.size());
    const auto replies = generator.complete(requests, options, {}, [&](size_t i, const Reply& reply) {
      EXPECT_EQ(reply.tokens, expected[i].tokens);
      ++told[i];
    });
    EXPECT_EQ(told, std::vector<int>(requests.size(), 1));
    for (size_t i = 0; i < requests.size(); ++i) {
      EXPECT_EQ(replies[i].tokens, expected[i].tokens) << "batch " << max_batch << ", request " << i;
      EXPECT_EQ(replies[i].finish, expected[i].finish);
    }
  }
}

TEST_F(GeneratorTest, StopsAtEosAtTheLimitAndWhenTold) {
  Generator generator(*model);
  const GenerationRequest request{.prompt = prompt(10, 1)};
  const auto free = generator.complete(std::span(&request, 1), {.max_new_tokens = 10}).front();
  ASSERT_EQ(free.tokens.size(), 10u);

  const int32_t eos = free.tokens[4];
  const auto first = std::find(free.tokens.begin(), free.tokens.end(), eos) - free.tokens.begin();
  const auto stopped = generator.complete(std::span(&request, 1), {.max_new_tokens = 10, .eos_ids = {99, eos}}).front();
  EXPECT_EQ(stopped.finish, FinishReason::kStop);
  EXPECT_EQ(stopped.tokens, std::vector<int32_t>(free.tokens.begin(), free.tokens.begin() + first + 1));

  std::vector<int32_t> seen;
  const auto cancelled = generator.complete(std::span(&request, 1), {.max_new_tokens = 10}, [&](size_t, int32_t token) {
    seen.push_back(token);
    return seen.size() < 3;
  });
  EXPECT_EQ(cancelled.front().finish, FinishReason::kCancelled);
  EXPECT_EQ(cancelled.front().tokens, seen);
  EXPECT_EQ(seen.size(), 3u);

  const GenerationRequest near_the_end{.prompt = prompt(198, 2)};  // max_position_embeddings = 200
  const auto full = generator.complete(std::span(&near_the_end, 1), {.max_new_tokens = 10}).front();
  EXPECT_EQ(full.finish, FinishReason::kLength);
  EXPECT_EQ(full.tokens.size(), 3u);  // the third needs no place of its own
  EXPECT_EQ(generator.cache().num_used_pages(), 0);
}

TEST_F(GeneratorTest, ATurnReusesTheCache) {
  Generator generator(*model, {.prefill_tokens = 16, .page_tokens = 8});
  const GenerationOptions options{.max_new_tokens = 8};
  {
    GenerationSession conversation(generator);
    std::vector<int32_t> history = prompt(20, 1);
    EXPECT_EQ(conversation.complete(history, options).tokens, slow_greedy(history, 8));
    EXPECT_EQ(conversation.num_reused_tokens(), 0);
    for (uint64_t turn = 2; turn < 5; ++turn) {
      const auto before = static_cast<int64_t>(history.size());
      const auto reply = slow_greedy(history, 8), question = prompt(9, turn);
      history.insert(history.end(), reply.begin(), reply.end());
      history.insert(history.end(), question.begin(), question.end());
      EXPECT_EQ(conversation.complete(history, options).tokens, slow_greedy(history, 8));
      EXPECT_EQ(conversation.num_reused_tokens(), before + 7);  // the reply's last token was never read
    }
    history.resize(25);  // another past: what is shared is kept
    history.push_back((history.back() + 1) % 53);
    EXPECT_EQ(conversation.complete(history, options).tokens, slow_greedy(history, 8));
    EXPECT_LE(conversation.num_reused_tokens(), 25);
    EXPECT_GE(conversation.num_reused_tokens(), 24);
    EXPECT_EQ(conversation.complete(history, options).tokens, slow_greedy(history, 8));  // the same again
    EXPECT_EQ(conversation.num_reused_tokens(), 25);
  }
  EXPECT_EQ(generator.cache().num_used_pages(), 0);
}

TEST_F(GeneratorTest, AStoppedTurnLeavesASoundConversation) {
  Generator generator(*model, {.prefill_tokens = 16, .page_tokens = 8});
  GenerationSession conversation(generator);
  std::vector<int32_t> history = prompt(60, 1);
  int asked = 0;
  const auto during_prefill = conversation.complete(history, {.max_new_tokens = 8}, {}, [&] { return ++asked > 2; });
  EXPECT_EQ(during_prefill.finish, FinishReason::kCancelled);
  EXPECT_TRUE(during_prefill.tokens.empty());
  asked = 0;
  const auto in_the_reply = conversation.complete(history, {.max_new_tokens = 8}, {}, [&] { return ++asked > 4; });
  EXPECT_EQ(conversation.num_reused_tokens(), 32);
  EXPECT_EQ(in_the_reply.finish, FinishReason::kCancelled);
  const auto expected = slow_greedy(history, 8);
  ASSERT_LT(in_the_reply.tokens.size(), 8u);
  EXPECT_TRUE(std::equal(in_the_reply.tokens.begin(), in_the_reply.tokens.end(), expected.begin()));
  EXPECT_EQ(conversation.complete(history, {.max_new_tokens = 8}).tokens, expected);
}

TEST_F(GeneratorTest, BadPromptsAreNamed) {
  Generator generator(*model);
  const std::vector<std::vector<int32_t>> bad{{}, prompt(201, 1), {1, 53}, {-1}};
  for (const auto& tokens : bad) {
    const std::vector<GenerationRequest> requests{{.prompt = prompt(3, 1)}, {.prompt = tokens}};
    try {
      generator.complete(requests, {});
      ADD_FAILURE() << "accepted";
    } catch (const UserError& error) {
      EXPECT_NE(std::string(error.what()).find("prompt 2"), std::string::npos) << error.what();
    }
  }
  EXPECT_EQ(generator.cache().num_used_pages(), 0);
}

TEST_F(GeneratorTest, DamagedWeightsEndTheWorkAndFreeThePages) {
  model->parameter("model.norm.weight").value.fill_(NAN);
  Generator generator(*model);
  const GenerationRequest request{.prompt = prompt(3, 1)};
  EXPECT_THROW(generator.complete(std::span(&request, 1), {}), Error);
  EXPECT_EQ(generator.cache().num_used_pages(), 0);
}

}  // namespace
}  // namespace dslite
