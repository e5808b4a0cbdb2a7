// Writing model folders: what lies in them, tokenizer files, shards, repeatability, failures.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/base/error.h"
#include "tests/model_folder/folders.h"
#include "tests/support/temp_folder.h"

namespace dslite {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

TEST(WriteFolder, HoldsWhatClientsExpect) {
  const TempFolder temp;
  write_tiny_tokenizer(temp / "tokenizer");
  // As DeepSeek publishes it: another class, no post-processor, the template in tokenizer_config.json only.
  Json config_json = read_json_file(temp / "tokenizer/tokenizer_config.json");
  config_json["tokenizer_class"] = "LlamaTokenizerFast";
  config_json["legacy"] = true;
  config_json["model_max_length"] = 16384;
  write_text(temp / "tokenizer/tokenizer_config.json", config_json.dump());
  fs::remove(temp / "tokenizer/chat_template.jinja");
  Json tokenizer = read_json_file(temp / "tokenizer/tokenizer.json");
  tokenizer["post_processor"] = nullptr;
  write_text(temp / "tokenizer/tokenizer.json", tokenizer.dump());
  write_text(temp / "generation.json", R"({"temperature": 0.3, "bos_token_id": 1})");

  const ModelConfig config = tiny_config();
  FolderContents contents = named_contents(config, TensorType::kBF16);
  contents.tokenizer_folder = temp / "tokenizer";
  contents.generation_config = temp / "generation.json";
  write_model_folder(temp / "model", contents);
  EXPECT_EQ(names_in(temp / "model"),
            (std::vector<std::string>{"chat_template.jinja", "config.json", "generation_config.json",
                                      "model.safetensors", "tokenizer.json", "tokenizer_config.json"}));
  EXPECT_EQ(names_in(temp.path()), (std::vector<std::string>{"generation.json", "model", "tokenizer"}));
  EXPECT_EQ(SafetensorsFile(temp / "model/model.safetensors").metadata(),
            (std::map<std::string, std::string>{{"format", "pt"}}));

  EXPECT_EQ(read_json_file(temp / "model/config.json"), model_config_json(config));
  EXPECT_EQ(read_json_file(temp / "model/config.json").at("my_note"), "kept");
  EXPECT_EQ(read_json_file(temp / "model/generation_config.json"),
            Json::parse(R"({"temperature": 0.3, "bos_token_id": 258, "eos_token_id": 259})"));
  const Json written_config = read_json_file(temp / "model/tokenizer_config.json");
  EXPECT_EQ(written_config.at("tokenizer_class"), "PreTrainedTokenizerFast");
  EXPECT_EQ(written_config.at("model_max_length"), 16384);
  EXPECT_FALSE(written_config.contains("legacy"));
  EXPECT_EQ(written_config.at("chat_template"), config_json.at("chat_template"));
  EXPECT_EQ(read_text(temp / "model/chat_template.jinja"), config_json.at("chat_template").get<std::string>());
  const Json written = read_json_file(temp / "model/tokenizer.json");
  EXPECT_EQ(written.at("post_processor").at("type"), "TemplateProcessing");
  EXPECT_EQ(written.at("post_processor").at("single")[0].at("SpecialToken").at("id"), written_config.at("bos_token"));

  const OpenModel open = open_model(temp / "model");
  ASSERT_NE(open.tokenizer, nullptr);
  ASSERT_NE(open.chat_format, nullptr);
  EXPECT_EQ(open.chat_format->name(), "deepseek-v2");
  EXPECT_EQ(open.tokenizer->sha256(), Tokenizer::load(temp / "tokenizer")->sha256());
}

TEST(WriteFolder, ShardsHoldTheSameTensors) {
  const ModelConfig config = tiny_config();
  const TempFolder temp;
  FolderContents contents = named_contents(config, TensorType::kF32);
  write_model_folder(temp / "one", contents);
  for (const int64_t limit : {1, 3000, 20000}) {
    contents.max_shard_bytes = limit;
    const std::string folder = temp / std::to_string(limit);
    write_model_folder(folder, contents);
    EXPECT_EQ(all_tensors(folder), all_tensors(temp / "one"));
    const Json index = read_json_file(folder + "/model.safetensors.index.json");
    EXPECT_EQ(index.at("metadata").at("total_size"), count_parameters(config).total * 4);
    size_t listed = 0;
    for (const std::string& name : names_in(folder)) {
      if (!name.ends_with(".safetensors")) continue;
      const SafetensorsFile file(folder + "/" + name);
      for (const TensorInfo& info : file.tensors()) EXPECT_EQ(index.at("weight_map").at(info.name), name);
      EXPECT_TRUE(file.tensors().size() == 1 || file.tensors().back().end <= limit);
      listed += file.tensors().size();
    }
    EXPECT_EQ(listed, index.at("weight_map").size());
    EXPECT_FALSE(fs::exists(folder + "/model.safetensors"));
  }
}

TEST(WriteFolder, DtypeIsWrittenIntoTheConfig) {
  const ModelConfig config = tiny_config();
  const TempFolder temp;
  write_model_folder(temp / "f32", named_contents(config, TensorType::kF32));
  EXPECT_EQ(read_json_file(temp / "f32/config.json").at("torch_dtype"), "float32");
  write_model_folder(temp / "bf16", named_contents(config, TensorType::kBF16));
  EXPECT_EQ(read_json_file(temp / "bf16/config.json").at("torch_dtype"), "bfloat16");
}

TEST(WriteFolder, AnythingInTheWayIsRefused) {
  const ModelConfig config = tiny_config();
  const TempFolder temp;
  fs::create_directories(temp / "empty");
  write_model_folder(temp / "empty/", named_contents(config, TensorType::kBF16));
  EXPECT_TRUE(fs::exists(temp / "empty/config.json"));
  EXPECT_THROW(write_model_folder(temp / "empty", named_contents(config, TensorType::kBF16)), UserError);
  write_text(temp / "file", "");
  EXPECT_THROW(write_model_folder(temp / "file", named_contents(config, TensorType::kBF16)), UserError);
  write_model_folder(temp / "deep/er/model", named_contents(config, TensorType::kBF16));
  EXPECT_THAT(verify_model_folder(temp / "deep/er/model"), testing::IsEmpty());
}

TEST(WriteFolder, AFailureLeavesNothing) {
  const ModelConfig config = tiny_config();
  const TempFolder temp;
  FolderContents contents = named_contents(config, TensorType::kBF16);
  contents.read = [](const TensorSpec& tensor, std::span<std::byte>) {
    if (tensor.name == "model.norm.weight") throw Error("the source failed");
  };
  EXPECT_THROW(write_model_folder(temp / "model", contents), Error);
  contents.read = [](const TensorSpec&, std::span<std::byte> out) { std::ranges::fill(out, std::byte{0xFF}); };
  EXPECT_THROW(write_model_folder(temp / "model", contents), Error);  // NaN: not sound
  EXPECT_THAT(names_in(temp.path()), testing::IsEmpty());
}

TEST(WriteFolder, ATokenizerThatDoesNotFitIsRefused) {
  const TempFolder temp;
  write_tiny_tokenizer(temp / "tokenizer");
  const auto tokenizer = Tokenizer::load(temp / "tokenizer");
  ModelConfig config = tiny_config();
  check_tokenizer_fits(*tokenizer, config, "config.json");
  const auto refusal = [&] {
    try {
      check_tokenizer_fits(*tokenizer, config, "config.json");
    } catch (const UserError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  config.vocab_size = 259;
  EXPECT_THAT(refusal(), HasSubstr("config.json: key \"vocab_size\": found 259, expected at least 260"));
  config = tiny_config();
  config.bos_token_id = 0;
  EXPECT_THAT(refusal(), HasSubstr("key \"bos_token_id\": found 0, expected 258"));
  config = tiny_config();
  config.eos_token_id.reset();
  EXPECT_THAT(refusal(), HasSubstr("key \"eos_token_id\": found nothing, expected 259"));
}

TEST(WriteFolder, AForeignFolderIsOpenedUnlessItsTokensHaveNoRow) {
  const TempFolder temp;
  const ModelConfig config = tiny_config();
  FolderContents contents = named_contents(config, TensorType::kBF16);
  write_tiny_tokenizer(temp / "tokenizer");
  contents.tokenizer_folder = temp / "tokenizer";
  write_model_folder(temp / "model", contents);
  Json json = read_json_file(temp / "model/config.json");
  json["eos_token_id"] = nullptr;
  write_text(temp / "model/config.json", json.dump());
  EXPECT_NE(open_model(temp / "model").tokenizer, nullptr);
  EXPECT_THAT(verify_model_folder(temp / "model"), testing::IsEmpty());
  json["vocab_size"] = 259;
  write_text(temp / "model/config.json", json.dump());
  EXPECT_THROW(open_model(temp / "model"), UserError);
}

}  // namespace
}  // namespace dslite
