// Which folder may include which: every #include of kernels/, src/ and tests/ is held to the table. A new folder needs
// a line here.
#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>

#include "tests/project/source_tree.h"

namespace dslite {
namespace {

using Folders = std::set<std::string>;

// Beside itself. All of src/ may use kernels/common.
const std::map<std::string, Folders>& allowed_of_src() {
  static const std::map<std::string, Folders> allowed = {
      {"base", {}},
      {"ops", {"base", "kernels"}},
      {"parallel", {"base"}},
      {"text", {"base"}},
      {"data", {"text", "base"}},
      {"model", {"ops", "parallel", "base"}},
      {"optim", {"ops", "model", "parallel", "base", "kernels"}},
      {"checkpoint", {"parallel", "base"}},
      {"model_folder", {"model", "checkpoint", "text", "base"}},
      {"generate", {"model_folder", "model", "ops", "text", "base"}},
      {"train",
       {"generate", "model_folder", "checkpoint", "optim", "model", "ops", "data", "text", "parallel", "base"}},
      {"serve", {"generate", "model_folder", "text", "base"}},
      {"cli",
       {"train", "serve", "generate", "model_folder", "checkpoint", "optim", "model", "ops", "data", "text", "parallel",
        "base", "kernels"}},
      {"main.cpp", {"cli", "base"}},
      {"precompiled.h", {}},
      {"precompiled.cpp", {"precompiled.h"}},
  };
  return allowed;
}

const Folders kKernelsForAll = {"common", "gemm", "rope", "swiglu"};

struct Include {
  std::string place, target;  // "src/a/b.cpp:3", the path between the quotes or brackets
  bool quoted = false;
};

std::vector<Include> includes_of(const SourceFile& file) {
  static const std::regex pattern(R"re(^\s*#\s*include\s*(["<])([^">]+)[">].*)re");
  std::vector<Include> found;
  for (size_t i = 0; i < file.lines.size(); ++i) {
    std::smatch match;
    if (std::regex_match(file.lines[i], match, pattern))
      found.push_back({file.path + ":" + std::to_string(i + 1), match[2], match[1] == "\""});
  }
  return found;
}

// The part after the first folder: "src/model/block.h" -> "model", "src/main.cpp" -> "main.cpp".
std::string second_part(const std::string& path) {
  const size_t begin = path.find('/') + 1;
  return path.substr(begin, path.find('/', begin) - begin);
}

bool is_torch(const std::string& target) {
  return target.starts_with("ATen/") || target.starts_with("c10/") || target.starts_with("torch/");
}

bool src_may_include(const std::string& folder, const std::string& target) {
  const auto allowed = allowed_of_src().find(folder);
  if (allowed == allowed_of_src().end()) return false;
  if (target.starts_with("kernels/common/")) return true;
  if (target.starts_with("kernels/")) return allowed->second.contains("kernels") && !target.ends_with(".cpp");
  return target.starts_with("src/") && (second_part(target) == folder || allowed->second.contains(second_part(target)));
}

TEST(Layers, EveryIncludeOfSrcGoesInAnAllowedDirection) {
  for (const SourceFile& file : source_files("src", {".h", ".cpp"})) {
    for (const Include& include : includes_of(file)) {
      if (include.quoted) {
        EXPECT_TRUE(src_may_include(second_part(file.path), include.target))
            << include.place << " may not include \"" << include.target << "\"";
      } else {
        EXPECT_FALSE(include.target.starts_with("src/") || include.target.starts_with("kernels/"))
            << include.place << ": our own files are included with quotes";
        EXPECT_NE(include.target, "torch/torch.h")
            << include.place << ": it costs 14 s; take ATen/core/Tensor.h and ATen/ops/X.h";
      }
    }
  }
}

TEST(Layers, KernelsIncludeTheStandardLibraryAndKernelsOnly) {
  for (const SourceFile& file : source_files("kernels", {".h", ".cpp", ".inl", ".cu"})) {
    const bool is_benchmark = file.path.ends_with("_bench.cpp") || file.path.find("bench") != std::string::npos;
    const std::string folder = second_part(file.path);
    for (const Include& include : includes_of(file)) {
      if (include.quoted) {
        const bool from_kernels = include.target.starts_with("kernels/") &&
                                  (folder == second_part(include.target) ||
                                   kKernelsForAll.contains(second_part(include.target)) || is_benchmark);
        EXPECT_TRUE(from_kernels || (is_benchmark && include.target == "src/base/parallel_for.h"))
            << include.place << " may not include \"" << include.target << "\"";
      } else if (!is_benchmark) {
        EXPECT_FALSE(is_torch(include.target) ||
                     (include.target.find('/') != std::string::npos && !include.target.starts_with("sys/")))
            << include.place << " may not include <" << include.target << ">";
      }
    }
  }
}

// They are compiled once for each instruction set: a template of the standard library would leave AVX code in a weak
// symbol that the baseline may call.
TEST(Layers, FilesOfOneInstructionSetIncludeNoStandardTemplates) {
  const std::set<std::string> harmless = {"cstdint", "cstring", "immintrin.h"};
  for (const SourceFile& file : source_files("kernels", {"_cpu.cpp"})) {
    for (const Include& include : includes_of(file)) {
      EXPECT_TRUE(include.quoted || harmless.contains(include.target))
          << include.place << " may not include <" << include.target << ">";
    }
  }
}

TEST(Layers, NobodyIncludesTestsOrToolsButTests) {
  for (const SourceFile& file : source_files("tests", {".h", ".cpp"})) {
    const std::string folder = second_part(file.path);
    for (const Include& include : includes_of(file)) {
      if (!include.quoted) continue;
      const bool own =
          include.target.starts_with("tests/" + folder + "/") || include.target.starts_with("tests/support/");
      EXPECT_TRUE(own || include.target.starts_with("src/") || include.target.starts_with("kernels/"))
          << include.place << " may not include \"" << include.target << "\"";
      const bool from_src = include.target.starts_with("src/") && include.target != "src/base/parallel_for.h";
      EXPECT_FALSE(folder == "kernels" && from_src) << include.place << ": kernel tests do not link src/";
    }
  }
}

// A backend is a file, and absence is linking; what differs by compiler or instruction set lies in kernels/common.
TEST(Layers, NoConditionalCompilationOutsideKernelsCommon) {
  const std::regex conditional(R"re(^\s*#\s*(if|ifdef|ifndef|elif)\b.*)re");
  for (const std::string folder : {"src", "kernels", "tests"}) {
    for (const SourceFile& file : source_files(folder, {".h", ".cpp", ".inl", ".cu"})) {
      if (file.path.starts_with("kernels/common/")) continue;
      for (size_t i = 0; i < file.lines.size(); ++i)
        EXPECT_FALSE(std::regex_match(file.lines[i], conditional))
            << file.path << ":" << i + 1 << ": " << file.lines[i];
    }
  }
}

}  // namespace
}  // namespace dslite
