// Recipes: defaults, the rules between keys, what may differ on continuing.
#include "src/train/run_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "src/base/error.h"
#include "src/base/files.h"

namespace dslite {
namespace {

using testing::HasSubstr;

const char kGood[] = R"([model]
path = "m"
[data]
train = ["a.h5"]
validation = ["v.h5"]
sequence_tokens = 64
[batch]
tokens_per_step = 512
tokens_per_micro_batch = 256
[optimizer]
learning_rate = 1e-3
[schedule]
warmup_steps = 10
[run]
folder = "r"
total_tokens = 51200
)";

class RunConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/run_config_" + std::to_string(::getpid()) + ".toml";
    write(kGood);
  }
  void TearDown() override { std::filesystem::remove(path_); }
  void write(const std::string& text) { std::ofstream(path_) << text; }
  RunConfig read(const std::vector<std::string>& overrides = {}) { return read_recipe(path_, overrides); }
  std::string problem(const std::vector<std::string>& overrides) {
    try {
      read(overrides);
    } catch (const UserError& error) {
      return error.what();
    }
    return "";
  }
  std::string path_;
};

TEST_F(RunConfigTest, DefaultsAreTheReports) {
  const RunConfig config = read();
  EXPECT_EQ(config.optimizer.betas, (std::vector<double>{0.9, 0.95}));
  EXPECT_EQ(config.optimizer.weight_decay, 0.1);
  EXPECT_EQ(config.optimizer.max_grad_norm, 1.0);
  EXPECT_EQ(config.schedule.kind, "warmup_step_decay");
  EXPECT_EQ(config.schedule.decay_at, (std::vector<double>{0.8, 0.9}));
  EXPECT_EQ(config.schedule.decay_factor, 0.316);
  const RunLength length = run_length(config, 1000);
  EXPECT_EQ(length.num_steps, 100);
  EXPECT_EQ(length.rows_per_step, 8);
  EXPECT_EQ(length.rows_per_micro_batch, 4);
}

TEST_F(RunConfigTest, StepsRoundUp) {
  EXPECT_EQ(run_length(read({"run.total_tokens=51201"}), 10).num_steps, 101);
  EXPECT_EQ(run_length(read({"run.total_tokens=0", "run.epochs=1.5"}), 10).num_steps,
            2);  // 15 rows of 64 in steps of 512
  EXPECT_EQ(run_length(read({"run.total_tokens=1"}), 10).num_steps, 1);
}

TEST_F(RunConfigTest, WrongRecipes) {
  const struct {
    std::vector<std::string> overrides;
    std::vector<const char*> parts;
  } cases[] = {
      {{"model.path="}, {"model.path", "text"}},
      {{"model.dtype=float16"}, {"model.dtype", "bfloat16"}},
      {{"model.dtpye=float32"}, {"did you mean \"model.dtype\""}},
      {{"modle.path=x"}, {"unknown key \"modle.path\"", "did you mean \"model.path\""}},
      {{"data.train=[]"}, {"data.train", "empty list"}},
      {{"data.train=3"}, {"data.train"}},
      {{"data.train=[{path=\"a\", weight=-1}]"}, {"data.train"}},
      {{"data.train=[{file=\"a\"}]"}, {"data.train", "unknown key \"file\""}},
      {{"data.sequence_tokens=0"}, {"data.sequence_tokens", "integer in 1"}},
      {{"data.sequence_tokens=64.0"}, {"data.sequence_tokens"}},
      {{"data.sequence_tokens=1e3"}, {"data.sequence_tokens"}},
      {{"data.sequence_length=64"}, {"unknown key \"data.sequence_length\""}},
      {{"batch.tokens_per_step=500"}, {"batch.tokens_per_step", "multiple of data.sequence_tokens = 64"}},
      {{"batch.tokens_per_step=0"}, {"batch.tokens_per_step"}},
      {{"batch.tokens_per_step=-512"}, {"batch.tokens_per_step"}},
      {{"batch.tokens_per_micro_batch=100"}, {"batch.tokens_per_micro_batch", "multiple"}},
      {{"batch.tokens_per_micro_batch=384"}, {"batch.tokens_per_micro_batch", "divides batch.tokens_per_step = 512"}},
      {{"batch.tokens_per_micro_batch=1024"}, {"batch.tokens_per_micro_batch"}},
      {{"batch.size=8"}, {"unknown key \"batch.size\""}},
      {{"optimizer.learning_rate=-1"}, {"optimizer.learning_rate", ">= 0"}},
      {{"optimizer.learning_rate=nan"}, {"optimizer.learning_rate"}},
      {{"optimizer.learning_rate=high"}, {"optimizer.learning_rate", "string \"high\""}},
      {{"optimizer.lr=1e-3"}, {"unknown key \"optimizer.lr\""}},
      {{"optimizer.betas=[0.9]"}, {"optimizer.betas", "found 1 values, expected 2"}},
      {{"optimizer.betas=[0.9, 1.0]"}, {"optimizer.betas"}},
      {{"optimizer.betas=0.9"}, {"optimizer.betas"}},
      {{"optimizer.eps=0"}, {"optimizer.eps", "> 0"}},
      {{"optimizer.weight_decay=-0.1"}, {"optimizer.weight_decay"}},
      {{"optimizer.max_grad_norm=-1"}, {"optimizer.max_grad_norm"}},
      {{"optimizer.moments=float16"}, {"optimizer.moments", "bfloat16"}},
      {{"optimizer.moments=bfloat16", "optimizer.betas=[0.9, 0.999]"}, {"optimizer.moments", "beta2 <= 0.99", "0.999"}},
      {{"schedule.kind=step"}, {"schedule.kind", "warmup_step_decay"}},
      {{"schedule.kind=cosin"}, {"did you mean \"cosine\""}},
      {{"schedule.warmup_steps=-1"}, {"schedule.warmup_steps"}},
      {{"schedule.decay_at=[0.9, 0.8]"}, {"schedule.decay_at", "ascend"}},
      {{"schedule.decay_at=[80, 90]"}, {"schedule.decay_at"}},
      {{"schedule.decay_factor=0"}, {"schedule.decay_factor"}},
      {{"schedule.kind=constant", "schedule.decay_at=[0.5]"}, {"schedule.decay_at", "would be ignored", "constant"}},
      {{"schedule.kind=cosine", "schedule.decay_factor=0.5"}, {"schedule.decay_factor", "would be ignored"}},
      {{"schedule.min_learning_rate_ratio=0.1"}, {"would be ignored", "warmup_step_decay"}},
      {{"schedule.kind=cosine", "schedule.stable_until=0.5"}, {"schedule.stable_until", "would be ignored"}},
      {{"loss.balance_alpha=-0.1"}, {"loss.balance_alpha"}},
      {{"loss.alpha=0.1"}, {"unknown key \"loss.alpha\""}},
      {{"memory.recompute=yes"}, {"memory.recompute", "feed_forward"}},
      {{"run.folder="}, {"run.folder"}},
      {{"run.seed=-1"}, {"run.seed"}},
      {{"run.seed=1.5"}, {"run.seed"}},
      {{"run.epochs=2"}, {"run.epochs", "conflicts with run.total_tokens"}},
      {{"run.total_tokens=0"}, {"run.total_tokens", "neither"}},
      {{"run.total_tokens=-5"}, {"run.total_tokens"}},
      {{"run.save_every=-1"}, {"run.save_every"}},
      {{"run.keep=1"}, {"run.keep", "integer >= 2"}},
      {{"run.keep_best=1"}, {"run.keep_best"}},
      {{"data.validation=[]", "run.validate_every=5"}, {"run.validate_every", "would be ignored"}},
      {{"data.validation=[]", "run.keep_best=true"}, {"run.keep_best", "would be ignored"}},
      {{"run.sample_every=5"}, {"run.sample_every", "sample_prompts is empty"}},
      {{"run.sample_prompts=hello"}, {"run.sample_prompts", "list of texts"}},
      {{"log.every=0"}, {"log.every"}},
      {{"log.tensorbord=true"}, {"did you mean \"log.tensorboard\""}},
      {{"run.save_evry=5"}, {"did you mean \"run.save_every\""}},
      {{"run"}, {"section.key=value"}},
      {{"run.seed"}, {"section.key=value"}},
  };
  for (const auto& c : cases) {
    const std::string message = problem(c.overrides);
    EXPECT_NE(message, "") << c.overrides.back();
    for (const char* part : c.parts) EXPECT_THAT(message, HasSubstr(part)) << c.overrides.back();
  }
}

