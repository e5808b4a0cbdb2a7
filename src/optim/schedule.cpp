// rate = peak * warm-up(step) * shape(fraction of the tokens); the report's shape is warmup_step_decay
// (arXiv:2405.04434, sec. 3.1.2 and Appendix B).
#include "src/optim/schedule.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

#include "src/base/error.h"

namespace dslite {
namespace {

constexpr std::array<std::pair<ScheduleKind, const char*>, 4> kNames{
    {{ScheduleKind::kConstant, "constant"},
     {ScheduleKind::kCosine, "cosine"},
     {ScheduleKind::kWarmupStepDecay, "warmup_step_decay"},
     {ScheduleKind::kWarmupStableDecay, "warmup_stable_decay"}}};

// How far `fraction` lies between `begin` and the end of the tokens, in [0, 1].
double progress(double fraction, double begin) {
  return fraction <= begin ? 0.0 : std::min(1.0, (fraction - begin) / (1.0 - begin));
}

double cosine(const ScheduleConfig& config, double fraction, double warmup_end) {
  const double half = 0.5 * (1 + std::cos(std::numbers::pi * progress(fraction, warmup_end)));
  return config.min_learning_rate_ratio + (1 - config.min_learning_rate_ratio) * half;
}

double step_decay(const ScheduleConfig& config, double fraction) {
  const auto passed =
      std::count_if(config.decay_at.begin(), config.decay_at.end(), [fraction](double at) { return fraction >= at; });
  return std::pow(config.decay_factor, static_cast<double>(passed));
}

double stable_decay(const ScheduleConfig& config, double fraction) {
  return 1 - (1 - config.min_learning_rate_ratio) * progress(fraction, config.stable_until);
}

double shape(const ScheduleConfig& config, double fraction, double warmup_end) {
  switch (config.kind) {
    case ScheduleKind::kConstant:
      return 1;
    case ScheduleKind::kCosine:
      return cosine(config, fraction, warmup_end);
    case ScheduleKind::kWarmupStepDecay:
      return step_decay(config, fraction);
    case ScheduleKind::kWarmupStableDecay:
      return stable_decay(config, fraction);
  }
  return 1;
}

}  // namespace

double learning_rate(const ScheduleConfig& config, int64_t step, int64_t tokens_per_step, int64_t total_tokens) {
  DSLITE_ASSERT(step >= 1);
  const auto fraction = [&](int64_t steps_done) {
    return total_tokens <= 0 ? 0.0
                             : static_cast<double>(steps_done) * static_cast<double>(tokens_per_step) /
                                   static_cast<double>(total_tokens);
  };
  const double warmup =
      step < config.warmup_steps ? static_cast<double>(step) / static_cast<double>(config.warmup_steps) : 1.0;
  return config.learning_rate * warmup * shape(config, fraction(step - 1), fraction(config.warmup_steps));
}

ScheduleKind schedule_kind(const std::string& name) {
  std::vector<std::string> known;
  for (const auto& [kind, known_name] : kNames) {
    if (name == known_name) return kind;
    known.emplace_back(known_name);
  }
  fail_input("schedule kind: found {}, expected {}{}", shown(name), fmt::join(known, ", "), suggestion(name, known));
}

const char* schedule_kind_name(ScheduleKind kind) {
  for (const auto& [known, name] : kNames)
    if (known == kind) return name;
  return "";
}

}  // namespace dslite
