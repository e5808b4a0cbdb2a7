// The recipes that the project ships: each is read strictly, and the real ones say what the report says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "src/model/config.h"
#include "src/train/run_config.h"

namespace dslite {
namespace {

namespace fs = std::filesystem;

std::string shipped(const std::string& name) { return DSLITE_SOURCE_DIR "/recipes/" + name; }

TEST(Recipes, EveryOneIsValid) {
  int num_recipes = 0;
  for (const std::string folder : {"recipes", "experiments"}) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(DSLITE_SOURCE_DIR) / folder)) {
      if (entry.path().extension() != ".toml") continue;
      EXPECT_NO_THROW(read_recipe(entry.path().string(), {})) << entry.path();
      ++num_recipes;
    }
  }
  EXPECT_GE(num_recipes, 6);
}

TEST(Recipes, PretrainingOfV2LiteIsTheReports) {
  const RunConfig config = read_recipe(shipped("pretrain/v2-lite.toml"), {});
  EXPECT_EQ(run_length(config, 1).rows_per_step, 4608);
  EXPECT_EQ(run_length(config, 1).num_steps, 301997);  // 5.7T tokens in steps of 18.9M
  EXPECT_EQ(config.optimizer.learning_rate, 4.2e-4);
  EXPECT_THAT(config.optimizer.betas, testing::ElementsAre(0.9, 0.95));
  EXPECT_THAT(config.schedule.decay_at, testing::ElementsAre(0.8, 0.9));
  EXPECT_EQ(config.schedule.warmup_steps, 2000);
  std::vector<std::string> warnings;
  const ModelConfig model = read_model_config(shipped("pretrain/v2-lite.config.json"), &warnings);
  EXPECT_THAT(warnings, testing::IsEmpty());
  EXPECT_EQ(count_parameters(model).total, 15706484224);
  EXPECT_EQ(model.initializer_range, 0.006);
}

TEST(Recipes, TheTinyModelFitsItsTokenizer) {
  std::vector<std::string> warnings;
  const ModelConfig model = read_model_config(shipped("pretrain/tiny.config.json"), &warnings);
  EXPECT_THAT(warnings, testing::IsEmpty());
  EXPECT_EQ(model.bos_token_id, model.vocab_size - 2);  // as `dslite tokenizer train` numbers them
  EXPECT_EQ(model.eos_token_id, model.vocab_size - 1);
  const int64_t row = read_recipe(shipped("pretrain/tiny.toml"), {}).data.sequence_tokens;
  EXPECT_LE(row, model.max_position_embeddings);
}

}  // namespace
}  // namespace dslite
