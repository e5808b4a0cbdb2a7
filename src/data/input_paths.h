// The inputs of `prepare` as files and folders: patterns such as data/**/*.jsonl, quoted so that the shell leaves them
// alone, are expanded in sorted order.
#pragma once
#include <string>
#include <vector>

namespace dslite {

// In the order given. `*`, `?` and `[...]` match within a name, but not a dot at its front; `**` any number of folders,
// which are not entered through links. A path that exists is itself, whatever characters it has. UserError for a
// pattern that matches no file, and for a file that is there twice.
std::vector<std::string> expand_inputs(const std::vector<std::string>& inputs);

}  // namespace dslite
