// init, export, verify and inspect as programs: exit codes, what they print, what they leave.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>

#include "src/base/json.h"
#include "src/checkpoint/run_checkpoint.h"
#include "src/model_folder/model_folder.h"
#include "src/text/bpe_trainer.h"
#include "src/text/tokenizer_files.h"
#include "tests/support/process.h"
#include "tests/support/temp_folder.h"

namespace dslite {
namespace {

namespace fs = std::filesystem;
using ::dslite::testing::ProcessResult;
using ::testing::HasSubstr;

ProcessResult dslite_command(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), DSLITE_BINARY_DIR "/src/dslite");
  return ::dslite::testing::run_program(arguments);
}

const std::string kGolden = DSLITE_SOURCE_DIR "/tests/golden/model_folder";

class Commands : public ::testing::Test {
 protected:
  Commands() {
    write_config([](Json&) {});
  }
  void write_config(const std::function<void(Json&)>& edit) {
    Json json = Json::parse(
        R"({"model_type": "deepseek_v2", "vocab_size": 300, "hidden_size": 16, "intermediate_size": 24, "moe_intermediate_size": 8,
      "num_hidden_layers": 2, "num_attention_heads": 2, "q_lora_rank": null, "kv_lora_rank": 8, "qk_nope_head_dim": 4, "qk_rope_head_dim": 4, "v_head_dim": 4,
      "n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 1, "max_position_embeddings": 64, "rms_norm_eps": 1e-06,
      "rope_theta": 10000, "bos_token_id": 258, "eos_token_id": 259, "torch_dtype": "bfloat16", "initializer_range": 0.5})");
    edit(json);
    write_text(config, json.dump(1));
  }
  std::string tokenizer() {
    BpeTrainer trainer;
    trainer.add_text(
        "the cat sat on the mat and the other cats sat there and thought of mats, the thing that they thought\n");
    write_tokenizer_folder(temp / "tokenizer", trainer.train(258));
    return temp / "tokenizer";
  }
  ProcessResult init(const std::string& output, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"init", "--config", config, "--output", output};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return dslite_command(arguments);
  }
  TempFolder temp;
  std::string config = temp / "config.json";
};

TEST_F(Commands, InitIsAFunctionOfTheSeed) {
  ASSERT_EQ(init(temp / "a").exit_code, 0);
  ASSERT_EQ(init(temp / "b", {"--threads", "1"}).exit_code, 0);
  ASSERT_EQ(init(temp / "c", {"--seed", "1"}).exit_code, 0);
  EXPECT_EQ(read_text(temp / "a/model.safetensors"), read_text(temp / "b/model.safetensors"));
  EXPECT_NE(read_text(temp / "a/model.safetensors"), read_text(temp / "c/model.safetensors"));
  EXPECT_FALSE(fs::exists(temp / "a/tokenizer.json"));
  write_config([](Json& json) { json["torch_dtype"] = "float32"; });
  ASSERT_EQ(init(temp / "wide").exit_code, 0);
  // The bf16 folder is the fp32 one, rounded.
  ASSERT_EQ(dslite_command({"export", "--model", temp / "wide", "--output", temp / "narrow", "--dtype", "bfloat16"})
                .exit_code,
            0);
  EXPECT_EQ(read_text(temp / "narrow/model.safetensors"), read_text(temp / "a/model.safetensors"));
}

TEST_F(Commands, InitHasTheRightDistribution) {
  write_config([](Json& json) {
    json["torch_dtype"] = "float32";
    json["vocab_size"] = 20000;
  });
  ASSERT_EQ(init(temp / "model").exit_code, 0);
  const SafetensorsFile file(temp / "model/model.safetensors");
  const auto values = [&](const std::string& name) {
    const auto bytes = file.bytes(*file.find(name));
    std::vector<float> out(bytes.size() / 4);
    std::memcpy(out.data(), bytes.data(), bytes.size());
    return out;
  };
  for (const float value : values("model.layers.1.self_attn.kv_a_layernorm.weight")) EXPECT_EQ(value, 1.0f);
  double sum = 0, squares = 0;
  const std::vector<float> embedding = values("model.embed_tokens.weight");
  for (const float value : embedding) sum += value, squares += static_cast<double>(value) * value;
  const auto count = static_cast<double>(embedding.size());
  EXPECT_NEAR(sum / count, 0, 5 * 0.5 / std::sqrt(count));
  EXPECT_NEAR(std::sqrt(squares / count), 0.5, 0.005);
  EXPECT_NE(embedding[0], values("lm_head.weight")[0]);
}

