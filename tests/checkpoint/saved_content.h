// What the tests of checkpoints save, and how they look at it.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "src/base/error.h"
#include "src/checkpoint/run_checkpoint.h"

namespace dslite {

namespace fs = std::filesystem;
// Tensors with random bits, as a bf16 weight and its optimizer state are saved.
struct Content {
  explicit Content(uint64_t seed) {
    std::mt19937_64 random(seed);
    add("model.norm.weight", TensorType::kBF16, {7}, random);
    add("model.layers.0.mlp.down_proj.weight", TensorType::kBF16, {16, 9}, random);
    add("model.layers.0.mlp.down_proj.weight.low", TensorType::kI16, {16, 9}, random);
    add("model.layers.0.mlp.down_proj.weight.exp_avg", TensorType::kF32, {16, 9}, random);
    add("scalar", TensorType::kF32, {}, random);
    add("empty", TensorType::kF32, {0, 3}, random);
    state = {{"seed", seed},
             {"position", {{"epoch", 1}, {"sample", 123456789012345}}},
             {"loss", 0.1 + static_cast<double>(seed)}};
  }
  void add(const std::string& name, TensorType type, std::vector<int64_t> shape, std::mt19937_64& random) {
    TensorInfo info{.name = name, .type = type, .shape = std::move(shape)};
    std::vector<std::byte> data(static_cast<size_t>(info.num_elements() * tensor_type_bytes(type)));
    for (std::byte& b : data) b = static_cast<std::byte>(random());
    infos.push_back(info);
    bytes.push_back(std::move(data));
  }
  std::vector<TensorSlice> slices() const {
    std::vector<TensorSlice> out;
    for (size_t i = 0; i < infos.size(); ++i) {
      out.push_back({.name = infos[i].name,
                     .type = infos[i].type,
                     .shape = infos[i].shape,
                     .flat_begin = 0,
                     .flat_end = infos[i].num_elements(),
                     .bytes = bytes[i]});
    }
    return out;
  }
  void expect_in(const Checkpoint& checkpoint) const {
    EXPECT_EQ(checkpoint.state(), state);
    ASSERT_EQ(checkpoint.tensors().size(), infos.size());
    for (size_t i = 0; i < infos.size(); ++i) {
      const TensorInfo info = checkpoint.info(infos[i].name);
      EXPECT_EQ(info.shape, infos[i].shape);
      EXPECT_EQ(info.type, infos[i].type);
      std::vector<std::byte> read(bytes[i].size());
      checkpoint.read(infos[i].name, 0, info.num_elements(), read);
      EXPECT_EQ(read, bytes[i]) << infos[i].name;
    }
  }
  std::vector<TensorInfo> infos;
  std::vector<std::vector<std::byte>> bytes;
  Json state;
};

inline const SavePolicy kSmallFiles{.keep = 2, .keep_steps = {}, .max_file_bytes = 300};  // several files a checkpoint

inline void save(const std::string& run, int64_t step, const SavePolicy& policy = kSmallFiles) {
  const Content content(static_cast<uint64_t>(step));
  save_checkpoint(run, step, content.slices(), content.state, policy);
}
inline std::vector<int64_t> steps_of(const std::string& run) {
  std::vector<int64_t> steps;
  for (const CheckpointInfo& info : list_checkpoints(run)) steps.push_back(info.step);
  return steps;
}
inline std::string verdict(const std::string& folder) {
  try {
    Checkpoint checkpoint(folder);
    return "sound";
  } catch (const UserError& error) {
    return error.what();
  }
}
inline std::vector<std::string> files_of(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path().string());
  std::ranges::sort(files);
  return files;
}

}  // namespace dslite
