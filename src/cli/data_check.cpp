// dslite data check and show.
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>

#include "src/base/error.h"
#include "src/cli/data_commands.h"
#include "src/data/checks.h"
#include "src/data/held_out.h"
#include "src/data/statistics.h"
#include "src/data/token_text.h"

namespace dslite {
namespace {

constexpr size_t kExamples = 5;

TextColors colors_of(const std::string& color) {
  if (color != "auto" && color != "always" && color != "never")
    fail_input("--color: found {}, expected auto, always or never", shown(color));
  return color == "always" || (color == "auto" && isatty(STDOUT_FILENO)) ? TextColors::kTerminal : TextColors::kNone;
}

void print_samples(const TokenStore& store, const DataArguments& arguments) {
  const TextColors colors = colors_of(arguments.color);
  const auto tokenizer = tokenizer_of(store, arguments.tokenizer);
  DocumentReader reader(store);
  for (const uint64_t d : sample_documents(store.info().num_documents, arguments.num_samples)) {
    const StoredDocument document = reader.read(d);
    size_t num_trained = document.tokens.size() - 1;
    if (!document.loss_weight.empty())
      num_trained = static_cast<size_t>(std::count_if(document.loss_weight.begin() + 1, document.loss_weight.end(),
                                                      [](float weight) { return weight > 0; }));
    fmt::print("--- document {} of {}, {}: {} tokens, {} trained\n", d, store.info().num_documents,
               printable(store.sources()[store.document_source()[d]].name), document.tokens.size(), num_trained);
    fmt::print("{}\n", marked_text(text_runs(document, *tokenizer, INT64_MAX), colors));
  }
}

// Documents of the file that are held out too: a failed check each, the first of them named.
Json check_held_out(const TokenStore& store, const std::vector<std::string>& paths, CheckReport& report) {
  Json overlap = Json::object();
  for (const std::string& path : paths) {
    const HeldOut held_out = read_held_out(path);
    if (held_out.num_unreadable > 0) spdlog::warn("{}: {} records hold no document", path, held_out.num_unreadable);
    const std::vector<uint64_t> found = overlapping(store, held_out);
    overlap[path] = found.size();
    if (found.empty()) continue;
    const std::vector<uint64_t> first(found.begin(),
                                      found.begin() + static_cast<std::ptrdiff_t>(std::min(kExamples, found.size())));
    report.problems.push_back(
        fmt::format("{} documents are in {} too, first: {}", found.size(), path, fmt::join(first, ", ")));
    ++report.num_problems;
  }
  return overlap;
}

Json first_duplicates(const TokenStore& store) {
  Json list = Json::array();
  for (const auto& [earlier, later] : duplicates(store, kExamples)) list.push_back({earlier, later});
  return list;
}

}  // namespace

int check_data(const DataArguments& arguments) {
  const TokenStore store(arguments.path);
  store.verify();
  CheckReport report = check_token_file(store);
  const Json& stored = store.info().checked;
  report.num_truncated = num_truncated(store);
  Json computed = report.verdict();
  if (!stored.contains("truncated")) computed.erase("truncated");  // as early files have it
  if (canonical_json(stored) != canonical_json(computed)) {
    report.problems.push_back(
        fmt::format("the verdict in the file differs: found {}, computed {}", stored.dump(), computed.dump()));
    ++report.num_problems;
  }
  Json verdict = report.verdict();
  if (report.num_duplicates > 0) verdict["first_duplicates"] = first_duplicates(store);
  if (!arguments.held_out.empty()) verdict["overlap"] = check_held_out(store, arguments.held_out, report);
  verdict["passed"] = report.passed();
  verdict["problems"] = report.problems;
  if (arguments.json) {
    fmt::print("{}\n", verdict.dump(1));
  } else {
    for (const auto& [name, value] : verdict.items()) {
      if (name != "problems") fmt::print("{:<16} {}\n", name, value.dump());
    }
    if (arguments.num_samples > 0) print_samples(store, arguments);
  }
  for (const std::string& problem : report.problems) spdlog::error("{}: {}", arguments.path, problem);
  if (!report.passed()) fail_input("{}: {} checks failed", arguments.path, report.num_problems);
  return 0;
}

int show_data(const DataArguments& arguments) {
  print_samples(TokenStore(arguments.path), arguments);
  return 0;
}

}  // namespace dslite
