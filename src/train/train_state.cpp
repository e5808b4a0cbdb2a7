// Save and restore.
#include "src/train/train_state.h"

#include <spdlog/spdlog.h>
#include <torch/headeronly/version.h>

#include "kernels/common/cpu.h"
#include "src/base/error.h"
#include "src/base/parallel_for.h"

namespace dslite {
namespace {

constexpr int64_t kStateFormat = 1;

struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

std::vector<NamedTensor> all_tensors(TrainState& state) {
  std::vector<NamedTensor> tensors;
  for (Parameter* parameter : state.model->parameters()) tensors.push_back({parameter->name, parameter->value});
  for (AdamW::State& one : state.optimizer.states()) {
    const std::string& name = one.parameter->name;
    if (one.low.defined()) tensors.push_back({name + ".low", one.low});
    tensors.push_back({name + ".exp_avg", one.exp_avg});
    tensors.push_back({name + ".exp_avg_sq", one.exp_avg_sq});
  }
  return tensors;
}

TensorType tensor_type(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return TensorType::kF32;
    case at::kBFloat16:
      return TensorType::kBF16;
    case at::kShort:
      return TensorType::kI16;
    default:
      DSLITE_ASSERT(!"a dtype that checkpoints do not hold");
      return TensorType::kF32;
  }
}

std::span<std::byte> bytes_of(const at::Tensor& tensor) {
  DSLITE_ASSERT(tensor.is_contiguous());
  return {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()};
}

Json environment() {
  return {{"threads", num_threads()},
          {"instruction_set", kernels::instruction_set_name(kernels::chosen_instruction_set())},
          {"libtorch", TORCH_VERSION},
          {"compiler", __VERSION__}};
}

}  // namespace

CheckpointInfo save_train_state(TrainState& state, const std::string& run_folder, const SavePolicy& policy) {
  std::vector<TensorSlice> slices;
  const std::vector<NamedTensor> tensors = all_tensors(state);
  for (const NamedTensor& named : tensors) {
    slices.push_back({.name = named.name,
                      .type = tensor_type(named.tensor),
                      .shape = named.tensor.sizes().vec(),
                      .flat_begin = 0,
                      .flat_end = named.tensor.numel(),
                      .bytes = bytes_of(named.tensor)});
  }
  const LoaderPosition position = state.loader->position();
  Json json = {{"format", kStateFormat},
               {"tokens", state.tokens},
               {"trained_tokens", state.trained_tokens},
               {"loader", {{"epoch", position.epoch}, {"next_sample", position.next_sample}}},
               {"best", {{"step", state.best.step}, {"loss", state.best.loss}}},
               {"expert_tokens", state.expert_tokens},
               {"environment", environment()}};
  return save_checkpoint(run_folder, state.step, slices, json, policy);
}

void restore_train_state(TrainState& state, const std::string& checkpoint_folder) {
  const Checkpoint checkpoint(checkpoint_folder);
  const Json& json = checkpoint.state();
  const std::string where = checkpoint_folder + "/manifest.json";
  if (const int64_t format = json_integer(json, "format", where); format != kStateFormat)
    fail_input("{}: found state format {}, expected {}", where, format, kStateFormat);
  for (const NamedTensor& named : all_tensors(state)) {
    const TensorInfo info = checkpoint.info(named.name);
    if (info.type != tensor_type(named.tensor) || info.shape != named.tensor.sizes().vec()) {
      fail_input("{}: tensor \"{}\": found another dtype or shape than the run's recipe gives it", checkpoint_folder,
                 named.name);
    }
    checkpoint.read(named.name, 0, named.tensor.numel(), bytes_of(named.tensor));
  }
  state.step = checkpoint.step();
  state.tokens = json_integer(json, "tokens", where);
  state.trained_tokens = json_integer(json, "trained_tokens", where);
  const Json& loader = json_member(json, "loader", where);
  state.loader->seek(
      {.epoch = json_integer(loader, "epoch", where), .next_sample = json_integer(loader, "next_sample", where)});
  const Json& best = json_member(json, "best", where);
  state.best = {.step = json_integer(best, "step", where), .loss = json_number(best, "loss", where)};
  state.expert_tokens = json_member(json, "expert_tokens", where).get<std::vector<std::vector<int64_t>>>();
  const Json now = environment();
  for (const auto& [key, value] : json_member(json, "environment", where).items()) {
    if (now.contains(key) && now[key] != value)
      spdlog::warn("{}: {} was {}, is {} now: the run goes on, but its bits may differ", checkpoint_folder, key,
                   value.dump(), now[key].dump());
  }
}

}  // namespace dslite
