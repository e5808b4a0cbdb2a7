// dslite data: check, show and stats of a token file.
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <ranges>

#include "src/base/error.h"
#include "src/cli/cli.h"
#include "src/data/checks.h"

namespace dslite {
namespace {

struct DataArguments {
  std::string path, held_out, tokenizer, color = "auto";
  int64_t num_samples = 3;
  bool json = false;
};

int check(const DataArguments& arguments) {
  const TokenStore store(arguments.path);
  store.verify();
  CheckReport report = check_token_file(store);
  if (canonical_json(store.info().checked) != canonical_json(report.verdict())) {
    report.problems.push_back(fmt::format("the verdict in the file differs: found {}, computed {}",
                                          store.info().checked.dump(), report.verdict().dump()));
    ++report.num_problems;
  }
  Json verdict = report.verdict();
  if (!arguments.held_out.empty()) {
    const int64_t overlap = count_overlap(store, TokenStore(arguments.held_out));
    verdict["overlap"] = overlap;
    if (overlap > 0) {
      report.problems.push_back(fmt::format("{} documents are in {} too", overlap, arguments.held_out));
      ++report.num_problems;
    }
  }
  verdict["passed"] = report.passed();
  verdict["problems"] = report.problems;
  if (arguments.json) {
    fmt::print("{}\n", verdict.dump(1));
  } else {
    for (const auto& [name, value] : verdict.items()) {
      if (name != "problems") fmt::print("{:<16} {}\n", name, value.dump());
    }
  }
  for (const std::string& problem : report.problems) spdlog::error("{}: {}", arguments.path, problem);
  if (!report.passed()) fail_input("{}: {} checks failed", arguments.path, report.num_problems);
  return 0;
}

// Control characters of a document must not reach the terminal.
std::string printable(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

// Trained tokens green, or between ⟦ and ⟧ where there are no colours.
std::string marked(const std::string& text, bool trained, bool color) {
  if (!trained) return printable(text);
  return color ? "\x1b[32m" + printable(text) + "\x1b[0m" : "⟦" + printable(text) + "⟧";
}

int show(const DataArguments& arguments) {
  const TokenStore store(arguments.path);
  const auto tokenizer = Tokenizer::load(arguments.tokenizer);
  if (tokenizer->sha256() != store.info().tokenizer_sha256) {
    fail_input("{}: made with another tokenizer (sha256 {}) than {} ({})", arguments.path,
               store.info().tokenizer_sha256, arguments.tokenizer, tokenizer->sha256());
  }
  if (arguments.color != "auto" && arguments.color != "always" && arguments.color != "never") {
    fail_input("--color: found {}, expected auto, always or never", shown(arguments.color));
  }
  const bool color = arguments.color == "always" || (arguments.color == "auto" && isatty(STDOUT_FILENO));
  const int64_t num_documents = store.info().num_documents,
                num_samples = std::min(arguments.num_samples, num_documents);
  const auto offsets = store.document_offsets();
  DocumentReader reader(store);
  for (int64_t sample = 0; sample < num_samples; ++sample) {  // spread evenly over the file
    const auto d = static_cast<uint64_t>(sample * num_documents / num_samples);
    const StoredDocument document = reader.read(d);
    const auto trained = [&](size_t i) {
      return i > 0 && (document.loss_weight.empty() || document.loss_weight[i] > 0);
    };
    const size_t num_trained =
        static_cast<size_t>(std::ranges::count_if(std::views::iota(size_t{0}, document.tokens.size()), trained));
    fmt::print("--- document {} of {}, {}: {} tokens, {} trained\n", d, num_documents,
               store.sources()[store.document_source()[d]].name, offsets[d + 1] - offsets[d], num_trained);
    for (size_t begin = 0, end = 0; begin < document.tokens.size(); begin = end) {
      while (end < document.tokens.size() && trained(end) == trained(begin)) ++end;
      fmt::print("{}", marked(tokenizer->decode(std::span(document.tokens).subspan(begin, end - begin)), trained(begin),
                              color));
    }
    fmt::print("\n");
  }
  return 0;
}

struct LengthBin {
  uint64_t from, to;  // tokens, inclusive
  uint64_t documents = 0, tokens = 0;
};

// Powers of two: 1, 2-3, 4-7, ...
std::vector<LengthBin> length_histogram(const TokenStore& store) {
  std::vector<LengthBin> bins;
  const auto offsets = store.document_offsets();
  for (size_t d = 0; d + 1 < offsets.size(); ++d) {
    const uint64_t length = offsets[d + 1] - offsets[d];
    const auto bin = static_cast<size_t>(std::bit_width(length)) - 1;
    while (bins.size() <= bin) bins.push_back({uint64_t{1} << bins.size(), (uint64_t{2} << bins.size()) - 1});
    bins[bin].documents += 1;
    bins[bin].tokens += length;
  }
  return bins;
}

int stats(const DataArguments& arguments) {
  const TokenStore store(arguments.path);
  const std::vector<LengthBin> bins = length_histogram(store);
  if (arguments.json) {
    Json description = store.describe();
    description["length_histogram"] = Json::array();
    for (const LengthBin& bin : bins)
      description["length_histogram"].push_back(
          {{"from", bin.from}, {"to", bin.to}, {"documents", bin.documents}, {"tokens", bin.tokens}});
    fmt::print("{}\n", description.dump(1));
    return 0;
  }
  const TokenFileInfo& info = store.info();
  fmt::print("{}: {}, {} documents, {} tokens, {} trained ({:.1f} %), longest {}, mean {:.1f}\n", arguments.path,
             info.kind == TokenFileKind::kSft ? "sft" : "pretrain", info.num_documents, info.num_tokens,
             info.num_trained_tokens,
             100.0 * static_cast<double>(info.num_trained_tokens) / static_cast<double>(info.num_tokens),
             info.max_document_tokens, static_cast<double>(info.num_tokens) / static_cast<double>(info.num_documents));
  for (const TokenSource& source : store.sources())
    fmt::print("  {}: {} documents, {} tokens, {} bytes\n", source.name, source.num_documents, source.num_tokens,
               source.bytes);
  for (const auto& [reason, count] : info.dropped.items()) fmt::print("  rejected for {}: {}\n", reason, count.dump());
  uint64_t most = 1;
  for (const LengthBin& bin : bins) most = std::max(most, bin.documents);
  fmt::print("{:>17} {:>9} {:>11}\n", "document tokens", "documents", "tokens");
  bool some_shorter = false;
  for (const LengthBin& bin : bins) {
    some_shorter = some_shorter || bin.documents > 0;
    if (!some_shorter) continue;
    const auto width = static_cast<size_t>((bin.documents * 50 + most - 1) / most);
    std::string bar;
    for (size_t i = 0; i < width; ++i) bar += "█";
    fmt::print("{:>8}-{:>8} {:>9} {:>11} {}\n", bin.from, bin.to, bin.documents, bin.tokens, bar);
  }
  return 0;
}

}  // namespace

Command add_data(CLI::App& app) {
  auto arguments = std::make_shared<DataArguments>();
  auto action = std::make_shared<int (*)(const DataArguments&)>(nullptr);
  app.require_subcommand(1);
  const auto add = [&](const char* name, const char* description, int (*run)(const DataArguments&)) {
    CLI::App* sub = app.add_subcommand(name, description);
    sub->add_option("FILE", arguments->path, "a token file")->required();
    sub->fallthrough();  // --threads may stand behind the inner command
    sub->callback([action, run] { *action = run; });
    return sub;
  };
  CLI::App* check_command = add("check", "computes all checks of a token file again", check);
  check_command->add_option("--held-out", arguments->held_out,
                            "another token file that must share no document with it");
  check_command->add_flag("--json", arguments->json, "prints the verdict as JSON");
  CLI::App* show_command = add("show", "prints samples with the trained tokens marked", show);
  show_command->add_option("N", arguments->num_samples, "number of samples, spread over the file")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
      ->capture_default_str();
  show_command->add_option("--tokenizer", arguments->tokenizer, "folder with the tokenizer.json that made the file")
      ->required();
  show_command->add_option("--color", arguments->color, "auto, always or never")->capture_default_str();
  CLI::App* stats_command = add("stats", "prints counts and a histogram of the documents' lengths", stats);
  stats_command->add_flag("--json", arguments->json, "prints them as JSON");
  app.footer("Example: dslite data show chat.h5 5 --tokenizer model/");
  return [arguments, action] { return (*action)(*arguments); };
}

}  // namespace dslite
