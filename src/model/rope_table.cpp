#include "src/model/rope_table.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "src/base/parallel_for.h"

namespace dslite {
namespace {

double mscale(double factor, double m) { return factor <= 1 ? 1 : 0.1 * m * std::log(factor) + 1; }

// The pair index at which a rotation turns `rotations` times within the original context.
double correction_dim(double rotations, double dim, const ModelConfig& config) {
  const double length = static_cast<double>(config.rope_scaling->original_max_position_embeddings);
  return dim * std::log(length / (rotations * 2 * std::numbers::pi)) / (2 * std::log(config.rope_theta));
}

// [R / 2] fp32: below `low` the frequency stays, above `high` it is divided by the factor, between them a ramp.
std::vector<float> inverse_frequencies(const ModelConfig& config) {
  const int64_t dim = config.qk_rope_head_dim;
  std::vector<float> out(dim / 2);
  double low = 0, high = 0;
  if (config.rope_scaling) {
    low = std::max(std::floor(correction_dim(config.rope_scaling->beta_fast, dim, config)), 0.0);
    high =
        std::min(std::ceil(correction_dim(config.rope_scaling->beta_slow, dim, config)), static_cast<double>(dim - 1));
    if (low == high) high += 0.001;
  }
  for (int64_t i = 0; i < dim / 2; ++i) {
    const float power =
        std::pow(static_cast<float>(config.rope_theta), static_cast<float>(2 * i) / static_cast<float>(dim));
    const float plain = 1.0f / power;
    if (!config.rope_scaling) {
      out[i] = plain;
      continue;
    }
    const float scaled = 1.0f / (static_cast<float>(config.rope_scaling->factor) * power);
    const float ramp =
        std::clamp((static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f, 1.0f);
    const float keep = 1.0f - ramp;
    out[i] = scaled * (1.0f - keep) + plain * keep;
  }
  return out;
}

}  // namespace

RopeTable make_rope_table(const ModelConfig& config) {
  const std::vector<float> frequencies = inverse_frequencies(config);
  const auto pairs = static_cast<int64_t>(frequencies.size());
  const int64_t positions = config.max_position_embeddings;
  double multiplier = 1;
  if (config.rope_scaling)
    multiplier = mscale(config.rope_scaling->factor, config.rope_scaling->mscale) /
                 mscale(config.rope_scaling->factor, config.rope_scaling->mscale_all_dim);
  RopeTable table{.cos = at::empty({positions, pairs}, at::kFloat), .sin = at::empty({positions, pairs}, at::kFloat)};
  float *cos = table.cos.data_ptr<float>(), *sin = table.sin.data_ptr<float>();
  constexpr int64_t kBlock = 256;
  parallel_for((positions + kBlock - 1) / kBlock, [&](int64_t block) {
    for (int64_t p = block * kBlock; p < std::min(positions, (block + 1) * kBlock); ++p) {
      for (int64_t i = 0; i < pairs; ++i) {
        const double angle = static_cast<float>(p) * frequencies[i];
        cos[p * pairs + i] = static_cast<float>(std::cos(angle)) * static_cast<float>(multiplier);
        sin[p * pairs + i] = static_cast<float>(std::sin(angle)) * static_cast<float>(multiplier);
      }
    }
  });
  return table;
}

}  // namespace dslite
