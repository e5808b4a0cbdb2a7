#include "src/train/probe.h"

#include <ATen/ops/cat.h>
#include <unistd.h>

#include <algorithm>

#include "src/base/error.h"
#include "src/checkpoint/safetensors.h"
#include "src/train/loss_and_gradient.h"

namespace dslite {
namespace {

constexpr int64_t kChunkTokens = 512;  // of logits in memory at once

GlobalBatch split(const ProbeInput& input, int64_t num_micro_batches) {
  const auto documents = static_cast<int64_t>(input.documents.size());
  if (num_micro_batches > documents)
    fail_input("--micro-batches {}: there are only {} documents to split", num_micro_batches, documents);
  GlobalBatch global;
  for (int64_t m = 0; m < num_micro_batches; ++m) {
    const int64_t begin = m * documents / num_micro_batches, end = (m + 1) * documents / num_micro_batches;
    Batch& batch = global.micro_batches.emplace_back();
    for (int64_t d = begin; d < end; ++d)
      append_whole_document(input.documents[d].ids, input.documents[d].loss_weight, batch);
    global.totals.num_tokens += static_cast<int64_t>(batch.tokens.size());
    for (const float weight : batch.loss_weight) {
      global.totals.target_weight += weight;
      global.totals.num_trained_tokens += weight > 0;
    }
  }
  return global;
}

// A cache of one page a document and layer.
std::vector<LatentCacheView> make_caches(const ModelConfig& config, at::ScalarType dtype, const at::Tensor& block_table,
                                         int64_t num_pages, int64_t page_tokens) {
  std::vector<LatentCacheView> caches(config.num_hidden_layers);
  for (LatentCacheView& cache : caches) {
    cache = {.pages = at::zeros({num_pages, page_tokens, config.kv_lora_rank + config.qk_rope_head_dim}, dtype),
             .block_table = block_table,
             .kv_lengths = {}};
  }
  return caches;
}

at::Tensor int_tensor(const std::vector<int32_t>& values) {
  at::Tensor out = at::empty({static_cast<int64_t>(values.size())}, at::kInt);
  std::copy(values.begin(), values.end(), out.data_ptr<int32_t>());
  return out;
}

// Hidden states [T, D] of one document after another, token by token: step t feeds token t of every document that has
// one.
at::Tensor decode_hidden(const DeepseekV2& model, const ProbeInput& input) {
  size_t longest = 0, tokens = 0;
  std::vector<int64_t> offsets;
  for (const auto& document : input.documents) {
    offsets.push_back(static_cast<int64_t>(tokens));
    longest = std::max(longest, document.ids.size());
    tokens += document.ids.size();
  }
  at::Tensor hidden_TD = at::empty({static_cast<int64_t>(tokens), model.config().hidden_size}, model.dtype());
  std::vector<LatentCacheView> caches = make_caches(
      model.config(), model.dtype(), {}, static_cast<int64_t>(input.documents.size()), static_cast<int64_t>(longest));
  for (size_t t = 0; t < longest; ++t) {
    std::vector<int32_t> ids, pages;
    for (size_t d = 0; d < input.documents.size(); ++d) {
      if (t >= input.documents[d].ids.size()) continue;
      ids.push_back(input.documents[d].ids[t]);
      pages.push_back(static_cast<int32_t>(d));
    }
    const auto active = static_cast<int64_t>(ids.size());
    Sequence sequence{.positions = int_tensor(std::vector<int32_t>(active, static_cast<int32_t>(t))),
                      .q_offsets = {},
                      .kv_offsets = {}};
    for (int64_t s = 0; s <= active; ++s) {
      sequence.q_offsets.push_back(s);
      sequence.kv_offsets.push_back(s * static_cast<int64_t>(t + 1));
    }
    for (LatentCacheView& cache : caches) {
      cache.block_table = int_tensor(pages).view({active, 1});
      cache.kv_lengths.assign(active, static_cast<int64_t>(t + 1));
    }
    const at::Tensor step = model.forward({.tokens = ids, .sequence = &sequence, .caches = &caches}, nullptr).hidden;
    for (int64_t s = 0; s < active; ++s)
      hidden_TD.select(0, offsets[pages[s]] + static_cast<int64_t>(t)).copy_(step.select(0, s));
  }
  return hidden_TD;
}

// What the output file holds, in its order.
struct Outputs {
  at::Tensor hidden_TD;
  float loss = 0;
  std::vector<float> balance_loss;
  std::vector<int64_t> layers;               // the MoE layers
  std::vector<at::Tensor> indices, weights;  // per MoE layer [T, K] int64, fp32
};

Outputs compute(DeepseekV2& model, const ProbeInput& input, const ProbeOptions& options) {
  const GlobalBatch global = split(input, options.num_micro_batches);
  std::vector<at::Tensor> hidden;
  std::vector<std::vector<at::Tensor>> indices, weights;  // [MoE layer][micro-batch]
  Outputs outputs;
  LossSum sum;
  model.begin_gradients();
  for (const Batch& batch : global.micro_batches) {
    const Sequence sequence = make_sequence(batch);
    DeepseekV2::Output output = model.forward({.tokens = batch.tokens, .sequence = &sequence}, nullptr);
    hidden.push_back(output.hidden);
    indices.resize(output.moe.size()), weights.resize(output.moe.size()), outputs.layers.resize(output.moe.size());
    for (size_t m = 0; m < output.moe.size(); ++m) {
      outputs.layers[m] = output.moe[m].layer;
      indices[m].push_back(output.moe[m].route.indices.to(at::kLong));
      weights[m].push_back(output.moe[m].weights);
    }
    const LossOptions loss_options{.balance_alpha = options.balance_alpha};
    sum += options.gradients ? loss_and_gradient(model, batch, global.totals, loss_options) : loss_only(model, batch);
  }
  outputs.hidden_TD = options.decode ? decode_hidden(model, input) : at::cat(hidden);
  outputs.loss = static_cast<float>(sum.target_weight > 0 ? sum.cross_entropy / sum.target_weight : 0);
  for (const double layer : sum.balance_loss)
    outputs.balance_loss.push_back(static_cast<float>(layer / static_cast<double>(sum.num_tokens)));
  for (const auto& layer : indices) outputs.indices.push_back(at::cat(layer));
  for (const auto& layer : weights) outputs.weights.push_back(at::cat(layer));
  return outputs;
}

template <class T>
std::span<const std::byte> bytes_of(const T* data, int64_t count) {
  return std::as_bytes(std::span(data, static_cast<size_t>(count)));
}
void write_tensor(SafetensorsWriter& writer, const at::Tensor& tensor) {
  const at::Tensor dense = tensor.contiguous();
  writer.write(bytes_of(static_cast<const std::byte*>(dense.const_data_ptr()), static_cast<int64_t>(dense.nbytes())));
}

std::vector<TensorInfo> file_contents(DeepseekV2& model, const Outputs& outputs, bool gradients) {
  std::vector<TensorInfo> infos;
  const auto add = [&](const std::string& name, TensorType type, std::vector<int64_t> shape) {
    infos.push_back({.name = name, .type = type, .shape = std::move(shape)});
  };
  add("logits", TensorType::kF32, {outputs.hidden_TD.size(0), model.config().vocab_size});
  add("loss", TensorType::kF32, {});
  add("balance_loss", TensorType::kF32, {static_cast<int64_t>(outputs.balance_loss.size())});
  for (size_t m = 0; m < outputs.layers.size(); ++m) {
    add(fmt::format("router.{}.indices", outputs.layers[m]), TensorType::kI64, outputs.indices[m].sizes().vec());
    add(fmt::format("router.{}.weights", outputs.layers[m]), TensorType::kF32, outputs.weights[m].sizes().vec());
  }
  for (const Parameter* parameter : model.parameters()) {
    if (gradients && parameter->trained())
      add("grad." + parameter->name, TensorType::kF32, parameter->grad.sizes().vec());
  }
  return infos;
}

void write_file(DeepseekV2& model, const Outputs& outputs, bool gradients, const std::string& path) {
  SafetensorsWriter writer(path, file_contents(model, outputs, gradients));
  for (int64_t begin = 0; begin < outputs.hidden_TD.size(0); begin += kChunkTokens) {
    write_tensor(writer, model.logits(outputs.hidden_TD.slice(0, begin, begin + kChunkTokens)));
  }
  writer.write(bytes_of(&outputs.loss, 1));
  writer.write(bytes_of(outputs.balance_loss.data(), static_cast<int64_t>(outputs.balance_loss.size())));
  for (size_t m = 0; m < outputs.layers.size(); ++m) {
    write_tensor(writer, outputs.indices[m]);
    write_tensor(writer, outputs.weights[m]);
  }
  for (const Parameter* parameter : model.parameters()) {
    if (!gradients || !parameter->trained()) continue;
    write_tensor(writer, parameter->grad_empty ? at::zeros_like(parameter->grad) : parameter->grad);
  }
  writer.finish();
}

}  // namespace

void write_probe(DeepseekV2& model, const ProbeInput& input, const ProbeOptions& options, const std::string& output) {
  const Outputs outputs = compute(model, input, options);
  const std::string unfinished = fmt::format("{}.tmp-{}", output, getpid());
  try {
    write_file(model, outputs, options.gradients, unfinished);
    rename_durably(unfinished, output);
  } catch (...) {
    unlink(unfinished.c_str());
    throw;
  }
}

}  // namespace dslite
