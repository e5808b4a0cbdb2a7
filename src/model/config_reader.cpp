// Typed access to config.json.
#include "src/model/config_reader.h"

#include "src/base/error.h"
#include "src/model/config_keys.h"

namespace dslite {

std::string config_value_text(const Json& value) {
  if (value.is_string()) return shown(value.get<std::string>());
  const std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  return text.size() <= 80 ? text : text.substr(0, 80) + "...";
}

void ConfigReader::refuse(const std::string& key, const std::string& expected) const {
  const Json* value = find(key);
  fail_input("{}: key \"{}{}\": found {}, expected {}", where_, prefix_, key,
             value ? config_value_text(*value) : "nothing", expected);
}

const Json* ConfigReader::find(const std::string& key) const {
  const auto found = object_.find(key);
  return found == object_.end() ? nullptr : &*found;
}

bool ConfigReader::has(const std::string& key) const { return find(key) && !find(key)->is_null(); }

const Json& ConfigReader::required(const std::string& key) const {
  if (const Json* value = find(key)) return *value;
  std::vector<std::string> unknown;  // one of them may be the key, misspelled
  for (const auto& [name, value] : object_.items()) {
    if (prefix_.empty() && !is_known_config_key(name)) unknown.push_back(name);
  }
  fail_input("{}: key \"{}{}\": found nothing, expected a value: the key is required{}", where_, prefix_, key,
             suggestion(key, unknown));
}

int64_t ConfigReader::integer(const std::string& key, int64_t low, int64_t high) const {
  const Json& value = required(key);
  const bool fits = value.is_number_integer() &&
                    (!value.is_number_unsigned() || value.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX));
  if (!fits || value.get<int64_t>() < low || value.get<int64_t>() > high) {
    refuse(key, fmt::format("an integer from {} to {}", low, high));
  }
  return value.get<int64_t>();
}

int64_t ConfigReader::integer_or(const std::string& key, int64_t otherwise, int64_t low, int64_t high) const {
  return has(key) ? integer(key, low, high) : otherwise;
}

std::optional<int64_t> ConfigReader::nullable_integer(const std::string& key, int64_t low, int64_t high) const {
  if (required(key).is_null()) return std::nullopt;
  return integer(key, low, high);
}

double ConfigReader::number(const std::string& key, double low, double high) const {
  const Json& value = required(key);
  if (!value.is_number() || value.get<double>() < low || value.get<double>() > high) {
    refuse(key, fmt::format("a number from {} to {}", low, high));
  }
  return value.get<double>();
}

double ConfigReader::number_or(const std::string& key, double otherwise, double low, double high) const {
  return has(key) ? number(key, low, high) : otherwise;
}

bool ConfigReader::boolean_or(const std::string& key, bool otherwise) const {
  if (!has(key)) return otherwise;
  if (!find(key)->is_boolean()) refuse(key, "true or false");
  return find(key)->get<bool>();
}

std::string ConfigReader::string_or(const std::string& key, const std::string& otherwise,
                                    const std::string& expected) const {
  if (!has(key)) return otherwise;
  if (!find(key)->is_string()) refuse(key, expected);
  return find(key)->get<std::string>();
}

}  // namespace dslite