TEST_F(Commands, InitChecksTheTokenizer) {
  const std::string folder = tokenizer();
  ASSERT_EQ(init(temp / "good", {"--tokenizer", folder}).exit_code, 0);
  EXPECT_TRUE(fs::exists(temp / "good/chat_template.jinja"));
  const auto refused = [&](const char* key, int64_t value) {
    write_config([&](Json& json) { json[key] = value; });
    const ProcessResult result = init(temp / "bad", {"--tokenizer", folder});
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr(key));
    EXPECT_FALSE(fs::exists(temp / "bad"));
  };
  refused("bos_token_id", 0);
  refused("eos_token_id", 258);
}

TEST_F(Commands, InitRefusesBadInput) {
  EXPECT_EQ(dslite_command({"init", "--output", temp / "x"}).exit_code, 2);
  EXPECT_EQ(dslite_command({"init", "--config", temp / "absent.json", "--output", temp / "x"}).exit_code, 2);
  EXPECT_EQ(init(temp / "x", {"--seed", "-1"}).exit_code, 2);
  EXPECT_EQ(init(temp / "x", {"--sed", "1"}).exit_code, 2);
  write_config([](Json& json) { json["hidden_size"] = 0; });
  const ProcessResult result = init(temp / "x");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr(config + ": key \"hidden_size\": found 0, expected an integer from 1"));
  EXPECT_TRUE(result.out.empty());
}

TEST_F(Commands, ExportKeepsEveryByte) {
  for (const char* spelling : {"per_expert", "stacked", "sharded"}) {
    const std::string output = temp / spelling;
    const ProcessResult result = dslite_command({"export", "--model", kGolden + "/" + spelling, "--output", output});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(read_text(output + "/model.safetensors"), read_text(temp / "per_expert/model.safetensors"));
  }
  const SafetensorsFile from(kGolden + "/per_expert/model.safetensors"), to(temp / "per_expert/model.safetensors");
  ASSERT_EQ(from.tensors().size(), to.tensors().size());
  for (const TensorInfo& info : from.tensors()) {
    const TensorInfo* written = to.find(info.name);
    ASSERT_NE(written, nullptr) << info.name;
    EXPECT_EQ(written->shape, info.shape);
    EXPECT_TRUE(std::ranges::equal(from.bytes(info), to.bytes(*written))) << info.name;
  }
  const Json json = read_json_file(temp / "stacked/config.json");
  EXPECT_EQ(json.at("rope_scaling").at("type"), "yarn");
  EXPECT_FALSE(json.contains("rope_parameters"));
}

