#include "src/base/recipe_text.h"

#include <cctype>

#include "src/base/error.h"
#include "src/base/files.h"

namespace dslite {
namespace {

constexpr size_t kMaxRecipeBytes = size_t{1} << 20, kMaxKeyParts = 1000;

// toml++ makes a table in a table for every dot of a key and takes them apart by recursion.
void check_dotted_keys(std::string_view text, const std::string& path) {
  size_t dots = 0, line = 1;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    line += c == '\n';
    const bool of_key =
        std::isalnum(c) != 0 || c >= 0x80 || std::string_view("._-\"' \t").find(text[i]) != std::string_view::npos;
    if (!of_key) dots = 0;
    if (c == '.' && ++dots >= kMaxKeyParts)
      fail_input("{}:{}: not valid TOML: a key of more than {} parts", path, line, kMaxKeyParts);
  }
}

}  // namespace

toml::table parse_toml(const std::string& path) {
  const std::string text = read_file(path);
  if (text.size() > kMaxRecipeBytes)
    fail_input("{}: found {} bytes, expected a recipe of at most {}", path, text.size(), kMaxRecipeBytes);
  check_dotted_keys(text, path);
  try {
    return toml::parse(text, path);
  } catch (const TomlAssertion&) {
    fail_input("{}: not valid TOML", path);
  } catch (const toml::parse_error& error) {
    fail_input("{}:{}:{}: not valid TOML: {}", path, error.source().begin.line, error.source().begin.column,
               error.description());
  }
}

toml::table parse_override(const std::string& argument, std::string* key) {
  const size_t equals = argument.find('=');
  if (equals == std::string::npos || equals == 0)
    fail_input("command line: found {}, expected section.key=value", shown(argument));
  *key = argument.substr(0, equals);
  const std::string value = argument.substr(equals + 1);
  try {
    check_dotted_keys(value, "command line");
    return toml::parse("v = " + value);
  } catch (const UserError&) {
  } catch (const toml::parse_error&) {
  } catch (const TomlAssertion&) {
  }
  toml::table table;
  table.insert("v", value);
  return table;
}

}  // namespace dslite
