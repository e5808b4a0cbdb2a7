// Strict reading of a tokenizer.json.
#include "src/text/json_keys.h"

#include <algorithm>

#include "src/base/error.h"

namespace dslite {

void allow_keys(const Json& object, std::initializer_list<const char*> known, const std::string& where) {
  if (!object.is_object()) fail_input("{}: found {}, expected an object", where, object.type_name());
  for (const auto& entry : object.items()) {
    if (std::find(known.begin(), known.end(), entry.key()) != known.end()) continue;
    fail_input("{}: key {} is not supported{}", where, shown(entry.key()),
               suggestion(entry.key(), {known.begin(), known.end()}));
  }
}

const Json& json_array(const Json& object, const std::string& key, const std::string& where) {
  const Json& value = json_member(object, key, where);
  if (!value.is_array()) fail_input("{}: key \"{}\": found {}, expected an array", where, key, value.type_name());
  return value;
}

void expect_value(const Json& object, const std::string& key, const Json& expected, const std::string& where) {
  const Json& found = json_member(object, key, where);
  if (found == expected) return;
  fail_input("{}: key \"{}\": found {}, expected {}: nothing else is supported", where, key, shown(found.dump()),
             expected.dump());
}

void expect_default(const Json& object, const std::string& key, const Json& expected, const std::string& where) {
  if (object.contains(key)) expect_value(object, key, expected, where);
}

}  // namespace dslite
