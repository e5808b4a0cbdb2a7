// Typed configuration read strictly from a TOML file plus `section.key=value` arguments. One table of fields parses,
// documents and prints: an unknown key, a wrong type or a value out of range is a UserError with file, line, what was
// found and what was expected.
#pragma once
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace dslite {

struct IntegerRange {
  int64_t minimum = std::numeric_limits<int64_t>::min(), maximum = std::numeric_limits<int64_t>::max();
};
struct NumberRange {
  double minimum = -std::numeric_limits<double>::infinity(), maximum = std::numeric_limits<double>::infinity();
  bool open_minimum = false;  // the minimum itself is refused
};
// A file of a weighted list: "path" or {path = "path", weight = 1.0}.
struct WeightedPath {
  std::string path;
  double weight = 1.0;
  bool operator==(const WeightedPath&) const = default;
};

class ConfigSchema {
 public:
  ConfigSchema();
  ~ConfigSchema();

  // Keys are "section.key". The target's value at this call is the default; a required key has none.
  struct About {
    std::string description;  // with the unit
    bool required = false;
    std::string default_text;  // replaces the printed default ("the model's torch_dtype")
  };
  void integer(const std::string& key, int64_t* target, IntegerRange range, About about);
  void number(const std::string& key, double* target, NumberRange range, About about);
  void numbers(const std::string& key, std::vector<double>* target, NumberRange range, About about);
  void boolean(const std::string& key, bool* target, About about);
  void text(const std::string& key, std::string* target, About about);
  void choice(const std::string& key, std::string* target, std::vector<std::string> allowed, About about);
  void texts(const std::string& key, std::vector<std::string>* target, About about);
  void weighted_paths(const std::string& key, std::vector<WeightedPath>* target, About about);

  // Reads the file, then the overrides ("run.seed=3"; a value that is not TOML is taken as text).
  void read_file(const std::string& path, const std::vector<std::string>& overrides);

  bool is_set(const std::string& key) const;        // given in the file or on the command line
  std::string place(const std::string& key) const;  // "recipe.toml:12" or "command line"; for messages
  // The current value as TOML text; all of them as a TOML file.
  std::string value_text(const std::string& key) const;
  std::string resolved_toml() const;
  std::vector<std::string> keys() const;
  // A Markdown table: key, type and range, default, meaning.
  std::string markdown() const;

 private:
  struct Field;
  struct State;
  Field& add(const std::string& key, About about);
  std::unique_ptr<State> state_;
};

}  // namespace dslite
