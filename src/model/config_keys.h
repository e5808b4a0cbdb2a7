// The keys of config.json that this program knows: what it reads, and what others write that has no effect here.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace dslite {

const std::vector<std::string>& known_config_keys();
bool is_known_config_key(std::string_view key);
// Inside rope_scaling and rope_parameters.
const std::vector<std::string>& known_rope_keys();
bool is_known_rope_key(std::string_view key);

}  // namespace dslite
