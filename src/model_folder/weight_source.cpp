// Weights by their per-expert names, from safetensors files or a checkpoint.
#include <c10/util/BFloat16.h>
#include <fmt/ranges.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include "src/base/error.h"
#include "src/base/json.h"
#include "src/checkpoint/run_checkpoint.h"
#include "src/model_folder/model_folder.h"

namespace dslite {
namespace {

namespace fs = std::filesystem;

// Where one tensor's bytes lie: all of a stored tensor, or one expert's part of a stacked one.
struct Place {
  const SafetensorsFile* file;
  const TensorInfo* stored;
  std::vector<int64_t> shape;
  int64_t begin_bytes, num_bytes;  // within the stored tensor
};
using Places = std::map<std::string, Place>;

std::string shape_text(const std::vector<int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::vector<std::string> shard_names(const std::string& folder, Json* weight_map) {
  const std::string single = folder + "/model.safetensors", index = single + ".index.json";
  if (fs::exists(single) && fs::exists(index))
    fail_input("{}: found both model.safetensors and model.safetensors.index.json, expected one of them", folder);
  if (fs::exists(single)) return {"model.safetensors"};
  if (!fs::exists(index)) fail_input("{}: found neither model.safetensors nor model.safetensors.index.json", folder);
  const Json json = read_json_file(index);
  *weight_map = json_member(json, "weight_map", index);
  if (!weight_map->is_object() || weight_map->empty())
    fail_input("{}: key \"weight_map\": expected an object of tensor names and file names", index);
  std::set<std::string> names;
  for (const auto& [tensor, file] : weight_map->items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    if (name.empty() || name.find('/') != std::string::npos || name.find("..") != std::string::npos ||
        !name.ends_with(".safetensors")) {
      fail_input("{}: tensor {}: found file {}, expected the plain name of a .safetensors file in the same folder",
                 index, shown(tensor), file.dump());
    }
    names.insert(name);
  }
  for (const std::string& name : names) {
    if (!fs::exists(folder + "/" + name)) fail_input("{}: the shard {} that it names does not exist", index, name);
  }
  return {names.begin(), names.end()};
}

// The index and the shards must name the same tensors, each in one file.
void check_weight_map(const std::string& folder, const std::map<std::string, std::string>& found,
                      const Json& weight_map) {
  const std::string index = folder + "/model.safetensors.index.json";
  std::set<std::string> listed;
  for (const auto& [tensor, file] : weight_map.items()) {
    const auto at = found.find(tensor);
    if (at == found.end()) fail_input("{}: tensor {} is in none of the shards", index, shown(tensor));
    if (at->second != file.get<std::string>())
      fail_input("{}: tensor {} is said to be in {}, found in {}", index, shown(tensor), file.get<std::string>(),
                 at->second);
    listed.insert(tensor);
  }
  for (const auto& [tensor, file] : found) {
    if (!listed.contains(tensor)) fail_input("{}: tensor {} of {} is missing in the index", index, shown(tensor), file);
  }
}

Place whole(const SafetensorsFile& file, const TensorInfo& tensor) {
  return {&file, &tensor, tensor.shape, 0, tensor.end - tensor.begin};
}

void add_place(const std::string& name, Place place, Places* places) {
  const auto [at, fresh] = places->emplace(name, std::move(place));
  if (!fresh) {
    fail_input("{}: tensor {} is there twice: by itself and in a stack of experts", at->second.file->path(),
               shown(name));
  }
}

// Splits `mlp.experts.gate_up_proj` [E, 2I, D] (gate rows first) and `mlp.experts.down_proj` [E, D, I] into per-expert
// tensors; false for any other name.
bool add_stacked(const SafetensorsFile& file, const TensorInfo& tensor, Places* places) {
  const std::string suffix_gate_up = ".mlp.experts.gate_up_proj", suffix_down = ".mlp.experts.down_proj";
  const bool gate_up = tensor.name.ends_with(suffix_gate_up), down = tensor.name.ends_with(suffix_down);
  if (!gate_up && !down) return false;
  if (tensor.shape.size() != 3 || (gate_up && tensor.shape[1] % 2 != 0)) {
    fail_input("{}: tensor {}: found shape {}, expected stacked experts of rank 3", file.path(), shown(tensor.name),
               shape_text(tensor.shape));
  }
  const std::string prefix = tensor.name.substr(0, tensor.name.rfind('.') + 1);
  const int64_t parts = gate_up ? 2 : 1, rows = tensor.shape[1] / parts, columns = tensor.shape[2];
  const int64_t part_bytes = rows * columns * tensor_type_bytes(tensor.type);
  for (int64_t expert = 0; expert < tensor.shape[0]; ++expert) {
    for (int64_t part = 0; part < parts; ++part) {
      const char* projection = down ? "down_proj" : part == 0 ? "gate_proj" : "up_proj";
      add_place(fmt::format("{}{}.{}.weight", prefix, expert, projection),
                {&file, &tensor, {rows, columns}, (expert * parts + part) * part_bytes, part_bytes}, places);
    }
  }
  return true;
}

void check_places(const Places& places, const ModelConfig& config, const std::string& folder) {
  std::vector<std::string> expected;
  for (const TensorSpec& spec : tensor_specs(config)) {
    expected.push_back(spec.name);
    const auto at = places.find(spec.name);
    if (at == places.end()) fail_input("{}: tensor \"{}\" is missing", folder, spec.name);
    const Place& place = at->second;
    if (place.shape != spec.shape) {
      fail_input("{}: tensor \"{}\": found shape {}, expected {} by config.json", place.file->path(), spec.name,
                 shape_text(place.shape), shape_text(spec.shape));
    }
    if (place.stored->type != TensorType::kF32 && place.stored->type != TensorType::kBF16) {
      fail_input("{}: tensor \"{}\": found dtype {}, expected F32 or BF16", place.file->path(), spec.name,
                 tensor_type_name(place.stored->type));
    }
  }
  if (places.size() == expected.size()) return;
  const std::set<std::string> known(expected.begin(), expected.end());
  for (const auto& [name, place] : places) {
    if (!known.contains(name))
      fail_input("{}: tensor {} does not belong to the model of config.json{}", place.file->path(), shown(name),
                 suggestion(name, expected));
  }
}

void convert(const std::byte* in, TensorType from, TensorType to, std::span<std::byte> out) {
  if (from == to) {
    std::memcpy(out.data(), in, out.size());
  } else if (to == TensorType::kF32) {
    const size_t count = out.size() / 4;
    for (size_t i = 0; i < count; ++i) {
      c10::BFloat16 narrow;
      std::memcpy(&narrow, in + 2 * i, 2);
      const auto value = static_cast<float>(narrow);
      std::memcpy(out.data() + 4 * i, &value, 4);
    }
  } else {
    const size_t count = out.size() / 2;
    for (size_t i = 0; i < count; ++i) {
      float value;
      std::memcpy(&value, in + 4 * i, 4);
      const c10::BFloat16 narrow(value);
      std::memcpy(out.data() + 2 * i, &narrow, 2);
    }
  }
}

}  // namespace

struct WeightSource::State {
  std::vector<std::unique_ptr<SafetensorsFile>> files;
  Places places;
  std::unique_ptr<Checkpoint> checkpoint;

