// The repository as text: which files git would track, and their lines.
#pragma once
#include <string>
#include <vector>

namespace dslite {

struct SourceFile {
  std::string path;  // from the root, "src/model/block.cpp"
  std::vector<std::string> lines;
};

// All text files below `folder` ("" is the root) whose name ends with one of `endings`; build outputs and hidden
// folders are left out. Sorted by path.
std::vector<SourceFile> source_files(const std::string& folder, const std::vector<std::string>& endings);

}  // namespace dslite
