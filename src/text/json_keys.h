// Strict reading of a tokenizer.json: every key is known, every value is one that is implemented. `where` names file
// and place.
#pragma once
#include <initializer_list>
#include <string>

#include "src/base/json.h"

namespace dslite {

// UserError for a key that is not in the list, with a near name.
void allow_keys(const Json& object, std::initializer_list<const char*> known, const std::string& where);
const Json& json_array(const Json& object, const std::string& key, const std::string& where);
// UserError for any other value.
void expect_value(const Json& object, const std::string& key, const Json& expected, const std::string& where);
// The same, but the key may be missing.
void expect_default(const Json& object, const std::string& key, const Json& expected, const std::string& where);

}  // namespace dslite
