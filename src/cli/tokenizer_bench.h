// dslite tokenizer bench: the speed of a tokenizer on texts of the user's choice.
#pragma once
#include <string>
#include <vector>

namespace dslite {

struct TokenizerBenchOptions {
  std::string tokenizer;  // folder
  std::vector<std::string> texts;
  bool json = false;
};
int bench_tokenizer(const TokenizerBenchOptions& options);

}  // namespace dslite
