// The probe: what it refuses to read, and that its file holds what the model computes, however the documents are split.
#include "src/train/probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/base/error.h"
#include "src/checkpoint/safetensors.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_models.h"

namespace dslite::test {
namespace {

using ::testing::HasSubstr;

std::string refusal(const std::string& text) {
  const TempFolder folder;
  write_text(folder / "tokens.json", text);
  try {
    read_probe_input(folder / "tokens.json", 50);
  } catch (const UserError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ProbeInput, RefusesWhatIsWrongAndSaysWhere) {
  const std::pair<const char*, const char*> table[] = {
      {"[]", "found array, expected an object"},
      {"{}", "key \"documents\" is missing"},
      {R"({"documents": 3})", "found number, expected a list of lists"},
      {R"({"documents": []})", "expected at least one document"},
      {R"({"documents": [[1], []]})", "documents[1]: found an empty document"},
      {R"({"documents": [[1], 2]})", "documents[1]: found number, expected a list"},
      {R"({"documents": [[1, 50]]})", "documents[0][1]: found 50, expected an id in 0..49"},
      {R"({"documents": [[-1]]})", "documents[0][0]: found -1"},
      {R"({"documents": [[18446744073709551615]]})", "found 18446744073709551615"},
      {R"({"documents": [[1.0]]})", "found \"1.0\", expected an integer"},
      {R"({"documents": [["a"]]})", "expected an integer"},
      {R"({"documents": [[1, 2]], "loss_weight": [[1]]})", "loss_weight[0]: found 1 weights, expected 2"},
      {R"({"documents": [[1, 2]], "loss_weight": []})", "found 0 lists, expected 1"},
      {R"({"documents": [[1, 2]], "loss_weight": [[1, -0.5]]})",
       "loss_weight[0][1]: found -0.5, expected a finite weight"},
      {R"({"documents": [[1, 2]], "loss_weight": [[1, 1e300]]})", "expected a finite weight"},
      {R"({"documents": [[1, 2]], "loss_weight": [[1, true]]})", "expected a number"},
      {R"({"documents": [[1, 2]], "loss_weights": [[1, 1]]})", "did you mean \"loss_weight\"?"},
      {R"({"documents": [[1, 2]], "documents": [[1]]})", "documents"},
      {R"({"documents": [[1, 2)", "not valid JSON"},
  };
  for (const auto& [text, message] : table) EXPECT_THAT(refusal(text), HasSubstr(message)) << text;
  EXPECT_EQ(refusal(R"({"documents": [[0, 49], [7]], "loss_weight": [[0, 0.5], [3]]})"), "accepted");
}

class Probe {
 public:
  Probe(DeepseekV2& model, const ProbeInput& input, const ProbeOptions& options)
      : path_(folder_ / "probe.safetensors"), file_((write_probe(model, input, options, path_), path_)) {}
  at::Tensor operator[](const std::string& name) const {
    const TensorInfo* info = file_.find(name);
    if (!info) throw std::runtime_error(name + " is missing");
    const std::span<const std::byte> bytes = file_.bytes(*info);
    at::Tensor out = at::empty(info->shape, info->type == TensorType::kI64 ? at::kLong : at::kFloat);
    std::memcpy(out.data_ptr(), bytes.data(), bytes.size());
    return out;
  }
  const SafetensorsFile& file() const { return file_; }

 private:
  TempFolder folder_;
  std::string path_;
  SafetensorsFile file_;
};

ProbeInput input_of(const std::vector<Document>& documents) {
  ProbeInput input;
  for (const Document& document : documents) input.documents.push_back({document.ids, document.loss_weight});
  return input;
}

TEST(Probe, HoldsWhatTheModelComputesHoweverTheDocumentsAreSplit) {
  const auto model = make_model(tiny_config(), 31);
  const std::vector<Document> documents = random_documents({9, 1, 30, 4}, 61, 31);
  const ProbeInput input = input_of(documents);
  const Batch batch = pack(documents);
  const Sequence sequence = sequence_of(batch);
  const DeepseekV2::Output output = model->forward({.tokens = batch.tokens, .sequence = &sequence}, nullptr);
  const Probe whole(*model, input, {.gradients = true, .balance_alpha = 0.1});
  EXPECT_TRUE(same_tensor(whole["logits"], model->logits(output.hidden)));
  EXPECT_EQ(whole["loss"].dim(), 0);
  EXPECT_EQ(whole["balance_loss"].size(0), 2);
  for (const MoeStatistics& moe : output.moe) {
    const std::string prefix = "router." + std::to_string(moe.layer);
    EXPECT_TRUE(same_tensor(whole[prefix + ".indices"], moe.route.indices.to(at::kLong)));
    EXPECT_TRUE(same_tensor(whole[prefix + ".weights"], moe.weights));
  }
  EXPECT_EQ(whole.file().tensors().size(), 3 + 2 * 2 + model->parameters().size());

  const Probe split(*model, input, {.gradients = true, .balance_alpha = 0.1, .num_micro_batches = 3});
  for (const TensorInfo& tensor : whole.file().tensors()) {
    if (tensor.name == "logits" || tensor.name.starts_with("router.")) {
      EXPECT_TRUE(same_tensor(split[tensor.name], whole[tensor.name])) << tensor.name;
    } else {
      EXPECT_LT(relative_norm(split[tensor.name], whole[tensor.name]), 1e-5) << tensor.name;
    }
  }
  const Probe decoded(*model, input, {.gradients = false, .balance_alpha = 0, .num_micro_batches = 1, .decode = true});
  EXPECT_TRUE(close(decoded["logits"], whole["logits"], 1e-5));
  EXPECT_EQ(decoded.file().find("grad.model.norm.weight"), nullptr);
  EXPECT_THROW(Probe(*model, input, {.gradients = false, .balance_alpha = 0, .num_micro_batches = 5}), UserError);
}

TEST(Probe, WithoutTrainedLabelsTheLossIsZero) {
  const auto model = make_model(tiny_config(), 32);
  for (std::vector<Document> documents : {random_documents({1, 1}, 61, 1), random_documents({7, 5}, 61, 2)}) {
    for (Document& document : documents) document.loss_weight.assign(document.ids.size(), 0);
    documents[0].loss_weight[0] = 5;  // of a first token: ignored
    const Probe probe(*model, input_of(documents), {.gradients = true, .balance_alpha = 0});
    EXPECT_EQ(probe["loss"].item<float>(), 0);
    for (const Parameter* parameter : model->parameters()) {
      EXPECT_EQ(probe["grad." + parameter->name].count_nonzero().item<int64_t>(), 0) << parameter->name;
    }
  }
}

TEST(Probe, ReplacesAFileAndLeavesNothingBehindWhenItCannotWrite) {
  const auto model = make_model(tiny_config(), 33);
  const TempFolder folder;
  write_text(folder / "out", "old");
  const ProbeInput input = input_of(random_documents({3}, 61, 1));
  write_probe(*model, input, {}, folder / "out");
  EXPECT_EQ(SafetensorsFile(folder / "out").tensors().front().name, "logits");
  EXPECT_THROW(write_probe(*model, input, {}, folder / "absent/out"), Error);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

}  // namespace
}  // namespace dslite::test
