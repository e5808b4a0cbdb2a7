// Properties of the learning-rate schedules over many configurations, and the report's own schedule.
#include "src/optim/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "src/base/error.h"
#include "src/base/random.h"

namespace dslite {
namespace {

constexpr ScheduleKind kKinds[] = {ScheduleKind::kConstant, ScheduleKind::kCosine, ScheduleKind::kWarmupStepDecay,
                                   ScheduleKind::kWarmupStableDecay};

TEST(Schedule, PropertiesOfEveryKind) {
  const RandomStream random(7, RandomPurpose::kTest);
  for (int64_t trial = 0; trial < 400; ++trial) {
    const auto draw = [&, n = trial * 16](int64_t i, int64_t bound) {
      return static_cast<int64_t>(random.below(n + i, bound));
    };
    const int64_t steps = 1 + draw(0, 300), tokens_per_step = 1 + draw(1, 100000);
    const ScheduleConfig config{.kind = kKinds[trial % 4],
                                .learning_rate = 3e-4,
                                .warmup_steps = draw(2, 3) == 0 ? 0 : draw(3, steps + 20),
                                .decay_at = {0.5, 0.8},
                                .min_learning_rate_ratio = 0.1 * static_cast<double>(draw(4, 11)),
                                .stable_until = 0.1 * static_cast<double>(draw(5, 11))};
    const auto rate = [&](int64_t step) {
      return learning_rate(config, step, tokens_per_step, steps * tokens_per_step);
    };
    for (int64_t step = 1; step <= steps + 3; ++step) {  // a run may go a little over its tokens
      ASSERT_TRUE(std::isfinite(rate(step)));
      ASSERT_GE(rate(step), 0);
      ASSERT_LE(rate(step), config.learning_rate * (1 + 1e-12));
      if (step > config.warmup_steps && step > 1) {
        ASSERT_LE(rate(step), (step == config.warmup_steps + 1 ? config.learning_rate : rate(step - 1)) * (1 + 1e-12))
            << "a rate rises after the warm-up: trial " << trial << " step " << step;
      }
    }
    if (config.warmup_steps > 1 && config.kind != ScheduleKind::kWarmupStableDecay) {
      EXPECT_DOUBLE_EQ(rate(1), config.learning_rate / static_cast<double>(config.warmup_steps));
    }
    // The rate is a function of fractions: twice the tokens a step and in all is the same schedule.
    EXPECT_DOUBLE_EQ(rate(steps), learning_rate(config, steps, 2 * tokens_per_step, 2 * steps * tokens_per_step));
  }
}

TEST(Schedule,
     TheReportsSchedule) {  // arXiv:2405.04434, Appendix B: 2,000 steps of warm-up, x 0.316 after 80 % and 90 %
  const ScheduleConfig config{.learning_rate = 4.2e-4, .warmup_steps = 2000, .decay_at = {0.8, 0.9}};
  const int64_t batch = 4608 * 4096, steps = 10000, total = steps * batch;
  const auto rate = [&](int64_t step) { return learning_rate(config, step, batch, total); };
  EXPECT_DOUBLE_EQ(rate(1), 4.2e-4 / 2000);
  EXPECT_DOUBLE_EQ(rate(1000), 2.1e-4);
  EXPECT_DOUBLE_EQ(rate(2000), 4.2e-4);
  EXPECT_DOUBLE_EQ(rate(8000), 4.2e-4);  // 79.99 % are seen
  EXPECT_DOUBLE_EQ(rate(8001), 4.2e-4 * 0.316);
  EXPECT_DOUBLE_EQ(rate(9000), 4.2e-4 * 0.316);
  EXPECT_DOUBLE_EQ(rate(9001), 4.2e-4 * 0.316 * 0.316);
  EXPECT_DOUBLE_EQ(rate(10000), 4.2e-4 * 0.316 * 0.316);
}

TEST(Schedule, CosineAndLinearDecayAreContinuousAndEndAtTheRatio) {
  constexpr int64_t kSteps = 100000;
  for (const ScheduleKind kind : {ScheduleKind::kCosine, ScheduleKind::kWarmupStableDecay}) {
    const ScheduleConfig config{.kind = kind,
                                .learning_rate = 1,
                                .warmup_steps = 1000,
                                .decay_at = {},
                                .min_learning_rate_ratio = 0.1,
                                .stable_until = 0.9};
    const auto rate = [&](int64_t step) { return learning_rate(config, step, 4096, 4096 * kSteps); };
    EXPECT_EQ(rate(1000), 1);
    EXPECT_EQ(rate(1001), 1);
    for (int64_t step = 1; step < kSteps; ++step) ASSERT_LE(std::fabs(rate(step + 1) - rate(step)), 1.001e-3) << step;
    EXPECT_NEAR(rate(kSteps + 1), 0.1, 1e-12);
    EXPECT_NEAR(rate(kSteps), 0.1, 1e-3);
    EXPECT_NEAR(rate(kSteps + 50), 0.1, 1e-12);  // past the end it stays
  }
  const ScheduleConfig stable{.kind = ScheduleKind::kWarmupStableDecay, .learning_rate = 1, .decay_at = {}};
  EXPECT_EQ(learning_rate(stable, 91, 1, 100), 1);  // 90 of 100 tokens are seen
  EXPECT_NEAR(learning_rate(stable, 96, 1, 100), 0.55, 1e-12);
}

TEST(Schedule, NothingToDivideBy) {
  for (const ScheduleKind kind : kKinds) {
    for (const int64_t total : {0, 1, 4096}) {
      for (const int64_t warmup : {0, 1, 5}) {
        for (const double stable : {0.0, 1.0}) {
          const ScheduleConfig config{
              .kind = kind, .learning_rate = 1e-3, .warmup_steps = warmup, .decay_at = {0, 1}, .stable_until = stable};
          for (const int64_t step : {1, 2, 1000}) {
            const double rate = learning_rate(config, step, 4096, total);
            EXPECT_TRUE(std::isfinite(rate) && rate > 0 && rate <= 1e-3) << rate;
          }
        }
      }
    }
  }
}

TEST(Schedule, Names) {
  for (const ScheduleKind kind : kKinds) EXPECT_EQ(schedule_kind(schedule_kind_name(kind)), kind);
  try {
    schedule_kind("warmup_step_decy");
    FAIL();
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("did you mean \"warmup_step_decay\"?"));
  }
}

}  // namespace
}  // namespace dslite
