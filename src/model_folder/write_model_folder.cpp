// Writes a model folder aside, verifies it, renames it.
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <filesystem>

#include "src/base/error.h"
#include "src/base/files.h"
#include "src/base/progress.h"
#include "src/model_folder/model_folder.h"
#include "src/model_folder/tokenizer_export.h"

namespace dslite {
namespace {

namespace fs = std::filesystem;

struct Shard {
  std::string name;
  std::vector<const TensorSpec*> tensors;
};

// In order, as many tensors a file as fit; a tensor above the limit has a file of its own.
std::vector<Shard> plan_shards(const std::vector<TensorSpec>& specs, const FolderContents& contents) {
  std::vector<Shard> shards(1);
  int64_t bytes = 0;
  for (const TensorSpec& spec : specs) {
    const int64_t size = spec.num_elements() * tensor_type_bytes(contents.type(spec));
    if (bytes > 0 && bytes + size > contents.max_shard_bytes) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().tensors.push_back(&spec);
    bytes += size;
  }
  for (size_t i = 0; i < shards.size(); ++i) {
    shards[i].name = shards.size() == 1 ? "model.safetensors"
                                        : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
  }
  return shards;
}

// Holds one tensor at a time.
void write_shard(const std::string& folder, const Shard& shard, const FolderContents& contents, int64_t& done_bytes,
                 Progress* progress) {
  std::vector<TensorInfo> infos;
  for (const TensorSpec* spec : shard.tensors)
    infos.push_back({.name = spec->name, .type = contents.type(*spec), .shape = spec->shape});
  SafetensorsWriter writer(folder + "/" + shard.name, std::move(infos), {{"format", "pt"}});
  std::vector<std::byte> bytes;
  for (size_t i = 0; i < shard.tensors.size(); ++i) {
    const TensorInfo& info = writer.tensors()[i];
    bytes.resize(static_cast<size_t>(info.end - info.begin));
    contents.read(*shard.tensors[i], bytes);
    writer.write(bytes);
    done_bytes += info.end - info.begin;
    if (progress) progress->update(done_bytes);
  }
  writer.finish();
}

void write_text_file(const std::string& path, const std::string& text) {
  DurableFile file(path);
  file.write(text);
  file.sync_and_close();
}

void write_index(const std::string& folder, const std::vector<Shard>& shards, int64_t total_bytes) {
  Json::object_t weight_map;
  for (const Shard& shard : shards) {
    for (const TensorSpec* spec : shard.tensors) weight_map.emplace_back(spec->name, shard.name);
  }
  const Json json = {{"metadata", {{"total_size", total_bytes}}}, {"weight_map", std::move(weight_map)}};
  write_text_file(folder + "/model.safetensors.index.json", json.dump(2) + "\n");
}

// What other programs compute differently from us.
void warn_of_differences(const ModelConfig& config) {
  constexpr double kLatentNormEps = 1e-6;
  if (config.rms_norm_eps != kLatentNormEps) {
    spdlog::warn("rms_norm_eps is {}: the norms of q_a and kv_a use 1e-6 always, some readers use {} there",
                 config.rms_norm_eps, config.rms_norm_eps);
  }
  if (config.norm_topk_prob) spdlog::warn("norm_topk_prob is true: transformers ignores it");
  if (config.n_routed_experts && config.moe_layer_freq != 1)
    spdlog::warn("moe_layer_freq is {}: transformers ignores it", config.moe_layer_freq);
  if (config.n_routed_experts && config.n_shared_experts == 0)
    spdlog::warn("the model has no shared experts: transformers cannot read it");
}

void write_contents(const std::string& folder, const FolderContents& contents) {
  const std::vector<TensorSpec> specs = tensor_specs(*contents.config);
  const std::vector<Shard> shards = plan_shards(specs, contents);
  int64_t total = 0, done = 0;
  for (const TensorSpec& spec : specs) total += spec.num_elements() * tensor_type_bytes(contents.type(spec));
  if (const int64_t free = free_space_bytes(folder); free < total)
    fail_work("{}: the model needs {} bytes, {} are free", folder, total, free);
  constexpr int64_t kWorthALine = int64_t{1} << 30;
  std::optional<Progress> progress;
  if (total > kWorthALine) progress.emplace("writing", total, "bytes");
  for (const Shard& shard : shards) write_shard(folder, shard, contents, done, progress ? &*progress : nullptr);
  if (shards.size() > 1) write_index(folder, shards, total);
  ModelConfig config = *contents.config;
  config.torch_dtype = contents.type(specs.front()) == TensorType::kF32 ? "float32" : "bfloat16";
  write_text_file(folder + "/config.json", model_config_json(config).dump(2) + "\n");
  export_generation_config(contents.generation_config, folder, config);
  if (!contents.tokenizer_folder.empty()) export_tokenizer(contents.tokenizer_folder, folder);
  sync_directory(folder);
}

}  // namespace

void write_model_folder(const std::string& output, const FolderContents& contents) {
  const fs::path path = fs::path(output).lexically_normal();
  const std::string target = (path.has_filename() ? path : path.parent_path()).string();
  if (fs::exists(target) && !(fs::is_directory(target) && fs::is_empty(target))) {
    fail_input("{}: found something there, expected a new or an empty folder", output);
  }
  const std::string parent = fs::path(target).parent_path().string();
  if (!parent.empty()) make_directories(parent);
  warn_of_differences(*contents.config);
  const std::string temporary = fmt::format("{}.tmp-{}", target, ::getpid());
  std::error_code error;
  if (!fs::create_directory(temporary, error))
    fail_work("cannot make folder {}: {}", temporary, error ? error.message() : "it exists");
  try {
    write_contents(temporary, contents);
    if (const auto problems = verify_model_folder(temporary); !problems.empty()) {
      fail_work("{}: what was written is not sound: {}", output, problems.front());
    }
    rename_durably(temporary, target);
  } catch (...) {
    fs::remove_all(temporary, error);
    throw;
  }
}

}  // namespace dslite
