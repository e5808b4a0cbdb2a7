// An independent DeepSeek-V2 in fp64: one document, one head, one token's expert at a time, gradients by LibTorch's
// autograd. The oracle of the whole model.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "src/model/config.h"
#include "tests/support/tiny_models.h"

namespace dslite::test {

struct ReferenceLayer {
  std::vector<std::vector<int64_t>> chosen;  // [T][K] by falling probability
  std::vector<std::vector<double>> weights;  // [T][K]
  double balance_loss = 0;                   // sum over documents of T_d L_d / T
  double smallest_gap = 1;                   // between the last chosen and the first left out
};

struct ReferenceResult {
  at::Tensor logits;  // [T, V]
  double loss = 0;
  std::vector<ReferenceLayer> moe;
  std::map<std::string, at::Tensor> gradients;  // of loss + alpha * sum of balance losses; zeros where nothing arrives
};

// `weights`: fp64 by Hugging Face name.
ReferenceResult run_reference(const ModelConfig& config, const std::map<std::string, at::Tensor>& weights,
                              const std::vector<Document>& documents, double balance_alpha);

}  // namespace dslite::test
