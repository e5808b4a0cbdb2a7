// What the repository says about itself: every folder is explained, links lead somewhere, nothing is left half done.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <regex>

#include "tests/project/source_tree.h"

namespace dslite {
namespace {

namespace fs = std::filesystem;

std::string text_of(const std::string& path) {
  std::string text;
  const std::string folder = fs::path(path).parent_path().string();
  for (const SourceFile& file : source_files(folder, {fs::path(path).filename().string()})) {
    if (file.path != path) continue;
    for (const std::string& line : file.lines) text += line + "\n";
  }
  return text;
}

TEST(Documents, EveryFolderOfSrcHasAParagraph) {
  const std::string text = text_of("src/README.md");
  for (const auto& entry : fs::directory_iterator(fs::path(DSLITE_SOURCE_DIR) / "src")) {
    if (!entry.is_directory()) continue;
    const std::string name = entry.path().filename().string();
    EXPECT_NE(text.find("**" + name + "/**"), std::string::npos)
        << "src/README.md explains no src/" << name << ": it needs a paragraph that opens with **" << name << "/**";
  }
}

TEST(Documents, LinksBetweenFilesLeadSomewhere) {
  const std::regex link(R"re(\]\(([^)#]+)[^)]*\))re");
  for (const SourceFile& file : source_files("", {".md"})) {
    for (size_t i = 0; i < file.lines.size(); ++i) {
      for (std::sregex_iterator match(file.lines[i].begin(), file.lines[i].end(), link), end; match != end; ++match) {
        const std::string target = (*match)[1];
        if (target.find("://") != std::string::npos) continue;
        EXPECT_TRUE(fs::exists(fs::path(DSLITE_SOURCE_DIR) / fs::path(file.path).parent_path() / target))
            << file.path << ":" << i + 1 << " links to " << target;
      }
    }
  }
}

// Put together from halves, so that this file does not find itself.
std::vector<std::string> forbidden_words() {
  return {std::string("TO") + "DO",
          std::string("FIX") + "ME",
          std::string("HA") + "CK:",
          std::string("place") + "holder",
          std::string("not yet ") + "implemented",
          std::string("/wo") + "rk/"};
}

TEST(Documents, NothingIsLeftHalfDoneOrSpeaksOfOneMachine) {
  const std::vector<std::string> endings = {".h",     ".cpp", ".py",  ".sh",   ".md", ".toml",
                                            ".cmake", ".txt", ".cff", ".json", "run"};
  for (const SourceFile& file : source_files("", endings)) {
    for (size_t i = 0; i < file.lines.size(); ++i) {
      for (const std::string& word : forbidden_words()) {
        EXPECT_EQ(file.lines[i].find(word), std::string::npos)
            << file.path << ":" << i + 1 << " holds \"" << word << "\"";
      }
    }
  }
}

// The first line of a source file says what it is; a .cpp whose header has its name is explained there.
TEST(Documents, SourceFilesOpenWithAComment) {
  for (const std::string folder : {"src", "kernels"}) {
    for (const SourceFile& file : source_files(folder, {".h", ".cpp"})) {
      ASSERT_FALSE(file.lines.empty()) << file.path << " is empty";
      const fs::path header = (fs::path(DSLITE_SOURCE_DIR) / file.path).replace_extension(".h");
      EXPECT_TRUE(file.lines[0].starts_with("//") || (file.path.ends_with(".cpp") && fs::exists(header)))
          << file.path << " does not open with a comment";
    }
  }
}

TEST(Documents, EveryRecipeIsListed) {
  const std::string text = text_of("recipes/README.md");
  for (const SourceFile& file : source_files("recipes", {".toml", ".json"})) {
    const std::string name = file.path.substr(std::string("recipes/").size());
    EXPECT_NE(text.find("(" + name + ")"), std::string::npos) << "recipes/README.md does not list " << name;
  }
}

}  // namespace
}  // namespace dslite
