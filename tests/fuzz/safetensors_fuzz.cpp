// Model weights and checkpoints as untrusted files: a safetensors file, a model folder, a manifest.
#include "src/checkpoint/safetensors.h"

#include <cstring>
#include <filesystem>
#include <numeric>

#include "src/base/files.h"
#include "src/base/hash.h"
#include "src/checkpoint/manifest.h"
#include "src/checkpoint/run_checkpoint.h"
#include "src/model_folder/model_folder.h"
#include "tests/fuzz/readers.h"

namespace dslite::fuzz {
namespace {

constexpr const char* kGolden = "tests/golden/model_folder/sharded/";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr const char* kShards[] = {"model-00001-of-00004.safetensors", "model-00002-of-00004.safetensors",
                                   "model-00003-of-00004.safetensors", "model-00004-of-00004.safetensors"};

std::string golden(const std::string& name) { return repository_file(kGolden + name); }

// The sound folder, written once; inputs replace one file and put it back.
const std::string& sound_folder() {
  static const std::string folder = [] {
    std::filesystem::create_directory(scratch_folder() + "/model");
    for (const char* name : kShards) scratch_file(std::string("model/") + name, golden(name));
    for (const char* name : {"config.json", kIndex}) scratch_file(std::string("model/") + name, golden(name));
    return scratch_folder() + "/model";
  }();
  return folder;
}

void open_folder(const std::string& folder) {
  std::vector<std::string> warnings;
  const ModelConfig config = read_model_config(folder + "/config.json", &warnings);
  parse_model_config(model_config_json(config), "again", nullptr);
  const WeightSource source({.model_folder = folder, .checkpoint = std::nullopt}, config);
  std::vector<std::byte> bytes;
  for (const TensorSpec& spec : tensor_specs(config)) {
    const TensorType type = source.type(spec.name);
    bytes.resize(static_cast<size_t>(spec.num_elements() * tensor_type_bytes(type)));
    source.read(spec.name, type, bytes);
  }
}

// A checkpoint of two tensors, one of them in two slices; its folder and manifest as JSON.
struct SoundCheckpoint {
  std::string folder;
  Json manifest;
};
const SoundCheckpoint& sound_checkpoint() {
  static const SoundCheckpoint sound = [] {
    std::vector<std::byte> bytes(48);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
    const std::span<const std::byte> all(bytes);
    const std::vector<TensorSlice> slices = {{"a", TensorType::kF32, {2, 4}, 0, 8, all.first(32)},
                                             {"b", TensorType::kBF16, {8}, 0, 3, all.subspan(32, 6)},
                                             {"b", TensorType::kBF16, {8}, 3, 8, all.subspan(38, 10)}};
    const std::string folder = save_checkpoint(scratch_folder() + "/run", 7, slices, Json{{"epoch", 1}}, {}).folder;
    return SoundCheckpoint{folder, read_json_file(folder + "/" + kManifestName)};
  }();
  return sound;
}

// The checksum that fits, so that what stands behind it is looked at.
std::string with_checksum(std::string_view text) {
  try {
    Json json = parse_json(text, "manifest");
    if (!json.is_object()) return std::string(text);
    json.erase("checksum");
    json["checksum"] = sha256_hex(canonical_json(json));
    return json.dump();
  } catch (const UserError&) {
    return std::string(text);
  }
}

}  // namespace

void safetensors(std::string_view input) {
  const std::string path = scratch_file("a.safetensors", input);
  accepts(path, [&] {
    const SafetensorsFile file(path);
    size_t covered = 0;
    unsigned sum = 0;
    for (const TensorInfo& info : file.tensors()) {
      const auto bytes = file.bytes(info);
      DSLITE_FUZZ_CHECK(static_cast<int64_t>(bytes.size()) == info.num_elements() * tensor_type_bytes(info.type));
      DSLITE_FUZZ_CHECK(file.find(info.name) == &info);
      for (const std::byte byte : bytes) sum += std::to_integer<unsigned>(byte);
      covered += bytes.size();
    }
    DSLITE_FUZZ_CHECK(covered < input.size() && sum <= 255 * covered);
    file.check_unchanged();
  });
}

void model_folder(std::string_view input) {
  const unsigned kind = take_byte(input) % 3;
  const std::string& folder = sound_folder();
  const std::string name = kind == 0 ? "config.json" : kind == 1 ? kIndex : kShards[3];
  scratch_file("model/" + name, input);
  accepts(folder, [&] { open_folder(folder); });
  static const std::string kept[] = {golden("config.json"), golden(kIndex), golden(kShards[3])};
  scratch_file("model/" + name, kept[kind]);
}

void manifest(std::string_view input) {
  const unsigned kind = take_byte(input);
  const SoundCheckpoint& sound = sound_checkpoint();
  const std::string path = sound.folder + "/" + kManifestName;
  scratch_file(std::filesystem::relative(path, scratch_folder()), kind & 1 ? with_checksum(input) : std::string(input));
  accepts(sound.folder, [&] {
    const Manifest read = read_manifest(path);
    scratch_file("again.json", manifest_text(read));
    DSLITE_FUZZ_CHECK(manifest_text(read_manifest(scratch_folder() + "/again.json")) == manifest_text(read));
    const Checkpoint checkpoint(sound.folder);
    checkpoint.verify_tensors();
    for (const TensorInfo& info : checkpoint.tensors()) {
      std::vector<std::byte> bytes(static_cast<size_t>(info.num_elements() * tensor_type_bytes(info.type)));
      checkpoint.read(info.name, 0, info.num_elements(), bytes);
    }
  });
}

}  // namespace dslite::fuzz
