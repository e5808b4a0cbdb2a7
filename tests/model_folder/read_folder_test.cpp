// Reading model folders: what transformers wrote in each spelling, damage of index and shards, checkpoints, conversion,
// memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "src/base/error.h"
#include "src/base/hash.h"
#include "src/checkpoint/run_checkpoint.h"
#include "tests/model_folder/folders.h"
#include "tests/support/temp_folder.h"

namespace dslite {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string refusal(const std::string& folder) {
  try {
    const OpenModel open = open_model(folder);
    const WeightSource source(open.location, open.config);
  } catch (const UserError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ReadFolder, EverySpellingOfTransformersIsTheSameModel) {
  const Json expected = read_json_file(std::string(kGoldenFolders) + "/tensors.json");
  for (const char* spelling : {"per_expert", "stacked", "sharded"}) {
    SCOPED_TRACE(spelling);
    const OpenModel open = open_model(std::string(kGoldenFolders) + "/" + spelling);
    const WeightSource source(open.location, open.config);
    const std::vector<TensorSpec> specs = tensor_specs(open.config);
    EXPECT_EQ(specs.size(), expected.size());
    for (const TensorSpec& spec : specs) {
      EXPECT_EQ(source.type(spec.name), TensorType::kBF16);
      std::vector<std::byte> bytes(static_cast<size_t>(spec.num_elements() * 2));
      source.read(spec.name, TensorType::kBF16, bytes);
      EXPECT_EQ(sha256_hex(bytes), expected.at(spec.name).get<std::string>()) << spec.name;
    }
    EXPECT_THAT(verify_model_folder(open.location.model_folder), testing::IsEmpty());
    EXPECT_EQ(open.tokenizer, nullptr);
    EXPECT_EQ(open.chat_format, nullptr);
    EXPECT_THAT(open.chat_format_problem, HasSubstr("no chat template"));
  }
}

TEST(ReadFolder, LoadsIntoAModelOfEitherDtype) {
  const OpenModel open = open_model(std::string(kGoldenFolders) + "/stacked");
  const auto narrow = load_model(open, {.dtype = at::kBFloat16, .trained = {}});
  const auto wide = load_model(open, {.dtype = at::kFloat, .trained = {}});
  for (size_t i = 0; i < narrow->parameters().size(); ++i) {
    EXPECT_TRUE(narrow->parameters()[i]->value.to(at::kFloat).equal(wide->parameters()[i]->value));
  }
}

// Fp32 to bf16 rounds to nearest even and keeps infinities and NaNs what they are.
TEST(ReadFolder, Conversion) {
  const float inputs[] = {0.0f,
                          -0.0f,
                          1.0f,
                          1.0f + 0x1p-8f,
                          1.0f + 0x3p-8f,
                          1.0f + 0x1p-8f + 0x1p-20f,
                          3.4e38f,
                          1e-40f,
                          -2.7f,
                          std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN(),
                          std::bit_cast<float>(0x7F800001u),
                          std::bit_cast<float>(0xFFFFFFFFu)};
  const uint16_t expected[] = {0x0000, 0x8000, 0x3F80, 0x3F80, 0x3F82, 0x3F81, 0x7F80, 0x0001, 0xC02D, 0x7F80, 0xFF80};
  const ModelConfig config = tiny_config();
  const TempFolder folder;
  FolderContents contents = named_contents(config, TensorType::kF32);
  contents.read = [&](const TensorSpec& tensor, std::span<std::byte> out) {
    named_values(tensor, TensorType::kF32, out);
  };
  write_model_folder(folder / "model", contents);
  // Put the values into the first tensor of the file.
  const std::string path = folder / "model/model.safetensors";
  std::string bytes = read_text(path);
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  std::memcpy(bytes.data() + 8 + header, inputs, sizeof inputs);
  write_text(path, bytes);
  const WeightSource source({.model_folder = folder / "model", .checkpoint = std::nullopt}, config);
  std::vector<uint16_t> out(300 * 16);
  source.read("model.embed_tokens.weight", TensorType::kBF16, std::as_writable_bytes(std::span(out)));
  for (size_t i = 0; i < std::size(expected); ++i) EXPECT_EQ(out[i], expected[i]) << inputs[i];
  for (size_t i = std::size(expected); i < std::size(inputs); ++i)
    EXPECT_GT(out[i] & 0x7FFF, 0x7F80) << "a NaN stays one";
}

class DamagedFolder : public ::testing::Test {
 protected:
  void use(const std::string& spelling) {
    fs::copy(std::string(kGoldenFolders) + "/" + spelling, folder,
             fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  }
  void edit_index(const std::function<void(Json& weight_map)>& edit) {
    const std::string path = folder + "/model.safetensors.index.json";
    Json json = read_json_file(path);
    edit(json["weight_map"]);
    write_text(path, json.dump());
  }
  // Writes model.safetensors again with other tensors.
  void rewrite(const std::function<void(std::vector<TensorInfo>& infos)>& edit) {
    const std::string path = folder + "/model.safetensors";
    std::vector<TensorInfo> infos = SafetensorsFile(path).tensors();
    edit(infos);
    fs::remove(path);
    SafetensorsWriter writer(path, infos);
    for (const TensorInfo& info : writer.tensors())
      writer.write(std::vector<std::byte>(static_cast<size_t>(info.end - info.begin)));
    writer.finish();
  }
  void expect_refusal(const std::string& message) {
    EXPECT_THAT(refusal(folder), HasSubstr(message));
    EXPECT_THAT(refusal(folder), HasSubstr(folder));
    const std::vector<std::string> problems = verify_model_folder(folder);
    ASSERT_FALSE(problems.empty());
    EXPECT_THAT(problems[0], HasSubstr(message));
  }
  TempFolder temp;
  std::string folder = temp / "model";
};

TEST_F(DamagedFolder, IndexPaths) {
  for (const char* name :
       {"/etc/passwd", "../model.safetensors", "a/b.safetensors", "..", "", "model.bin", "./x.safetensors"}) {
    use("sharded");
    edit_index([&](Json& weight_map) { weight_map["lm_head.weight"] = name; });
    expect_refusal("lm_head.weight");
  }
  use("sharded");
  edit_index([&](Json& weight_map) { weight_map["lm_head.weight"] = 3; });
  expect_refusal("lm_head.weight");
}

TEST_F(DamagedFolder, IndexShape) {
  use("sharded");
  const std::string path = folder + "/model.safetensors.index.json";
  for (const char* text : {"", "[]", "{}", R"({"weight_map": []})", R"({"weight_map": {}})",
                           R"({"weight_map": {"a": "x.safetensors", "a": "x.safetensors"}})"}) {
    write_text(path, text);
    expect_refusal("model.safetensors.index.json");
  }
}

TEST_F(DamagedFolder, Shards) {
  use("sharded");
  fs::remove(folder + "/model-00002-of-00004.safetensors");
  expect_refusal("model-00002-of-00004.safetensors");
  use("sharded");
  edit_index([](Json& weight_map) { weight_map.erase("model.norm.weight"); });
  expect_refusal("model.norm.weight");  // in a shard, not in the index
  use("sharded");
  edit_index([](Json& weight_map) { weight_map["ghost.weight"] = weight_map["model.norm.weight"]; });
  expect_refusal("ghost.weight");  // in the index, in no shard
  use("sharded");
  edit_index([](Json& weight_map) { weight_map["model.norm.weight"] = "model-00001-of-00004.safetensors"; });
  expect_refusal("model.norm.weight");  // in another shard than the index says
  use("sharded");
  fs::copy_file(folder + "/model-00001-of-00004.safetensors", folder + "/twice.safetensors");
  edit_index([](Json& weight_map) { weight_map["lm_head.weight"] = "twice.safetensors"; });
  expect_refusal("two shards");
  use("sharded");
  fs::resize_file(folder + "/model-00003-of-00004.safetensors", 100);
  expect_refusal("model-00003-of-00004.safetensors");
}

TEST_F(DamagedFolder, Tensors) {
  use("per_expert");
  rewrite([](auto& infos) {
    std::erase_if(infos,
                  [](const TensorInfo& info) { return info.name == "model.layers.1.mlp.experts.2.up_proj.weight"; });
  });
  expect_refusal("model.layers.1.mlp.experts.2.up_proj.weight");
  use("per_expert");
  rewrite([](auto& infos) {
    infos.push_back(
        {.name = "model.layers.1.mlp.experts.4.up_proj.weight", .type = TensorType::kBF16, .shape = {16, 32}});
  });
  expect_refusal("model.layers.1.mlp.experts.4.up_proj.weight");
  use("per_expert");
  rewrite([](auto& infos) {
    for (TensorInfo& info : infos) {
      if (info.name == "model.layers.0.self_attn.q_proj.weight")
        std::swap(info.shape[0], info.shape[1] = info.shape[0] + 1);
    }
  });
  expect_refusal("model.layers.0.self_attn.q_proj.weight");
  for (const TensorType type : {TensorType::kF16, TensorType::kF64, TensorType::kI16, TensorType::kF8E4M3}) {
    use("per_expert");
    rewrite([&](auto& infos) { infos[3].type = type; });
    expect_refusal(fmt::format("found dtype {}, expected F32 or BF16", tensor_type_name(type)));
  }
}

TEST_F(DamagedFolder, Stacks) {
  const std::string stack = "model.layers.1.mlp.experts.gate_up_proj";
  const auto shape_of_stack = [&](std::vector<int64_t> shape) {
    use("stacked");
    rewrite([&](auto& infos) {
      for (TensorInfo& info : infos) {
        if (info.name == stack) info.shape = shape;
      }
    });
  };
  shape_of_stack({3, 32, 32});
  expect_refusal("model.layers.1.mlp.experts.3.gate_proj.weight");
  shape_of_stack({5, 32, 32});
  expect_refusal("model.layers.1.mlp.experts.4.");
  shape_of_stack({4, 33, 32});
  expect_refusal(stack);
  shape_of_stack({4, 32 * 32});
  expect_refusal(stack);
  use("stacked");
  rewrite([](auto& infos) {
    infos.push_back(
        {.name = "model.layers.1.mlp.experts.0.gate_proj.weight", .type = TensorType::kBF16, .shape = {16, 32}});
  });
  expect_refusal("there twice");
}

TEST_F(DamagedFolder, Files) {
  use("per_expert");
  fs::copy_file(std::string(kGoldenFolders) + "/sharded/model.safetensors.index.json",
                folder + "/model.safetensors.index.json");
  expect_refusal("both");
  fs::remove(folder + "/model.safetensors.index.json");
  fs::remove(folder + "/model.safetensors");
  expect_refusal("neither");
  use("per_expert");
  write_text(folder + "/tokenizer.json", "{");
  expect_refusal("tokenizer.json");
}

TEST_F(DamagedFolder, ValuesThatAreNotFinite) {
  use("per_expert");
  const std::string path = folder + "/model.safetensors";
  const SafetensorsFile file(path);
  const TensorInfo* info = file.find("model.layers.0.mlp.up_proj.weight");
  const auto offset = file.bytes(*info).data() - file.bytes(file.tensors()[0]).data() +
                      static_cast<int64_t>(fs::file_size(path)) - file.tensors().back().end;
  std::fstream stream(path, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(offset + 2 * 5);
  stream.write("\x80\x7f", 2);  // infinity
  stream.seekp(offset + 2 * 9);
  stream.write("\xc0\xff", 2);  // NaN
  stream.close();
  EXPECT_THAT(verify_model_folder(folder),
              testing::ElementsAre(HasSubstr(
                  "model.layers.0.mlp.up_proj.weight: 2 values are infinite or not a number, the first at element 5")));
}

// A run: model/ without weights, and checkpoints.
class RunOfModel : public ::testing::Test {
 protected:
  RunOfModel() {
    fs::create_directories(run / "model");
    write_text(run / "recipe.toml", "");
    write_text(run / "model/config.json", model_config_json(config).dump(1));
  }
  void save(int64_t step, bool with_state = true) {
    std::vector<std::vector<std::byte>> memory;
    std::vector<TensorSlice> slices;
    const std::vector<TensorSpec> specs = tensor_specs(config);
    memory.reserve(2 * specs.size());
    for (const TensorSpec& spec : specs) {
      const int64_t elements = spec.num_elements();
      auto& value = memory.emplace_back(static_cast<size_t>(2 * elements));
      named_values(spec, TensorType::kBF16, value);
      value[0] = static_cast<std::byte>(step);
      slices.push_back({.name = spec.name,
                        .type = TensorType::kBF16,
                        .shape = spec.shape,
                        .flat_begin = 0,
                        .flat_end = elements,
                        .bytes = value});
      if (!with_state) continue;
      auto& low = memory.emplace_back(static_cast<size_t>(2 * elements));
      slices.push_back({.name = spec.name + ".low",
                        .type = TensorType::kI16,
                        .shape = spec.shape,
                        .flat_begin = 0,
                        .flat_end = elements,
                        .bytes = low});
    }
    save_checkpoint(run.path(), step, slices, Json::object(), {});
  }
  int first_byte(const std::string& path) { return std::to_integer<int>(all_tensors(path)[0][0]); }
  TempFolder run;
  ModelConfig config = tiny_config();
};

TEST_F(RunOfModel, IsOpenedByRunOrStep) {
  EXPECT_THAT(refusal(run.path()), HasSubstr("no checkpoint yet"));
  save(3);
  save(5);
  EXPECT_EQ(first_byte(run.path()), 5);
  EXPECT_EQ(first_byte(run.path() + "/"), 5);
  EXPECT_EQ(first_byte(run / "checkpoints/step-3"), 3);
  EXPECT_EQ(first_byte(run / "checkpoints/step-3/"), 3);
  EXPECT_EQ(first_byte(run / "checkpoints/../checkpoints/step-3"), 3);
  write_text(run / "checkpoints/step-5/manifest.json", "{}");
  EXPECT_EQ(first_byte(run.path()), 3);
  EXPECT_THAT(refusal(run / "checkpoints/step-5"), HasSubstr("manifest.json"));
}

TEST_F(RunOfModel, ADamagedCheckpointIsNotLoaded) {
  save(3, /*with_state=*/false);
  const std::string path = run / "checkpoints/step-3/tensors-00001.safetensors";
  std::string bytes = read_text(path);
  bytes[bytes.size() - 7] ^= 4;
  write_text(path, bytes);
  EXPECT_THROW(all_tensors(run / "checkpoints/step-3"), UserError);
  EXPECT_THROW(all_tensors(run.path()), UserError);
}

TEST(ReadFolder, OtherPathsAreRefused) {
  const TempFolder folder;
  EXPECT_THAT(refusal(folder / "absent"), HasSubstr("no such"));
  EXPECT_THAT(refusal(folder.path()), HasSubstr("config.json"));
}

int64_t status_kib(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key + ":")) return std::stoll(line.substr(key.size() + 1));
  }
  return -1;
}

// Never two copies: the peak while loading is the model and little more, though its file is mapped whole.
TEST(ReadFolder, LoadingKeepsOneCopyInMemory) {
  ModelConfig config = tiny_config();
  config.vocab_size = 400000;
  config.hidden_size = 64;  // two matrices of 100 MB
  const TempFolder folder;
  write_model_folder(
      folder / "model",
      {.config = &config,
       .tokenizer_folder = {},
       .generation_config = {},
       .type = [](const TensorSpec&) { return TensorType::kF32; },
       .read = [](const TensorSpec&, std::span<std::byte> out) { std::memset(out.data(), 0, out.size()); }});
  const OpenModel open = open_model(folder / "model");
  write_text("/proc/self/clear_refs", "5");  // the peak starts anew
  const int64_t before = status_kib("VmRSS");
  const auto model = load_model(open, {.dtype = at::kFloat, .trained = {}});
  const int64_t peak = status_kib("VmHWM"), size = count_parameters(open.config).total * 4 / 1024;
  ASSERT_GT(before, 0);
  EXPECT_GT(peak - before, size * 9 / 10);
  EXPECT_LT(peak - before, size * 16 / 10);  // one tensor of the two is mapped at a time
}

}  // namespace
}  // namespace dslite
