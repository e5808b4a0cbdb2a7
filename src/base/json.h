// Strict JSON: UTF-8 only, no duplicate keys, bounded nesting; errors carry file, line and column. Objects keep the order of their keys.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace dslite {

using Json = nlohmann::ordered_json;  // find() and at() are linear: iterate over large objects

struct JsonLimits {
  int max_depth = 64;
};

// Parses exactly one JSON value. `where` starts the message of a UserError: "where:line:column: what". `first_line`: the number of the text's first line
// (a record of a JSONL file).
Json parse_json(std::string_view text, const std::string& where, const JsonLimits& limits = {}, int64_t first_line = 1);
Json read_json_file(const std::string& path, const JsonLimits& limits = {});

// Typed access with one message for all readers: "where: key "k": found number, expected string".
const Json& json_member(const Json& object, const std::string& key, const std::string& where);
std::string json_string(const Json& object, const std::string& key, const std::string& where);
int64_t json_integer(const Json& object, const std::string& key, const std::string& where);  // a JSON integer (no fraction, no exponent)
double json_number(const Json& object, const std::string& key, const std::string& where);
bool json_bool(const Json& object, const std::string& key, const std::string& where);

// Sorted keys, no spaces, UTF-8 unescaped: the text that hashes are taken of.
std::string canonical_json(const Json& value);

}  // namespace dslite
