// dslite data diff and report.
#include <spdlog/spdlog.h>

#include "src/base/error.h"
#include "src/base/files.h"
#include "src/cli/data_commands.h"
#include "src/data/dataset_diff.h"
#include "src/data/html_report.h"
#include "src/data/token_text.h"

namespace dslite {
namespace {

Json diff_json(const DatasetDiff& diff) {
  Json attributes = Json::object();
  for (const auto& [name, a, b] : diff.attributes) attributes[name] = {a, b};
  return {{"equal", diff.equal()},
          {"attributes", attributes},
          {"only_first", diff.num_only_a},
          {"only_second", diff.num_only_b},
          {"both", diff.num_both},
          {"same_tokenizer", diff.same_tokenizer},
          {"same_order", diff.same_order},
          {"other_tokens", diff.num_other_tokens},
          {"other_weights", diff.num_other_weights},
          {"first_only_first", diff.only_a},
          {"first_only_second", diff.only_b},
          {"first_other_tokens", diff.other_tokens},
          {"first_other_weights", diff.other_weights}};
}

std::string places(const std::vector<uint64_t>& first) {
  return first.empty() ? "" : fmt::format(", first: {}", fmt::join(first, ", "));
}
std::string places(const std::vector<std::pair<uint64_t, uint64_t>>& first) {
  std::vector<std::string> pairs;
  for (const auto& [a, b] : first) pairs.push_back(fmt::format("{} and {}", a, b));
  return pairs.empty() ? "" : fmt::format(", first: {}", fmt::join(pairs, ", "));
}

void print_diff(const DatasetDiff& diff, const DataArguments& arguments) {
  for (const auto& [name, a, b] : diff.attributes)
    fmt::print("{}:\n  - {}\n  + {}\n", name, printable(a), printable(b));
  fmt::print("documents only in {}: {}{}\n", arguments.path, diff.num_only_a, places(diff.only_a));
  fmt::print("documents only in {}: {}{}\n", arguments.other, diff.num_only_b, places(diff.only_b));
  fmt::print("documents in both: {}{}\n", diff.num_both, diff.same_order ? "" : ", in another order");
  if (diff.same_tokenizer) {
    fmt::print("  with other tokens: {}{}\n", diff.num_other_tokens, places(diff.other_tokens));
    fmt::print("  with other weights: {}{}\n", diff.num_other_weights, places(diff.other_weights));
  } else {
    fmt::print("  made with different tokenizers: their tokens were not compared\n");
  }
  fmt::print("{}\n", diff.equal() ? "equal" : "different");
}

}  // namespace

int data_diff(const DataArguments& arguments) {
  const DatasetDiff diff = compare_datasets(TokenStore(arguments.path), TokenStore(arguments.other));
  if (arguments.json) {
    fmt::print("{}\n", diff_json(diff).dump(1));
  } else {
    print_diff(diff, arguments);
  }
  return 0;
}

int data_report(const DataArguments& arguments) {
  const TokenStore store(arguments.path);
  const auto tokenizer = tokenizer_of(store, arguments.tokenizer);
  write_file_atomically(arguments.output, html_report(store, *tokenizer, arguments.num_samples));
  spdlog::info("{} written", arguments.output);
  return 0;
}

}  // namespace dslite
