// dslite inspect: what a model folder, checkpoint, dataset or config.json holds.
#include <filesystem>
#include <iostream>
#include <map>

#include "src/base/error.h"
#include "src/base/json.h"
#include "src/base/progress.h"
#include "src/checkpoint/run_checkpoint.h"
#include "src/cli/cli.h"
#include "src/cli/path_kind.h"
#include "src/data/token_store.h"
#include "src/model_folder/model_folder.h"

namespace dslite {
namespace {

Json parameters_json(const ModelConfig& config) {
  const ParameterCounts counts = count_parameters(config);
  return {{"total", counts.total},
          {"active", counts.active},
          {"embedding", counts.embedding},
          {"lm_head", counts.lm_head},
          {"attention", counts.attention},
          {"norms", counts.norms},
          {"dense_mlp", counts.dense_mlp},
          {"router", counts.router},
          {"shared_experts", counts.shared_experts},
          {"routed_experts", counts.routed_experts}};
}

Json tensor_json(const std::string& name, const std::vector<int64_t>& shape, TensorType type) {
  int64_t elements = 1;
  for (const int64_t size : shape) elements *= size;
  return {{"name", name},
          {"dtype", tensor_type_name(type)},
          {"shape", shape},
          {"bytes", elements * tensor_type_bytes(type)}};
}

void add_config(Json& out, const std::string& path) {
  const ModelConfig config = read_model_config(path, nullptr);
  out["parameters"] = parameters_json(config);
  out["config"] = model_config_json(config);
}

Json inspect_config(const std::string& path) {
  Json out = {{"kind", "config"}};
  add_config(out, path);
  const ModelConfig config = read_model_config(path, nullptr);
  const TensorType type = config.torch_dtype == "float32" ? TensorType::kF32 : TensorType::kBF16;
  for (const TensorSpec& spec : tensor_specs(config))
    out["tensors"].push_back(tensor_json(spec.name, spec.shape, type));
  return out;
}

Json inspect_model_folder(const std::string& path) {
  Json out = {{"kind", "model folder"}};
  add_config(out, path + "/config.json");
  const OpenModel open = open_model(path);
  const WeightSource source(open.location, open.config);
  for (const TensorSpec& spec : tensor_specs(open.config))
    out["tensors"].push_back(tensor_json(spec.name, spec.shape, source.type(spec.name)));
  out["tokenizer_tokens"] = open.tokenizer ? Json(open.tokenizer->vocab_size()) : Json(nullptr);
  out["chat_format"] = open.chat_format ? Json(open.chat_format->name()) : Json(nullptr);
  return out;
}

Json inspect_checkpoint(const std::string& path) {
  const Checkpoint checkpoint(path, /*hashes=*/false);
  Json out = {{"kind", "checkpoint"}, {"step", checkpoint.step()}, {"state", checkpoint.state()}};
  const auto config = std::filesystem::canonical(path).parent_path().parent_path() / "model/config.json";
  if (std::filesystem::exists(config)) add_config(out, config.string());
  for (const TensorInfo& info : checkpoint.tensors())
    out["tensors"].push_back(tensor_json(info.name, info.shape, info.type));
  return out;
}

Json inspect_path(const std::string& path) {
  switch (kind_of_path(path)) {
    case PathKind::kConfigFile:
      return inspect_config(path);
    case PathKind::kTokenFile:
      return describe_token_file(path);
    case PathKind::kModelFolder:
      return inspect_model_folder(path);
    case PathKind::kCheckpoint:
      return inspect_checkpoint(path);
    case PathKind::kRun:
      return inspect_checkpoint(locate_model(path).checkpoint.value());
  }
  return {};
}

// "model.layers.3.mlp" -> "model.layers.*.mlp"
std::string pattern_of(const std::string& name) {
  std::string out;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    const std::string part = name.substr(begin, end - begin);
    const bool number = !part.empty() && part.find_first_not_of("0123456789") == std::string::npos;
    out += (out.empty() ? "" : ".") + (number ? std::string("*") : part);
    begin = end + 1;
  }
  return out;
}

// One line for all tensors that differ only in the numbers of their names.
void print_tensors(const Json& tensors) {
  struct Group {
    int64_t count = 0, bytes = 0;
  };
  std::map<std::string, Group> groups;
  std::vector<std::string> order;
  int64_t total = 0;
  for (const Json& tensor : tensors) {
    const std::string line =
        fmt::format("{} {} {}", pattern_of(tensor["name"]), tensor["dtype"].get<std::string>(), tensor["shape"].dump());
    Group& group = groups[line];
    if (group.count++ == 0) order.push_back(line);
    group.bytes += tensor["bytes"].get<int64_t>();
    total += tensor["bytes"].get<int64_t>();
  }
  std::cout << fmt::format("{} tensors, {} ({} bytes)\n", tensors.size(), bytes_text(static_cast<double>(total)),
                           total);
  for (const std::string& line : order) std::cout << fmt::format("  {:6} x {}\n", groups[line].count, line);
}

void print_text(const Json& description) {
  for (const auto& [key, value] : description.items()) {
    if (key == "tensors") {
      print_tensors(value);
    } else if (value.is_object()) {
      std::cout << key << ":\n";
      for (const auto& [name, entry] : value.items()) std::cout << fmt::format("  {}: {}\n", name, entry.dump());
    } else {
      std::cout << fmt::format("{}: {}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
    }
  }
}

int run_inspect(const std::string& path, bool as_json) {
  const Json description = inspect_path(path);
  if (as_json) {
    std::cout << description.dump() << "\n";
  } else {
    print_text(description);
  }
  std::cout.flush();
  return 0;
}

}  // namespace

Command add_inspect(CLI::App& app) {
  const auto path = std::make_shared<std::string>();
  const auto as_json = std::make_shared<bool>(false);
  app.add_option("path", *path, "model folder, checkpoint, run, token file or config.json")->required();
  app.add_flag("--json", *as_json, "one JSON object with every tensor");
  app.footer("Example: dslite inspect model");
  return [path, as_json] { return run_inspect(*path, *as_json); };
}

}  // namespace dslite