TEST_F(Commands, ExportOfARun) {
  ASSERT_EQ(init(temp / "model").exit_code, 0);
  const std::string run = temp / "run";
  fs::create_directories(run + "/model");
  write_text(run + "/recipe.toml", "");
  fs::copy_file(temp / "model/config.json", run + "/model/config.json");
  const SafetensorsFile file(temp / "model/model.safetensors");
  std::vector<TensorSlice> slices;
  for (const TensorInfo& info : file.tensors()) {
    slices.push_back({.name = info.name,
                      .type = info.type,
                      .shape = info.shape,
                      .flat_begin = 0,
                      .flat_end = info.num_elements(),
                      .bytes = file.bytes(info)});
  }
  for (const int64_t step : {1, 2}) save_checkpoint(run, step, slices, Json{{"tokens", step}}, {});
  ASSERT_EQ(dslite_command({"export", "--run", run, "--output", temp / "newest"}).exit_code, 0);
  EXPECT_EQ(read_text(temp / "newest/model.safetensors"), read_text(temp / "model/model.safetensors"));
  ASSERT_EQ(dslite_command({"export", "--run", run, "--step", "1", "--output", temp / "first"}).exit_code, 0);
  const ProcessResult absent = dslite_command({"export", "--run", run, "--step", "7", "--output", temp / "seventh"});
  EXPECT_EQ(absent.exit_code, 2);
  EXPECT_THAT(absent.err, HasSubstr("no checkpoint of step 7; it has 2, 1"));
  EXPECT_EQ(dslite_command({"export", "--run", run, "--model", run, "--output", temp / "both"}).exit_code, 2);
  EXPECT_EQ(dslite_command({"export", "--output", temp / "none"}).exit_code, 2);
  EXPECT_EQ(dslite_command({"export", "--run", run, "--output", temp / "newest"}).exit_code, 2);  // not empty
  EXPECT_EQ(dslite_command({"export", "--run", run, "--output", temp / "half", "--dtype", "float16"}).exit_code, 2);

  EXPECT_EQ(dslite_command({"verify", run}).exit_code, 0);
  EXPECT_EQ(dslite_command({"verify", run + "/checkpoints/step-1"}).exit_code, 0);
  const ProcessResult inspected = dslite_command({"inspect", run + "/checkpoints/step-2", "--json"});
  ASSERT_EQ(inspected.exit_code, 0);
  EXPECT_EQ(Json::parse(inspected.out).at("step"), 2);
  fs::resize_file(run + "/checkpoints/step-1/tensors-00001.safetensors", 10);
  const ProcessResult damaged = dslite_command({"verify", run, "--json"});
  EXPECT_EQ(damaged.exit_code, 2);
  EXPECT_EQ(Json::parse(damaged.out).at("sound"), false);
  EXPECT_EQ(Json::parse(damaged.out).at("problems").size(), 1u);
}

TEST_F(Commands, VerifyNamesTheDamage) {
  ASSERT_EQ(init(temp / "model").exit_code, 0);
  const ProcessResult sound = dslite_command({"verify", temp / "model"});
  EXPECT_EQ(sound.exit_code, 0);
  EXPECT_THAT(sound.out, HasSubstr("sound"));
  const std::string path = temp / "model/model.safetensors";
  std::string bytes = read_text(path);
  bytes[bytes.size() - 1] = 0x7f;
  bytes[bytes.size() - 2] = static_cast<char>(0xff);
  write_text(path, bytes);
  const ProcessResult damaged = dslite_command({"verify", temp / "model"});
  EXPECT_EQ(damaged.exit_code, 2);
  EXPECT_THAT(damaged.err, HasSubstr("lm_head.weight: 1 values are infinite or not a number"));
  EXPECT_TRUE(damaged.out.empty());
  EXPECT_EQ(dslite_command({"verify", temp / "absent"}).exit_code, 2);
}

TEST_F(Commands, InspectCounts) {
  ASSERT_EQ(init(temp / "model").exit_code, 0);
  for (const std::string& path : {temp / "model", config}) {
    const ProcessResult result = dslite_command({"inspect", path, "--json"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const Json json = Json::parse(result.out);
    const ParameterCounts counts = count_parameters(read_model_config(config, nullptr));
    EXPECT_EQ(json.at("parameters").at("total"), counts.total);
    EXPECT_EQ(json.at("parameters").at("active"), counts.active);
    EXPECT_EQ(json.at("tensors").size(), static_cast<size_t>(counts.num_tensors));
    EXPECT_EQ(
        json.at("tensors")[0],
        Json::parse(R"({"name": "model.embed_tokens.weight", "dtype": "BF16", "shape": [300, 16], "bytes": 9600})"));
  }
  const ProcessResult text = dslite_command({"inspect", temp / "model"});
  EXPECT_THAT(text.out, HasSubstr("4 x model.layers.*.mlp.experts.*.gate_proj.weight BF16 [8,16]"));
  EXPECT_THAT(text.out, HasSubstr("total: "));
}

}  // namespace
}  // namespace dslite