  void open_folder(const std::string& folder, const ModelConfig& config);
  void open_checkpoint(const std::string& folder, const ModelConfig& config);
};

void WeightSource::State::open_folder(const std::string& folder, const ModelConfig& config) {
  Json weight_map;
  std::map<std::string, std::string> found;  // stored name -> file name
  for (const std::string& name : shard_names(folder, &weight_map)) {
    files.push_back(std::make_unique<SafetensorsFile>(folder + "/" + name));
    const SafetensorsFile& file = *files.back();
    for (const TensorInfo& tensor : file.tensors()) {
      if (const auto [at, fresh] = found.emplace(tensor.name, name); !fresh)
        fail_input("{}: tensor {} is in two shards: {} and {}", folder, shown(tensor.name), at->second, name);
      if (!add_stacked(file, tensor, &places)) add_place(tensor.name, whole(file, tensor), &places);
    }
  }
  if (!weight_map.is_null()) check_weight_map(folder, found, weight_map);
  check_places(places, config, folder);
}

void WeightSource::State::open_checkpoint(const std::string& folder, const ModelConfig& config) {
  checkpoint = std::make_unique<Checkpoint>(folder, /*hashes=*/false);  // read() checks each tensor's hash
  for (const TensorSpec& spec : tensor_specs(config)) {
    const TensorInfo info = checkpoint->info(spec.name);
    if (info.shape != spec.shape)
      fail_input("{}: tensor \"{}\": found shape {}, expected {} by config.json", folder, spec.name,
                 shape_text(info.shape), shape_text(spec.shape));
    if (info.type != TensorType::kF32 && info.type != TensorType::kBF16) {
      fail_input("{}: tensor \"{}\": found dtype {}, expected F32 or BF16", folder, spec.name,
                 tensor_type_name(info.type));
    }
  }
}

WeightSource::WeightSource(const ModelLocation& location, const ModelConfig& config)
    : state_(std::make_unique<State>()) {
  if (location.checkpoint) {
    state_->open_checkpoint(*location.checkpoint, config);
  } else {
    state_->open_folder(location.model_folder, config);
  }
}
WeightSource::~WeightSource() = default;

TensorType WeightSource::type(const std::string& name) const {
  if (state_->checkpoint) return state_->checkpoint->info(name).type;
  const auto at = state_->places.find(name);
  DSLITE_ASSERT(at != state_->places.end());
  return at->second.stored->type;
}

void WeightSource::read(const std::string& name, TensorType type, std::span<std::byte> out) const {
  if (state_->checkpoint) {
    const TensorInfo info = state_->checkpoint->info(name);
    DSLITE_ASSERT(static_cast<int64_t>(out.size()) == info.num_elements() * tensor_type_bytes(type));
    if (info.type == type) return state_->checkpoint->read(name, 0, info.num_elements(), out);
    std::vector<std::byte> stored(static_cast<size_t>(info.num_elements() * tensor_type_bytes(info.type)));
    state_->checkpoint->read(name, 0, info.num_elements(), stored);
    return convert(stored.data(), info.type, type, out);
  }
  const auto at = state_->places.find(name);
  DSLITE_ASSERT(at != state_->places.end());
  const Place& place = at->second;
  const auto bytes = place.file->bytes(*place.stored)
                         .subspan(static_cast<size_t>(place.begin_bytes), static_cast<size_t>(place.num_bytes));
  DSLITE_ASSERT(static_cast<int64_t>(out.size()) / tensor_type_bytes(type) ==
                place.num_bytes / tensor_type_bytes(place.stored->type));
  convert(bytes.data(), place.stored->type, type, out);
  place.file->release(bytes);
  place.file->check_unchanged();
}

}  // namespace dslite
