// Patterns of inputs: what they match, in which order, and what is refused.
#include "src/data/input_paths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "src/base/error.h"
#include "tests/support/temp_folder.h"

namespace dslite {
namespace {

using ::testing::HasSubstr;

class InputPaths : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* sub : {"a/b/c", "a/.hidden", "z"}) std::filesystem::create_directories(folder / sub);
    for (const char* file : {"10.jsonl", "9.jsonl", "x.txt", ".dot.jsonl", "a/1.jsonl", "a/b/2.jsonl", "a/b/c/3.jsonl",
                             "a/.hidden/4.jsonl", "z/5.jsonl", "z/[6].jsonl"})
      write_text(folder / file, "x");
    std::filesystem::create_directory_symlink(folder / "a", folder / "z/link");
  }
  // Names below the folder.
  std::vector<std::string> expanded(const std::vector<std::string>& patterns) const {
    std::vector<std::string> inputs;
    for (const std::string& pattern : patterns) inputs.push_back(folder / pattern);
    std::vector<std::string> names;
    for (const std::string& path : expand_inputs(inputs)) names.push_back(path.substr(folder.path().size() + 1));
    return names;
  }
  std::string refusal(const std::vector<std::string>& patterns) const {
    try {
      expanded(patterns);
    } catch (const UserError& error) {
      return error.what();
    }
    return "accepted";
  }
  using Names = std::vector<std::string>;
  TempFolder folder{TempFolder::memory()};
};

TEST_F(InputPaths, AreMatchedInSortedOrder) {
  EXPECT_EQ(expanded({"*.jsonl"}), (Names{"10.jsonl", "9.jsonl"}));
  EXPECT_EQ(expanded({"?.jsonl", "x.*"}), (Names{"9.jsonl", "x.txt"}));
  EXPECT_EQ(expanded({"a/**/*.jsonl"}), (Names{"a/1.jsonl", "a/b/2.jsonl", "a/b/c/3.jsonl"}));
  EXPECT_EQ(expanded({"**/c/*"}), (Names{"a/b/c/3.jsonl"}));
  EXPECT_EQ(expanded({"a/**/b/**/*.jsonl"}), (Names{"a/b/2.jsonl", "a/b/c/3.jsonl"}));
  EXPECT_EQ(expanded({"a/**"}), (Names{"a/1.jsonl", "a/b/2.jsonl", "a/b/c/3.jsonl"}));
  EXPECT_EQ(expanded({"[az]/?.jsonl"}), (Names{"a/1.jsonl", "z/5.jsonl"}));
  EXPECT_EQ(expanded({"z/link/*.jsonl"}), (Names{"z/link/1.jsonl"}));  // a link that is named is followed
  EXPECT_EQ(expanded({".*.jsonl"}), (Names{".dot.jsonl"}));
  EXPECT_EQ(expanded({"z/[6].jsonl"}), (Names{"z/[6].jsonl"}));  // a path that exists is no pattern
  EXPECT_EQ(expanded({"z/5.jsonl", "a/1.jsonl", "missing", "a"}), (Names{"z/5.jsonl", "a/1.jsonl", "missing", "a"}));
  EXPECT_EQ(expanded({"**/*.jsonl"}),
            (Names{"10.jsonl", "9.jsonl", "a/1.jsonl", "a/b/2.jsonl", "a/b/c/3.jsonl", "z/5.jsonl", "z/[6].jsonl"}));
}

TEST_F(InputPaths, RefusesWhatMatchesNothingAndWhatIsThereTwice) {
  EXPECT_THAT(refusal({"*.json"}), HasSubstr("*.json: no file matches this pattern"));
  EXPECT_THAT(refusal({"nowhere/**/*.jsonl"}), HasSubstr("no file matches"));
  EXPECT_THAT(refusal({"x.txt/*"}), HasSubstr("no file matches"));
  EXPECT_THAT(refusal({"[.jsonl"}), HasSubstr("no file matches"));
  EXPECT_THAT(refusal({"x.txt", "x.txt"}), HasSubstr("x.txt: is among the inputs twice; a weight"));
  EXPECT_THAT(refusal({"a/1.jsonl", "z/link/*"}), HasSubstr("z/link/1.jsonl: is among the inputs twice (also as "));
}

}  // namespace
}  // namespace dslite
