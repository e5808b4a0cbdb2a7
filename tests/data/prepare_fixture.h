// What the tests of `prepare` share: a small tokenizer with the special tokens of all chat formats, inputs, outputs.
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "src/base/error.h"
#include "src/data/prepare.h"
#include "src/data/token_store.h"
#include "src/text/tokenizer.h"
#include "src/text/tokenizer_files.h"
#include "tests/support/temp_folder.h"

namespace dslite {

class PrepareTest : public ::testing::Test {
 protected:
  void SetUp() override;
  // Every reject is allowed.
  PrepareOptions options(const std::vector<std::string>& inputs) const;
  PrepareSummary run(const PrepareOptions& options);
  std::string input(const std::string& name, const std::string& text) const;
  void expect_refused(const PrepareOptions& options, const std::string& what);
  std::string decoded(std::span<const int32_t> ids) const { return tokenizer->decode(ids); }
  StoredDocument document(uint64_t index) const;
  std::string text_of(uint64_t index) const { return decoded(document(index).tokens); }
  // The trained tokens of a document, decoded.
  std::string trained_text(const StoredDocument& document) const;

  TempFolder folder{TempFolder::memory()};
  std::shared_ptr<const Tokenizer> tokenizer;
  std::vector<std::string> rejects;
};

inline const std::string kGood =
    R"({"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"there"}]})";

inline std::string turn(const std::string& role, const std::string& rest) {
  return R"({"role":")" + role + R"(",)" + rest + "}";
}
inline std::string messages(const std::string& list) { return R"({"messages":[)" + list + "]}"; }
// <bos> and <eos> become the tokens' spellings.
std::string with_tokens(std::string text);

}  // namespace dslite
