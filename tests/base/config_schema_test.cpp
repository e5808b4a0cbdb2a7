// ConfigSchema: types, ranges, places, overrides, and that the resolved text reads back to itself.
#include "src/base/config_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "src/base/error.h"

namespace dslite {
namespace {

using testing::HasSubstr;

struct Values {
  int64_t count = 3;
  double rate = 0.5;
  std::vector<double> fractions = {0.25};
  bool flag = false;
  std::string name = "n", kind = "slow";
  std::vector<std::string> words;
  std::vector<WeightedPath> files;
};

void bind(ConfigSchema& schema, Values& v, bool required = false) {
  schema.integer("a.count", &v.count, {1, 9}, {.description = "a count", .required = required});
  schema.number("a.rate", &v.rate, {.minimum = 0, .maximum = 1, .open_minimum = true}, {.description = "a rate"});
  schema.numbers("a.fractions", &v.fractions, {.minimum = 0, .maximum = 1}, {.description = "fractions"});
  schema.boolean("b.flag", &v.flag, {.description = "a flag"});
  schema.text("b.name", &v.name, {.description = "a name"});
  schema.choice("b.kind", &v.kind, {"slow", "fast"}, {.description = "a kind"});
  schema.texts("b.words", &v.words, {.description = "words"});
  schema.weighted_paths("b.files", &v.files, {.description = "files"});
}

class ConfigSchemaTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/config_schema_" + std::to_string(::getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string file(const std::string& text) {
    const std::string path = folder_ + "/r.toml";
    std::ofstream(path) << text;
    return path;
  }
  // The message of the UserError, or "" when there is none.
  std::string problem(const std::string& text, const std::vector<std::string>& overrides = {}, bool required = false) {
    Values v;
    ConfigSchema schema;
    bind(schema, v, required);
    try {
      schema.read_file(file(text), overrides);
    } catch (const UserError& error) {
      return error.what();
    }
    return "";
  }
  std::string folder_;
};

TEST_F(ConfigSchemaTest, ReadsEveryType) {
  Values v;
  ConfigSchema schema;
  bind(schema, v);
  schema.read_file(file("[a]\ncount = 7\nrate = 1\nfractions = [0, 0.5]\n[b]\nflag = true\nname = \"x\\\"y\"\nkind = "
                        "\"fast\"\nwords = [\"p\", \"q\"]\n"
                        "files = [\"one.h5\", {path = \"two.h5\", weight = 2}]\n"),
                   {"a.count=8", "b.name=plain words", "b.words=[\"r\"]"});
  EXPECT_EQ(v.count, 8);
  EXPECT_EQ(v.rate, 1.0);
  EXPECT_EQ(v.fractions, (std::vector<double>{0, 0.5}));
  EXPECT_TRUE(v.flag);
  EXPECT_EQ(v.name, "plain words");
  EXPECT_EQ(v.kind, "fast");
  EXPECT_EQ(v.words, (std::vector<std::string>{"r"}));
  EXPECT_EQ(v.files, (std::vector<WeightedPath>{{"one.h5", 1.0}, {"two.h5", 2.0}}));
  EXPECT_EQ(schema.place("a.count"), "command line");
  EXPECT_THAT(schema.place("a.rate"), HasSubstr("r.toml:3"));
}

TEST_F(ConfigSchemaTest, ResolvedTextReadsBackToItself) {
  Values v;
  ConfigSchema schema;
  bind(schema, v);
  schema.read_file(file("[a]\nrate = 0.1\n[b]\nname = \"tab\\tquote\\\" 中\"\nfiles = {path = \"f\", weight = 0.3}\n"),
                   {});
  const std::string resolved = schema.resolved_toml();
  Values again;
  ConfigSchema second;
  bind(second, again);
  second.read_file(file(resolved), {});
  EXPECT_EQ(second.resolved_toml(), resolved);
  EXPECT_EQ(again.name, v.name);
  EXPECT_EQ(again.files, v.files);
}

