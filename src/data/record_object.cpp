// Keys of a raw record.
#include "src/data/record_object.h"

#include <algorithm>

#include "src/base/error.h"

namespace dslite {

std::string shown_json(const Json& value) { return shown(value.dump(-1, ' ', false, Json::error_handler_t::replace)); }

RecordObject::RecordObject(const Json& value, std::string where, std::set<std::string>& unused)
    : value_(value), where_(std::move(where)), unused_(unused) {
  if (!value.is_object())
    reject(RejectReason::kWrongSchema, "{}: found {}, expected an object", where_, value.type_name());
}

void RecordObject::note_unused(std::initializer_list<std::string_view> known) const {
  for (const auto& [key, value] : value_.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) unused_.insert(key);
  }
}

const Json* RecordObject::find(const char* key) const {
  const auto found = value_.find(key);
  return found == value_.end() || found->is_null() ? nullptr : &*found;
}

const Json& RecordObject::demand(const char* key) const {
  const Json* found = find(key);
  if (!found)
    reject(RejectReason::kWrongSchema, "{}: key \"{}\" is {}", where_, key, value_.contains(key) ? "null" : "missing");
  return *found;
}

std::string RecordObject::text(const char* key) const {
  const Json& found = demand(key);
  if (!found.is_string())
    reject(RejectReason::kWrongSchema, "{}: key \"{}\": found {} {}, expected a string", where_, key, found.type_name(),
           shown_json(found));
  return found.get<std::string>();
}

const Json& RecordObject::list(const char* key) const {
  const Json& found = demand(key);
  if (!found.is_array())
    reject(RejectReason::kWrongSchema, "{}: key \"{}\": found {}, expected a list", where_, key, found.type_name());
  return found;
}

}  // namespace dslite
