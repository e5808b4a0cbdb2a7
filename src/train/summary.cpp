// Summary.
#include "src/train/summary.h"

#include <algorithm>

#include <fmt/format.h>

#include "src/base/memory.h"
#include "src/base/progress.h"

namespace dslite {

void RunSummary::add_step(double loss, int64_t step_tokens, double step_seconds, double step_data_wait_seconds) {
  if (num_steps == 0) first_loss = loss;
  last_loss = loss;
  ++num_steps;
  tokens += step_tokens;
  seconds += step_seconds;
  data_wait_seconds += step_data_wait_seconds;
}

Json RunSummary::json(const TrainState& state) const {
  Json json = {
      {"steps", state.step}, {"tokens", state.tokens}, {"trained_tokens", state.trained_tokens}, {"loss", last_loss}};
  if (validation) json["validation_loss"] = validation->loss;
  if (state.best.step > 0) json["best_validation"] = {{"step", state.best.step}, {"loss", state.best.loss}};
  json["expert_tokens"] = state.expert_tokens;
  json["timing"] = {{"seconds", seconds},
                    {"tokens_per_second", seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0},
                    {"data_wait_seconds", data_wait_seconds},
                    {"peak_resident_bytes", process_memory().peak_resident_bytes}};
  return json;
}

std::string RunSummary::text(const TrainState& state, const std::vector<int64_t>& moe_layers) const {
  std::string out = fmt::format("done: {} steps, {} tokens ({} trained), loss {:.4f} -> {:.4f}", state.step,
                                count_text(static_cast<double>(state.tokens)),
                                count_text(static_cast<double>(state.trained_tokens)), first_loss, last_loss);
  if (state.best.step > 0)
    out += fmt::format(", best validation loss {:.4f} at step {}", state.best.loss, state.best.step);
  out += fmt::format("\n      {} at {} tokens/s, ", duration_text(seconds),
                     count_text(seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0));
  if (data_wait_seconds > 0.01 * seconds)
    out += fmt::format("{:.1f} % of the time waiting for data, ", 100 * data_wait_seconds / seconds);
  out += fmt::format("peak memory {}\n", bytes_text(static_cast<double>(process_memory().peak_resident_bytes)));
  for (size_t i = 0; i < state.expert_tokens.size(); ++i) {
    const auto& counts = state.expert_tokens[i];
    const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
    const ExpertLoad load = expert_load(counts);
    out += fmt::format("      layer {:2d}: tokens per expert {} .. {}, load entropy {:.3f}, {} unused\n", moe_layers[i],
                       count_text(static_cast<double>(*least)), count_text(static_cast<double>(*most)), load.entropy,
                       load.unused);
  }
  return out;
}

}  // namespace dslite
