// Objects built for one instruction set may share no weak symbol with the rest of the program: the linker would keep
// either copy, and the one with AVX code would crash on a processor without it. Templates and inline functions of the
// standard library do just that, at -O0 most of all.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

std::vector<fs::path> objects_of(const std::string& target) {
  std::vector<fs::path> objects;
  for (const auto& entry : fs::recursive_directory_iterator(DSLITE_BINARY_DIR "/kernels/CMakeFiles/" + target + ".dir"))
    if (entry.path().extension() == ".o") objects.push_back(entry.path());
  return objects;
}

// Names of weak, unique and common symbols, defined or not.
std::vector<std::string> shared_symbols(const fs::path& object) {
  const std::string command = "nm -P '" + object.string() + "'";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), &pclose);
  std::vector<std::string> names;
  char name[4096], type;
  int seen = 0;
  for (char line[8192]; pipe && std::fgets(line, sizeof line, pipe.get()); ++seen)
    if (std::sscanf(line, "%4095s %c", name, &type) == 2 && std::string("wWvVuC").find(type) != std::string::npos)
      names.emplace_back(name);
  EXPECT_GT(seen, 0) << command << " printed nothing";
  return names;
}

// `set` as the mangled namespace dslite::kernels::set.
std::vector<std::string> foreign_symbols(const std::string& target, const std::string& set) {
  const std::string inside = "6dslite7kernels" + std::to_string(set.size()) + set;
  std::vector<std::string> foreign;
  const std::vector<fs::path> objects = objects_of(target);
  EXPECT_GE(objects.size(), 3u) << target;
  for (const fs::path& object : objects)
    for (const std::string& name : shared_symbols(object))
      if (name.find(inside) == std::string::npos) foreign.push_back(object.filename().string() + ": " + name);
  return foreign;
}

TEST(WeakSymbols, StayInTheNamespaceOfTheInstructionSet) {
  for (const std::string set : {"scalar", "avx2", "avx512", "avx512bf16"})
    EXPECT_EQ(foreign_symbols("dslite_kernels_" + set, set), std::vector<std::string>{});
}

TEST(WeakSymbols, StayThereWithoutOptimisation) {
  for (const std::string set : {"avx2", "avx512bf16"})
    EXPECT_EQ(foreign_symbols("dslite_kernels_" + set + "_unoptimized", set), std::vector<std::string>{});
}

}  // namespace
