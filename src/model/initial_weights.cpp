#include "src/model/initial_weights.h"

#include <ATen/ops/from_blob.h>

#include <algorithm>

#include "src/base/hash.h"
#include "src/base/parallel_for.h"
#include "src/base/random.h"
#include "src/model/deepseek_v2.h"

namespace dslite {

void initial_values(const TensorSpec& tensor, double initializer_range, uint64_t seed, std::span<float> out) {
  if (tensor.name.ends_with("norm.weight")) {
    std::fill(out.begin(), out.end(), 1.0f);
    return;
  }
  const RandomStream random(seed, RandomPurpose::kInitialWeights, xxh3_64(tensor.name));
  constexpr size_t kBlock = 65536;
  parallel_for(static_cast<int64_t>((out.size() + kBlock - 1) / kBlock), [&](int64_t block) {
    for (size_t i = block * kBlock; i < std::min(out.size(), (block + 1) * kBlock); ++i)
      out[i] = static_cast<float>(initializer_range * random.normal(i));
  });
}

void initialize_weights(DeepseekV2& model, uint64_t seed) {
  std::vector<float> values;
  for (Parameter* parameter : model.parameters()) {
    values.resize(parameter->value.numel());
    initial_values({parameter->name, parameter->value.sizes().vec()}, model.config().initializer_range, seed, values);
    parameter->value.copy_(at::from_blob(values.data(), parameter->value.sizes(), at::kFloat));
  }
}

}  // namespace dslite
