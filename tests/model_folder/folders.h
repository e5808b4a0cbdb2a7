// Model folders for tests: a tiny config, a tiny tokenizer, tensors whose values follow from their names.
#pragma once
#include <string>
#include <vector>

#include "src/model_folder/model_folder.h"

namespace dslite {

constexpr const char* kGoldenFolders = DSLITE_SOURCE_DIR "/tests/golden/model_folder";

// 2 layers (one MoE of 4 experts), hidden 16, vocabulary 300, bos 258, eos 259.
ModelConfig tiny_config();
// 258 byte-level tokens, bos and eos, the chat format deepseek-v2.
void write_tiny_tokenizer(const std::string& folder);
// Deterministic values; the same bits in bf16 and in fp32.
void named_values(const TensorSpec& tensor, TensorType type, std::span<std::byte> out);
FolderContents named_contents(const ModelConfig& config, TensorType type);
// The bytes of every tensor, as they lie in the source.
std::vector<std::vector<std::byte>> all_tensors(const std::string& path);

}  // namespace dslite
