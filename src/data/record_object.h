// Access to the keys of a raw record; whatever is wrong rejects the record and says where.
#pragma once
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>

#include "src/base/json.h"
#include "src/data/reject.h"

namespace dslite {

class RecordObject {
 public:
  // `where` stands in messages: "message 3". Keys without a use are added to `unused`.
  RecordObject(const Json& value, std::string where, std::set<std::string>& unused);
  // Whatever is not among `known` is noted as unused.
  void note_unused(std::initializer_list<std::string_view> known) const;
  const Json* find(const char* key) const;  // null for a missing key and for a null
  const Json& demand(const char* key) const;
  std::string text(const char* key) const;
  std::string text_or_empty(const char* key) const { return find(key) ? text(key) : std::string(); }
  const Json& list(const char* key) const;
  const std::string& where() const { return where_; }
  std::set<std::string>& unused() const { return unused_; }

 private:
  const Json& value_;
  std::string where_;
  std::set<std::string>& unused_;
};

// "17", "\"text\"", cut: a value for a message; invalid UTF-8 cannot break it.
std::string shown_json(const Json& value);

}  // namespace dslite
