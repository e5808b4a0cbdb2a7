// Every number of a forward and backward that an independent implementation can check, for documents packed in a row.
// T tokens, V vocabulary, K chosen experts.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "src/model/deepseek_v2.h"

namespace dslite {

struct ProbeInput {
  struct Document {
    std::vector<int32_t> ids;
    std::vector<float> loss_weight;  // of each token as a label; the first is ignored
  };
  std::vector<Document> documents;
};
// {"documents": [[ids...], ...], "loss_weight": [[...], ...]}; weights are optional, 1 by default. UserError for an
// empty document, an id out of range, a negative or non-finite weight, another shape or an unknown key.
ProbeInput read_probe_input(const std::string& path, int64_t vocab_size);

struct ProbeOptions {
  bool gradients = false;         // also grad.NAME of every trained tensor
  double balance_alpha = 0;       // of the gradients: loss + alpha * sum of the balance losses
  int64_t num_micro_batches = 1;  // the documents in order, split evenly
  bool decode = false;            // logits token by token through the latent cache
};
// Writes `output`, a safetensors file (replaced when it exists): logits [T, V], loss [], balance_loss [MoE layers],
// router.L.indices int64 [T, K] and router.L.weights [T, K] of each MoE layer L, grad.NAME; fp32 unless said.
void write_probe(DeepseekV2& model, const ProbeInput& input, const ProbeOptions& options, const std::string& output);

}  // namespace dslite
