// One JSON object of config.json and the words of its refusals: `where: key "prefix.key": found X, expected Y`.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "src/base/json.h"

namespace dslite {

// The value for a message: a string in quotes, all else as JSON, cut to 80 bytes.
std::string config_value_text(const Json& value);

class ConfigReader {
 public:
  ConfigReader(const Json& object, std::string where, std::string prefix = {})
      : object_(object), where_(std::move(where)), prefix_(std::move(prefix)) {}

  [[noreturn]] void refuse(const std::string& key, const std::string& expected) const;
  const Json* find(const std::string& key) const;
  bool has(const std::string& key) const;              // there and not null
  const Json& required(const std::string& key) const;  // null is a value

  int64_t integer(const std::string& key, int64_t low, int64_t high) const;
  int64_t integer_or(const std::string& key, int64_t otherwise, int64_t low, int64_t high) const;
  std::optional<int64_t> nullable_integer(const std::string& key, int64_t low, int64_t high) const;
  double number(const std::string& key, double low, double high) const;
  double number_or(const std::string& key, double otherwise, double low, double high) const;
  bool boolean_or(const std::string& key, bool otherwise) const;
  std::string string_or(const std::string& key, const std::string& otherwise, const std::string& expected) const;

 private:
  const Json& object_;
  std::string where_, prefix_;
};

}  // namespace dslite
