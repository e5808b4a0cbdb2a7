// TOML text of recipes and of section.key=value arguments; damaged text is a UserError with file and line.
#pragma once
#include <string>

#include "src/base/tomlplusplus.h"

namespace dslite {

toml::table parse_toml(const std::string& path);
// "key=value" as a one-entry table "v"; a value that is not TOML is text.
toml::table parse_override(const std::string& argument, std::string* key);

}  // namespace dslite