// What once ended the program inside toml++, or was taken for granted there.
TEST_F(ConfigSchemaTest, DamagedTextIsRefused) {
  for (const std::string text :
       {"[\n", "[a\n]", "[[\n", "[a]\ncount = {\n", "[=", "a = [[[[", "[b]\nname = 'a'あ\n", "[b]\nflag = trueあ\n", "[b]\nflag = t.\"あ\n"})
    EXPECT_THAT(problem(text), HasSubstr("r.toml")) << text;
  std::string deep = "a", header = "[a";
  for (int i = 0; i < 100000; ++i) {
    deep += ". a";
    header += ".\"a\"";
  }
  EXPECT_THAT(problem(deep + " = 1\n"), HasSubstr("more than 1000 parts"));
  EXPECT_THAT(problem("[b]\nflag = true\n" + header + "]\n"), HasSubstr("r.toml:3"));
  EXPECT_THAT(problem("", {"a.count={" + deep + "=1}"}), HasSubstr("command line"));
  EXPECT_EQ(problem("", {"b.name=名前"}), "");
  EXPECT_EQ(problem("# 名前\n[b]\nname = \"\\\"名\"  # 前\nwords = ['名', '''\n名'''', \"\"\"\\\"\"\"\"\"]\n"), "");
  EXPECT_THAT(problem("[a]\ncount = " + std::string(100000, '[')), HasSubstr("not valid TOML"));
  EXPECT_THAT(problem(std::string(size_t{2} << 20, '\n')), HasSubstr("at most"));
  EXPECT_EQ(problem("[b]\nwords = [\"" + std::string(500, '.') + "\", \"a.b/c.d/e.f\"]\n"), "");
}

TEST_F(ConfigSchemaTest, NamesPlaceFoundAndExpected) {
  const struct {
    const char* text;
    std::vector<std::string> overrides;
    std::vector<const char*> parts;
  } cases[] = {
      {"[a]\n\ncount = 0\n", {}, {"r.toml:3", "a.count", "integer \"0\"", "1 .. 9"}},
      {"[a]\ncount = 10\n", {}, {"r.toml:2", "\"10\"", "1 .. 9"}},
      {"[a]\ncount = 2.0\n", {}, {"floating-point", "integer in"}},
      {"[a]\ncount = \"2\"\n", {}, {"string", "integer in"}},
      {"[a]\nrate = 0.0\n", {}, {"a.rate", "number > 0 and <= 1"}},
      {"[a]\nrate = nan\n", {}, {"a.rate"}},
      {"[a]\nrate = inf\n", {}, {"a.rate"}},
      {"[a]\nfractions = [0.5, 2]\n", {}, {"a.fractions", "list of"}},
      {"[a]\nfractions = 0.5\n", {}, {"a.fractions", "list of"}},
      {"[b]\nflag = 1\n", {}, {"b.flag", "true or false"}},
      {"[b]\nname = \"\"\n", {}, {"b.name", "text"}},
      {"[b]\nkind = \"fst\"\n", {}, {"b.kind", "one of [\"slow\", \"fast\"]", "did you mean \"fast\""}},
      {"[b]\nwords = [1]\n", {}, {"b.words"}},
      {"[b]\nfiles = [{path = \"x\", wieght = 2}]\n", {}, {"b.files", "wieght", "did you mean \"weight\""}},
      {"[b]\nfiles = [{path = \"x\", weight = 0}]\n", {}, {"b.files"}},
      {"[b]\nfiles = [{weight = 1.0}]\n", {}, {"b.files"}},
      {"[a]\ncuont = 3\n", {}, {"r.toml:2", "unknown key \"a.cuont\"", "did you mean \"a.count\""}},
      {"count = 3\n", {}, {"r.toml:1", "outside a section"}},
      {"[a]\ncount = 3\ncount = 4\n", {}, {"r.toml:3", "not valid TOML"}},
      {"[a\ncount = 3\n", {}, {"r.toml:", "not valid TOML"}},
      {"", {"a.count=0"}, {"command line", "a.count"}},
      {"", {"a.cont=3"}, {"command line", "did you mean \"a.count\""}},
      {"", {"a.count"}, {"command line", "section.key=value"}},
      {"", {"=3"}, {"command line", "section.key=value"}},
  };
  for (const auto& c : cases) {
    const std::string message = problem(c.text, c.overrides);
    EXPECT_NE(message, "") << c.text;
    for (const char* part : c.parts) EXPECT_THAT(message, HasSubstr(part)) << c.text;
  }
}

TEST_F(ConfigSchemaTest, RequiredKeyIsNamed) {
  EXPECT_THAT(problem("[b]\nflag = true\n", {}, true), HasSubstr("key \"a.count\" is missing"));
  EXPECT_EQ(problem("", {"a.count=3"}, true), "");
}

TEST_F(ConfigSchemaTest, MissingFileAndFolder) {
  Values v;
  ConfigSchema schema;
  bind(schema, v);
  EXPECT_THROW(schema.read_file(folder_ + "/none.toml", {}), UserError);
  EXPECT_THROW(schema.read_file(folder_, {}), UserError);
}

TEST_F(ConfigSchemaTest, MarkdownListsEveryKey) {
  Values v;
  ConfigSchema schema;
  bind(schema, v, true);
  for (const std::string& key : schema.keys()) EXPECT_THAT(schema.markdown(), HasSubstr("`" + key + "`"));
  EXPECT_THAT(schema.markdown(), HasSubstr("required"));
}

}  // namespace
}  // namespace dslite
