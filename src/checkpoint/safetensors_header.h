// The JSON header of a safetensors file, parsed by its own small grammar: stricter than JSON (no fractions, exponents
// or duplicate keys, a fixed shape) and fast enough for a million tensors.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "src/checkpoint/safetensors.h"

namespace dslite {

struct SafetensorsHeader {
  std::vector<TensorInfo>
      tensors;  // in the order of the file; ranges are not compared with each other or with the data
  std::map<std::string, std::string> metadata;
};

constexpr int64_t kMaxTensors = 1000000, kMaxTensorNameBytes = 1024, kMaxTensorRank = 8;

// UserError "path: header byte N: what" on the first thing that is wrong.
SafetensorsHeader parse_safetensors_header(std::string_view text, const std::string& path);
// The header of a file with these tensors, padded with spaces to a multiple of 8 bytes.
std::string safetensors_header_text(const std::vector<TensorInfo>& tensors,
                                    const std::map<std::string, std::string>& metadata);

}  // namespace dslite
