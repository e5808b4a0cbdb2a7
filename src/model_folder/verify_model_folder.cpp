// All that is wrong with a model folder.
#include <cstring>
#include <filesystem>

#include "src/base/error.h"
#include "src/model_folder/model_folder.h"
#include "src/text/chat_template.h"

namespace dslite {
namespace {

// Runs one check; its refusal becomes a problem.
template <class Check>
bool attempt(std::vector<std::string>& problems, const Check& check) {
  try {
    check();
    return true;
  } catch (const Error& error) {
    problems.emplace_back(error.what());
    return false;
  }
}

// Infinities and NaNs have all exponent bits set.
template <class Bits>
void check_finite(const std::string& where, const std::vector<std::byte>& bytes, Bits exponent,
                  std::vector<std::string>& problems) {
  int64_t count = 0, first = 0;
  for (size_t i = 0; i < bytes.size() / sizeof(Bits); ++i) {
    Bits bits;
    std::memcpy(&bits, bytes.data() + i * sizeof(Bits), sizeof(Bits));
    if ((bits & exponent) == exponent && count++ == 0) first = static_cast<int64_t>(i);
  }
  if (count > 0) {
    problems.push_back(
        fmt::format("{}: {} values are infinite or not a number, the first at element {}", where, count, first));
  }
}

void check_weights(const std::string& path, const ModelConfig& config, std::vector<std::string>& problems) {
  const WeightSource source({.model_folder = path, .checkpoint = std::nullopt}, config);
  std::vector<std::byte> bytes;
  for (const TensorSpec& spec : tensor_specs(config)) {
    const TensorType type = source.type(spec.name);
    bytes.resize(static_cast<size_t>(spec.num_elements() * tensor_type_bytes(type)));
    source.read(spec.name, type, bytes);
    const std::string where = fmt::format("{}: tensor {}", path, spec.name);
    if (type == TensorType::kF32) {
      check_finite<uint32_t>(where, bytes, 0x7F800000u, problems);
    } else {
      check_finite<uint16_t>(where, bytes, 0x7F80u, problems);
    }
  }
}

}  // namespace

std::vector<std::string> verify_model_folder(const std::string& path) {
  std::vector<std::string> problems;
  ModelConfig config;
  if (!attempt(problems, [&] { config = read_model_config(path + "/config.json", nullptr); })) return problems;
  attempt(problems, [&] { check_weights(path, config, problems); });
  if (std::filesystem::exists(path + "/generation_config.json")) {
    attempt(problems, [&] { read_json_file(path + "/generation_config.json"); });
  }
  if (std::filesystem::exists(path + "/tokenizer.json")) {
    attempt(problems, [&] { check_vocabulary_fits(*Tokenizer::load(path), config, path + "/config.json"); });
    attempt(problems, [&] { chat_template_of_folder(path); });
  }
  return problems;
}

}  // namespace dslite
