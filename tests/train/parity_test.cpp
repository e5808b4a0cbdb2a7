// Losses, router choices, logits and every gradient against goldens of transformers and of plain fp64 loops, without
// Python. Goldens: tests/golden/parity, made by tools/parity.py; weights and documents come from the same integer hash
// as in tools/parity_cases.py.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "src/base/json.h"
#include "src/train/loss_and_gradient.h"
#include "tests/support/tiny_models.h"

namespace dslite::test {
namespace {

uint64_t fnv1a(const std::string& text) {
  uint64_t value = 0xcbf29ce484222325;
  for (const char byte : text) value = (value ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  return value;
}

// splitmix64 of fnv1a(text) + seed and the index.
class Hash {
 public:
  Hash(const std::string& text, uint64_t seed) : start_(fnv1a(text) + seed * 0xd1342543de82ef95) {}
  uint64_t operator()(uint64_t index) const {
    uint64_t z = (start_ + index + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

 private:
  uint64_t start_;
};

void fill_weight(Parameter& parameter, uint64_t seed) {
  const Hash hash(parameter.name, seed);
  auto* out = parameter.value.data_ptr<float>();
  const bool vector = parameter.value.dim() == 1;
  const double gain = parameter.name.ends_with("mlp.gate.weight") ? 2 : 1;
  const double exponent =
      vector ? 0
      : parameter.name.find("embed_tokens") != std::string::npos
          ? 6
          : std::nearbyint(std::log2(74 * std::sqrt(static_cast<double>(parameter.value.size(1))) / gain));
  for (int64_t i = 0; i < parameter.value.numel(); ++i) {
    const int64_t whole = static_cast<int64_t>(hash(i) >> 56) - 128;
    out[i] = static_cast<float>(vector ? 1 + static_cast<double>(whole >> 3) / 128
                                       : static_cast<double>(whole) * std::exp2(-exponent));
  }
}

std::vector<Document> golden_documents(const Json& lengths, int64_t vocabulary, uint64_t seed) {
  const Hash ids("ids", seed), weights("loss_weight", seed);
  std::vector<Document> documents;
  uint64_t index = 0;
  for (const Json& length : lengths) {
    Document document;
    for (int64_t t = 0; t < length.get<int64_t>(); ++t, ++index) {
      document.ids.push_back(static_cast<int32_t>(ids(index) % static_cast<uint64_t>(vocabulary)));
      document.loss_weight.push_back(static_cast<float>(weights(index) >> 62) * 0.5f);
    }
    documents.push_back(document);
  }
  return documents;
}

// [norm, two sums with random signs] of a tensor, as tools/parity.py has them: within `tolerance` of the golden norm (a
// random sum of an error of norm e is about e).
void expect_projections(const std::string& name, const at::Tensor& tensor, const Json& golden, size_t first,
                        uint64_t seed, double tolerance) {
  const at::Tensor dense = tensor.contiguous();
  const auto* values = dense.const_data_ptr<float>();
  const Hash hash("sign:" + name, seed);
  double squares = 0, sums[2] = {0, 0};
  for (int64_t i = 0; i < dense.numel(); ++i) {
    const double value = values[i];
    const uint64_t bits = hash(i);
    squares += value * value;
    sums[0] += bits & 1 ? -value : value;
    sums[1] += bits & 2 ? -value : value;
  }
  const double norm = golden[first].get<double>();
  EXPECT_NEAR(std::sqrt(squares), norm, tolerance * norm) << name;
  for (const size_t s : {0, 1}) EXPECT_NEAR(sums[s], golden[first + 1 + s].get<double>(), 5 * tolerance * norm) << name;
}

class Parity : public testing::TestWithParam<std::string> {};

TEST_P(Parity, LossChoicesLogitsAndGradients) {
  const std::string path = std::string(DSLITE_SOURCE_DIR) + "/tests/golden/parity/" + GetParam() + ".json";
  const Json golden = read_json_file(path);
  const auto seed = golden.at("seed").get<uint64_t>();
  const ModelConfig config = parse_model_config(golden.at("config"), path, nullptr);
  DeepseekV2 model(config, {.dtype = at::kFloat, .trained = [](const std::string&) { return true; }});
  for (Parameter* parameter : model.parameters()) fill_weight(*parameter, seed);

  const Batch batch = pack(golden_documents(golden.at("lengths"), config.vocab_size, seed));
  const Sequence sequence = sequence_of(batch);
  const DeepseekV2::Output output = model.forward({.tokens = batch.tokens, .sequence = &sequence}, nullptr);
  const at::Tensor logits = model.logits(output.hidden);
  EXPECT_NEAR(logits.abs().max().item<double>(), golden.at("logits")[0].get<double>(),
              2e-5 * golden.at("logits")[0].get<double>());
  expect_projections("logits", logits, golden.at("logits"), 1, seed, 1e-5);
  ASSERT_EQ(output.moe.size(), golden.at("router").size());
  for (const MoeStatistics& moe : output.moe) {
    const Json& layer = golden.at("router").at(std::to_string(moe.layer));
    std::string indices;
    for (int64_t i = 0; i < moe.route.indices.numel(); ++i)
      indices += std::to_string(moe.route.indices.const_data_ptr<int32_t>()[i]);
    EXPECT_EQ(indices, layer.at("indices").get<std::string>()) << "layer " << moe.layer;
    expect_projections("router." + std::to_string(moe.layer), moe.weights, layer.at("weights"), 0, seed, 1e-5);
  }

  model.begin_gradients();
  const BatchTotals totals = totals_of(batch);
  const LossSum sum =
      loss_and_gradient(model, batch, totals, {.balance_alpha = config.aux_loss_alpha, .replay = nullptr});
  EXPECT_NEAR(sum.cross_entropy / totals.target_weight / golden.at("loss").get<double>(), 1, 1e-6);
  for (size_t m = 0; m < sum.balance_loss.size(); ++m) {
    EXPECT_NEAR(
        sum.balance_loss[m] / static_cast<double>(totals.num_tokens) / golden.at("balance_loss")[m].get<double>(), 1,
        2e-6);
  }
  const Json& gradients = golden.at("gradients");
  ASSERT_EQ(gradients.size(), model.parameters().size());
  for (const auto& [name, projections] : gradients.items()) {
    const Parameter& parameter = model.parameter(name);
    if (parameter.grad_empty) {
      EXPECT_EQ(projections[0].get<double>(), 0) << name;
    } else {
      expect_projections(name, parameter.grad, projections, 0, seed, 2e-5);
    }
  }
}

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(DSLITE_SOURCE_DIR) + "/tests/golden/parity")) {
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(Goldens, Parity, testing::ValuesIn(golden_names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace dslite::test
