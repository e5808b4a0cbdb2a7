// Strict TOML on toml++.
#include "src/base/config_schema.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "src/base/error.h"
#include "src/base/recipe_text.h"

namespace dslite {

struct ConfigSchema::Field {
  std::string key;
  About about;
  std::string type;                                                        // for documentation and messages
  std::function<bool(const toml::node& node, std::string* problem)> read;  // false: wrong type (or `problem`)
  std::function<std::string()> value;
  std::string place;  // empty: not set
};
struct ConfigSchema::State {
  std::vector<std::unique_ptr<Field>> fields;
  Field* find(const std::string& key) {
    for (auto& field : fields) {
      if (field->key == key) return field.get();
    }
    return nullptr;
  }
};

namespace {

// A JSON string is a TOML basic string.
std::string toml_string(const std::string& text) { return nlohmann::json(text).dump(); }
std::string number_text(double value) {
  const std::string text = fmt::format("{}", value);
  return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}
template <class T, class Text>
std::string list_text(const std::vector<T>& values, Text text) {
  std::string out = "[";
  for (size_t i = 0; i < values.size(); ++i) out += (i ? ", " : "") + text(values[i]);
  return out + "]";
}
// toml++'s printer of arrays and tables measures their numbers by casts that overflow, so these are named by their
// size.
std::string found_text(const toml::node& node) {
  if (const auto* array = node.as_array()) return fmt::format("an array of {} values", array->size());
  if (const auto* table = node.as_table()) return fmt::format("a table of {} keys", table->size());
  std::ostringstream type, value;
  type << node.type();
  if (const auto* text = node.as_string()) return "string " + shown(text->get());
  node.visit([&](const auto& typed) { value << typed; });
  return type.str() + " " + shown(value.str());
}

std::string range_text(IntegerRange range) {
  const bool low = range.minimum != IntegerRange{}.minimum, high = range.maximum != IntegerRange{}.maximum;
  if (low && high) return fmt::format("integer in {} .. {}", range.minimum, range.maximum);
  if (low) return fmt::format("integer >= {}", range.minimum);
  return "integer";
}
std::string range_text(NumberRange range) {
  const bool low = std::isfinite(range.minimum), high = std::isfinite(range.maximum);
  const char* at_least = range.open_minimum ? ">" : ">=";
  if (low && high) return fmt::format("number {} {} and <= {}", at_least, range.minimum, range.maximum);
  if (low) return fmt::format("number {} {}", at_least, range.minimum);
  return "number";
}
bool inside(double value, NumberRange range) {
  return std::isfinite(value) && value <= range.maximum &&
         (range.open_minimum ? value > range.minimum : value >= range.minimum);
}

bool read_weighted_path(const toml::node& node, WeightedPath* out, std::string* problem) {
  if (const auto* text = node.as_string()) {
    *out = {text->get(), 1.0};
    return true;
  }
  const toml::table* table = node.as_table();
  if (!table) return false;
  for (const auto& [key, value] : *table) {
    if (key.str() != "path" && key.str() != "weight") {
      *problem = fmt::format("unknown key \"{}\"{}", key.str(), suggestion(key.str(), {"path", "weight"}));
      return false;
    }
  }
  const auto path = (*table)["path"].value_exact<std::string>();
  const auto weight = table->contains("weight") ? (*table)["weight"].value<double>() : std::optional<double>(1.0);
  if (!path || !weight || !(*weight > 0) || !std::isfinite(*weight)) return false;
  *out = {*path, *weight};
  return true;
}

}  // namespace

ConfigSchema::ConfigSchema() : state_(std::make_unique<State>()) {}
ConfigSchema::~ConfigSchema() = default;

ConfigSchema::Field& ConfigSchema::add(const std::string& key, About about) {
  state_->fields.push_back(std::make_unique<Field>());
  Field& field = *state_->fields.back();
  field.key = key;
  field.about = std::move(about);
  return field;
}

void ConfigSchema::integer(const std::string& key, int64_t* target, IntegerRange range, About about) {
  Field& field = add(key, std::move(about));
  field.type = range_text(range);
  field.value = [target] { return std::to_string(*target); };
  field.read = [=](const toml::node& node, std::string*) {
    const auto* value = node.as_integer();
    if (!value || value->get() < range.minimum || value->get() > range.maximum) return false;
    *target = value->get();
    return true;
  };
}
void ConfigSchema::number(const std::string& key, double* target, NumberRange range, About about) {
  Field& field = add(key, std::move(about));
  field.type = range_text(range);
  field.value = [target] { return number_text(*target); };
  field.read = [=](const toml::node& node, std::string*) {
    const auto value = node.is_number() ? node.value<double>() : std::nullopt;
    if (!value || !inside(*value, range)) return false;
    *target = *value;
    return true;
  };
}
void ConfigSchema::numbers(const std::string& key, std::vector<double>* target, NumberRange range, About about) {
  Field& field = add(key, std::move(about));
  field.type = "list of: " + range_text(range);
  field.value = [target] { return list_text(*target, number_text); };
  field.read = [=](const toml::node& node, std::string*) {
    const toml::array* list = node.as_array();
    if (!list) return false;
    std::vector<double> values;
    for (const toml::node& element : *list) {
      const auto value = element.is_number() ? element.value<double>() : std::nullopt;
      if (!value || !inside(*value, range)) return false;
      values.push_back(*value);
    }
    *target = values;
    return true;
  };
}
void ConfigSchema::boolean(const std::string& key, bool* target, About about) {
  Field& field = add(key, std::move(about));
  field.type = "true or false";
  field.value = [target] { return std::string(*target ? "true" : "false"); };
  field.read = [=](const toml::node& node, std::string*) {
    const auto* value = node.as_boolean();
    if (value) *target = value->get();
    return value != nullptr;
  };
}
void ConfigSchema::text(const std::string& key, std::string* target, About about) {
  Field& field = add(key, std::move(about));
  field.type = "text";
  field.value = [target] { return toml_string(*target); };
  field.read = [=](const toml::node& node, std::string*) {
    const auto* value = node.as_string();
    if (!value || value->get().empty()) return false;
    *target = value->get();
    return true;
  };
}
void ConfigSchema::choice(const std::string& key, std::string* target, std::vector<std::string> allowed, About about) {
  Field& field = add(key, std::move(about));
  field.type = "one of " + list_text(allowed, toml_string);
  field.value = [target] { return toml_string(*target); };
  field.read = [=](const toml::node& node, std::string* problem) {
    const auto* value = node.as_string();
    if (!value) return false;
    if (std::find(allowed.begin(), allowed.end(), value->get()) == allowed.end()) {
      *problem = fmt::format("found {}, expected one of {}{}", shown(value->get()), list_text(allowed, toml_string),
                             suggestion(value->get(), allowed));
      return false;
    }
    *target = value->get();
    return true;
  };
}
void ConfigSchema::texts(const std::string& key, std::vector<std::string>* target, About about) {
  Field& field = add(key, std::move(about));
  field.type = "list of texts";
  field.value = [target] { return list_text(*target, toml_string); };
  field.read = [=](const toml::node& node, std::string*) {
    const toml::array* list = node.as_array();
    if (!list) return false;
    std::vector<std::string> values;
    for (const toml::node& element : *list) {
      const auto* value = element.as_string();
      if (!value) return false;
      values.push_back(value->get());
    }
    *target = values;
    return true;
  };
}
void ConfigSchema::weighted_paths(const std::string& key, std::vector<WeightedPath>* target, About about) {
  Field& field = add(key, std::move(about));
  field.type = "path or list of paths or {path, weight > 0}";
  field.value = [target] {
    return list_text(*target, [](const WeightedPath& file) {
      return fmt::format("{{path = {}, weight = {}}}", toml_string(file.path), number_text(file.weight));
    });
  };
  field.read = [=](const toml::node& node, std::string* problem) {
    std::vector<WeightedPath> files;
    const toml::array* list = node.as_array();
    if (!list) files.resize(1);
    if (!list && !read_weighted_path(node, &files[0], problem)) return false;
    for (size_t i = 0; list && i < list->size(); ++i) {
      files.emplace_back();
      if (!read_weighted_path(*list->get(i), &files.back(), problem)) return false;
    }
    *target = files;
    return true;
  };
}

namespace {

struct Setting {
  std::string key;
  std::string place;
  const toml::node* node;
};

std::vector<Setting> settings_of(const toml::table& table, const std::string& path) {
  std::vector<Setting> settings;
  for (const auto& [section, node] : table) {
    const std::string place = fmt::format("{}:{}", path, node.source().begin.line);
    const toml::table* keys = node.as_table();
    if (!keys) fail_input("{}: key \"{}\" stands outside a section; expected [section] headers", place, section.str());
    for (const auto& [key, value] : *keys) {
      settings.push_back({std::string(section.str()) + "." + std::string(key.str()),
                          fmt::format("{}:{}", path, value.source().begin.line), &value});
    }
  }
  return settings;
}

}  // namespace

void ConfigSchema::read_file(const std::string& path, const std::vector<std::string>& overrides) {
  const auto apply = [&](const Setting& setting) {
    Field* field = state_->find(setting.key);
    if (!field) fail_input("{}: unknown key \"{}\"{}", setting.place, setting.key, suggestion(setting.key, keys()));
    std::string problem;
    if (!field->read(*setting.node, &problem)) {
      if (problem.empty()) problem = fmt::format("found {}, expected {}", found_text(*setting.node), field->type);
      fail_input("{}: key \"{}\": {}", setting.place, setting.key, problem);
    }
    field->place = setting.place;
  };
  const toml::table table = parse_toml(path);
  for (const Setting& setting : settings_of(table, path)) apply(setting);
  for (const std::string& argument : overrides) {
    std::string key;
    const toml::table value = parse_override(argument, &key);
    apply({key, "command line", value.get("v")});
  }
  for (const auto& field : state_->fields) {
    if (field->about.required && field->place.empty()) {
      fail_input("{}: key \"{}\" is missing ({}): {}", path, field->key, field->type, field->about.description);
    }
  }
}

bool ConfigSchema::is_set(const std::string& key) const { return !place(key).empty(); }
std::string ConfigSchema::place(const std::string& key) const {
  const Field* field = state_->find(key);
  DSLITE_ASSERT(field);
  return field->place;
}
std::string ConfigSchema::value_text(const std::string& key) const {
  const Field* field = state_->find(key);
  DSLITE_ASSERT(field);
  return field->value();
}
std::vector<std::string> ConfigSchema::keys() const {
  std::vector<std::string> names;
  for (const auto& field : state_->fields) names.push_back(field->key);
  return names;
}

std::string ConfigSchema::resolved_toml() const {
  std::string out, section;
  for (const auto& field : state_->fields) {
    const size_t dot = field->key.find('.');
    if (field->key.substr(0, dot) != section) {
      section = field->key.substr(0, dot);
      out += (out.empty() ? "[" : "\n[") + section + "]\n";
    }
    out += field->key.substr(dot + 1) + " = " + field->value() + "\n";
  }
  return out;
}

std::string ConfigSchema::markdown() const {
  std::string out = "| key | value | default | meaning |\n|---|---|---|---|\n";
  for (const auto& field : state_->fields) {
    const std::string standard = field->about.required                ? "required"
                                 : !field->about.default_text.empty() ? field->about.default_text
                                                                      : "`" + field->value() + "`";
    out += fmt::format("| `{}` | {} | {} | {} |\n", field->key, field->type, standard, field->about.description);
  }
  return out;
}

}  // namespace dslite