TEST_F(RunConfigTest, EachRequiredKeyIsAskedFor) {
  const std::string good = kGood;
  for (const char* line : {"path = \"m\"\n", "train = [\"a.h5\"]\n", "sequence_tokens = 64\n",
                           "tokens_per_step = 512\n", "learning_rate = 1e-3\n", "folder = \"r\"\n"}) {
    std::string text = good;
    text.erase(text.find(line), std::string(line).size());
    write(text);
    EXPECT_THAT(problem({}), HasSubstr("is missing")) << line;
  }
}

TEST_F(RunConfigTest, ResolvedRecipeReadsBack) {
  const std::string resolved =
      resolved_toml(read({"schedule.kind=constant", "model.dtype=float32", "loss.balance_alpha=0.01"}));
  write(resolved);
  EXPECT_EQ(resolved_toml(read_resolved_recipe(path_)), resolved);
}

TEST_F(RunConfigTest, Continuation) {
  const RunConfig saved = read();
  const auto accepts = [&](const std::vector<std::string>& overrides, int64_t steps_done) {
    try {
      check_continuation(saved, read(overrides), "r/recipe.toml", steps_done, 1000);
    } catch (const UserError&) {
      return false;
    }
    return true;
  };
  EXPECT_TRUE(accepts({}, 50));
  EXPECT_TRUE(accepts({"run.save_every=7", "run.keep=3", "run.keep_best=false", "run.validate_every=9", "log.every=5",
                       "run.sample_every=3", "run.sample_prompts=[\"a\"]"},
                      50));
  for (const char* change :
       {"optimizer.learning_rate=2e-3", "data.sequence_tokens=128", "run.seed=1", "batch.tokens_per_micro_batch=512",
        "optimizer.moments=bfloat16", "schedule.warmup_steps=11", "loss.balance_alpha=0.5", "memory.recompute=layers",
        "data.train=[\"b.h5\"]", "model.path=n", "model.dtype=float32"}) {
    EXPECT_FALSE(accepts({change}, 0)) << change;
  }
  EXPECT_FALSE(accepts({"run.total_tokens=51199"}, 1));
  EXPECT_TRUE(accepts({"run.total_tokens=102400"}, 80));   // the first decay, at 80 %, comes after step 80
  EXPECT_FALSE(accepts({"run.total_tokens=102400"}, 81));  // step 81 has used the decayed rate
}

TEST(RecipesReadme, ListsTheKeysThatTheParserKnows) {
  RunConfig config;
  const std::string table = run_schema(&config)->markdown();
  EXPECT_THAT(read_file(DSLITE_SOURCE_DIR "/recipes/README.md"), HasSubstr(table))
      << "put this table into recipes/README.md:\n"
      << table;
}

}  // namespace
}  // namespace dslite
