// dslite data stats.
#include <algorithm>

#include "src/base/error.h"
#include "src/base/files.h"
#include "src/cli/data_commands.h"
#include "src/data/statistics.h"
#include "src/data/token_text.h"

namespace dslite {
namespace {

double share(auto part, auto whole) {
  return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

Json stats_json(const TokenStore& store, const std::vector<LengthBin>& bins, const Fertility& fertility) {
  Json all = store.describe();
  all["truncated"] = num_truncated(store);
  all["length_histogram"] = Json::array();
  for (const LengthBin& bin : bins)
    all["length_histogram"].push_back(
        {{"from", bin.from}, {"to", bin.to}, {"documents", bin.documents}, {"tokens", bin.tokens}});
  const LengthQuantiles q = length_quantiles(store);
  all["length_quantiles"] = {{"least", q.least}, {"10%", q.p10}, {"50%", q.median},
                             {"90%", q.p90},     {"99%", q.p99}, {"most", q.most}};
  all["fit"] = Json::array();
  for (const Fit& fit : fits(store))
    all["fit"].push_back({{"sequence_tokens", fit.sequence_tokens},
                          {"documents_cut", fit.documents_cut},
                          {"tokens_behind_cut", fit.tokens_behind_cut}});
  all["roles"] = Json::object();
  for (const RoleCount& count : count_roles(store))
    all["roles"][role_name(count.role)] = {{"turns", count.turns}, {"tokens", count.tokens}};
  if (fertility.tokens > 0)
    all["fertility"] = {{"tokens", fertility.tokens},
                        {"tokens_per_word", share(fertility.tokens, fertility.words)},
                        {"characters_per_token", share(fertility.characters, fertility.tokens)},
                        {"bytes_per_token", share(fertility.bytes, fertility.tokens)}};
  return all;
}

void print_counts(const TokenStore& store) {
  const TokenFileInfo& info = store.info();
  fmt::print("{}: {}, {} documents, {} tokens, {} trained ({:.1f} %), longest {}, mean {:.1f}\n", store.path(),
             info.kind == TokenFileKind::kSft ? "sft" : "pretrain", info.num_documents, info.num_tokens,
             info.num_trained_tokens, 100 * share(info.num_trained_tokens, info.num_tokens), info.max_document_tokens,
             share(info.num_tokens, info.num_documents));
  for (const TokenSource& source : store.sources())
    fmt::print("  {}: {} documents, {} tokens ({:.1f} %), {} bytes\n", printable(source.name), source.num_documents,
               source.num_tokens, 100 * share(source.num_tokens, info.num_tokens), source.bytes);
  for (const RoleCount& count : count_roles(store))
    fmt::print("  {}: {} turns, {} tokens ({:.1f} %)\n", role_name(count.role), count.turns, count.tokens,
               100 * share(count.tokens, info.num_tokens));
  for (const auto& [reason, count] : info.dropped.items())
    fmt::print("  rejected for {}: {}\n", printable(reason), count.dump());
  fmt::print("  truncated: {} documents\n", num_truncated(store));
}

void print_lengths(const TokenStore& store, const std::vector<LengthBin>& bins) {
  uint64_t most = 1;
  for (const LengthBin& bin : bins) most = std::max(most, bin.documents);
  fmt::print("{:>17} {:>9} {:>11}\n", "document tokens", "documents", "tokens");
  for (const LengthBin& bin : bins) {
    std::string bar;
    for (uint64_t i = 0; i < (bin.documents * 50 + most - 1) / most; ++i) bar += "█";
    fmt::print("{:>8}-{:>8} {:>9} {:>11} {}\n", bin.from, bin.to, bin.documents, bin.tokens, bar);
  }
  const LengthQuantiles q = length_quantiles(store);
  fmt::print("  least {}, 10 % {}, median {}, 90 % {}, 99 % {}, most {}\n", q.least, q.p10, q.median, q.p90, q.p99,
             q.most);
  fmt::print("{:>17} {:>9} {:>11}\n", "sequence_tokens", "cut", "tokens behind a cut");
  for (const Fit& fit : fits(store))
    fmt::print("{:>17} {:>9} {:>11} ({:.1f} %)\n", fit.sequence_tokens, fit.documents_cut, fit.tokens_behind_cut,
               100 * share(fit.tokens_behind_cut, store.info().num_tokens));
}

}  // namespace

int data_stats(const DataArguments& arguments) {
  const TokenStore store(arguments.path);
  const std::vector<LengthBin> bins = length_histogram(store);
  Fertility words;
  const bool tokenizer_known = !arguments.tokenizer.empty() || !tokenizer_folder_of(store).empty();
  if (tokenizer_known) words = fertility(store, *tokenizer_of(store, arguments.tokenizer));
  if (!arguments.svg.empty())
    write_file_atomically(arguments.svg, histogram_svg(bins, "Lengths of the documents of " + arguments.path));
  if (arguments.json) {
    fmt::print("{}\n", stats_json(store, bins, words).dump(1));
    return 0;
  }
  print_counts(store);
  if (tokenizer_known) {
    fmt::print("  fertility ({} tokens): {:.2f} tokens a word, {:.2f} characters and {:.2f} bytes a token\n",
               words.tokens, share(words.tokens, words.words), share(words.characters, words.tokens),
               share(words.bytes, words.tokens));
  } else {
    fmt::print("  fertility: needs --tokenizer\n");
  }
  print_lengths(store, bins);
  return 0;
}

}  // namespace dslite
