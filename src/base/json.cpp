// Strict JSON on nlohmann's parser: a SAX handler that builds the value and refuses what the DOM parser lets pass.
#include "src/base/json.h"

#include <unordered_set>

#include "src/base/error.h"
#include "src/base/files.h"

namespace dslite {
namespace {

struct Place {
  int64_t line, column;
};

Place place_of(std::string_view text, size_t position, int64_t first_line) {
  Place place{first_line, 1};
  for (size_t i = 0; i < position && i < text.size(); ++i) {
    if (text[i] == '\n') {
      ++place.line;
      place.column = 1;
    } else {
      ++place.column;
    }
  }
  return place;
}

// Builds a Json by appending: ordered_json's own insertion searches linearly and would be quadratic on a vocabulary.
class Builder : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(int max_depth) : max_depth_(max_depth) {}
  Json take() { return std::move(root_); }
  const std::string& problem() const { return problem_; }
  size_t problem_position() const { return position_; }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return refuse("binary value"); }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& value) override {
    if (!stack_.back().keys.insert(value).second) return refuse("duplicate key " + shown(value));
    stack_.back().key = std::move(value);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& error) override {
    if (problem_.empty()) {
      const std::string text = error.what();  // "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error while ..."
      const size_t colon = text.find(": ");
      problem_ = colon == std::string::npos ? text : text.substr(colon + 2);
      position_ = position > 0 ? position - 1 : 0;
    }
    return false;
  }

 private:
  struct Level {
    Json value;
    std::string key;
    std::unordered_set<std::string> keys;
  };
  bool refuse(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }
  bool open(Json value) {
    if (static_cast<int>(stack_.size()) >= max_depth_) return refuse(fmt::format("nesting deeper than {}", max_depth_));
    stack_.push_back({std::move(value), {}, {}});
    return true;
  }
  bool close() {
    Json value = std::move(stack_.back().value);
    stack_.pop_back();
    return add(std::move(value));
  }
  bool add(Json value) {
    if (stack_.empty()) {
      root_ = std::move(value);
    } else if (Level& level = stack_.back(); level.value.is_object()) {
      level.value.get_ref<Json::object_t&>().emplace_back(std::move(level.key), std::move(value));
    } else {
      level.value.get_ref<Json::array_t&>().push_back(std::move(value));
    }
    return true;
  }

  Json root_;
  std::vector<Level> stack_;
  std::string problem_;
  size_t position_ = std::string::npos;
  int max_depth_;
};

// Counts what the parser has consumed, so that an error of the handler has a place too.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;
  CountingIterator(const char* at, const char** reached) : at_(at), reached_(reached) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    ++at_;
    if (reached_) *reached_ = at_;
    return *this;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** reached_;
};

const char* type_of(const Json& value) { return value.type_name(); }

[[noreturn]] void wrong_type(const std::string& where, const std::string& key, const Json& found, const char* expected) {
  fail_input("{}: key \"{}\": found {} {}, expected {}", where, key, type_of(found), shown(found.dump(-1, ' ', false, Json::error_handler_t::replace)), expected);
}

}  // namespace

Json parse_json(std::string_view text, const std::string& where, const JsonLimits& limits, int64_t first_line) {
  Builder builder(limits.max_depth);
  const char* reached = text.data();
  const CountingIterator begin(text.data(), &reached), end(text.data() + text.size(), nullptr);
  if (!Json::sax_parse(begin, end, &builder)) {
    const size_t position = builder.problem_position() != std::string::npos ? builder.problem_position() : static_cast<size_t>(reached - text.data());
    const Place place = place_of(text, position, first_line);
    fail_input("{}:{}:{}: not valid JSON: {}", where, place.line, place.column, builder.problem());
  }
  return builder.take();
}

Json read_json_file(const std::string& path, const JsonLimits& limits) { return parse_json(read_file(path), path, limits); }

const Json& json_member(const Json& object, const std::string& key, const std::string& where) {
  if (!object.is_object()) fail_input("{}: found {}, expected an object", where, type_of(object));
  const auto found = object.find(key);
  if (found == object.end()) fail_input("{}: key \"{}\" is missing", where, key);
  return *found;
}
std::string json_string(const Json& object, const std::string& key, const std::string& where) {
  const Json& value = json_member(object, key, where);
  if (!value.is_string()) wrong_type(where, key, value, "a string");
  return value.get<std::string>();
}
int64_t json_integer(const Json& object, const std::string& key, const std::string& where) {
  const Json& value = json_member(object, key, where);
  if (!value.is_number_integer()) wrong_type(where, key, value, "an integer");
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) wrong_type(where, key, value, "an integer below 2^63");
  return value.get<int64_t>();
}
double json_number(const Json& object, const std::string& key, const std::string& where) {
  const Json& value = json_member(object, key, where);
  if (!value.is_number()) wrong_type(where, key, value, "a number");
  return value.get<double>();
}
bool json_bool(const Json& object, const std::string& key, const std::string& where) {
  const Json& value = json_member(object, key, where);
  if (!value.is_boolean()) wrong_type(where, key, value, "true or false");
  return value.get<bool>();
}

std::string canonical_json(const Json& value) { return nlohmann::json(value).dump(); }

}  // namespace dslite
