// What a PATH argument of verify and inspect is.
#pragma once
#include <cstdint>
#include <string>

namespace dslite {

enum class PathKind : uint8_t { kConfigFile, kTokenFile, kModelFolder, kCheckpoint, kRun };

// UserError when it is none of them.
PathKind kind_of_path(const std::string& path);

}  // namespace dslite
