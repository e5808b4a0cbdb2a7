// The normalizer of a tokenizer.json: none, or Unicode normalization forms (UAX #15) by ICU. The `tokenizers` package
// normalizes by Unicode 9.0: characters that came later stay as they are and stand apart.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/json.h"

namespace dslite {

class Normalizer {
 public:
  // A component of type NFC, NFD, NFKC, NFKD, a Sequence of them, or null. UserError for any other.
  Normalizer(const Json& normalizer, const std::string& where);
  ~Normalizer();
  Normalizer(Normalizer&&) noexcept;

  bool empty() const { return forms_.empty(); }
  // The text in normal form: the text itself where nothing changes, else what is written to `buffer`.
  std::string_view apply(std::string_view text, std::string& buffer) const;

 private:
  struct Form;
  void add(const Json& normalizer, const std::string& where);
  std::vector<std::unique_ptr<Form>> forms_;
};

}  // namespace dslite
