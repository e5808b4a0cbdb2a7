// Writes the page.
#include "src/data/html_report.h"

#include <filesystem>

#include "src/base/error.h"
#include "src/data/checks.h"
#include "src/data/statistics.h"
#include "src/data/token_text.h"

namespace dslite {
namespace {

constexpr int64_t kMaxSampleTokens = 4000;  // what a reader can take in, and a browser

constexpr const char* kHead =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title>\n<style>\n"
    "body{{font-family:sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;line-height:1.4}}\n"
    "table{{border-collapse:collapse;margin:1rem 0}}td,th{{border:1px solid #bbb;padding:.2rem "
    ".6rem;text-align:left}}\n"
    "pre{{white-space:pre-wrap;overflow-wrap:anywhere;background:#f6f6f6;padding:.8rem;color:#555}}\n"
    ".t{{background:#c8ecc8;color:#000}}.s{{color:#0a6e8a;font-weight:bold}}\n"
    "</style></head><body>\n<h1>{0}</h1>\n";

class Table {
 public:
  Table(std::string& page, const std::vector<std::string>& head) : page_(page) {
    page_ += "<table>\n";
    if (!head.empty()) line(head, "th");
  }
  ~Table() { page_ += "</table>\n"; }
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;
  void row(const std::vector<std::string>& cells) { line(cells, "td"); }

 private:
  void line(const std::vector<std::string>& cells, const char* tag) {
    page_ += "<tr>";
    for (const std::string& cell : cells) page_ += fmt::format("<{0}>{1}</{0}>", tag, html_escaped(cell));
    page_ += "</tr>\n";
  }
  std::string& page_;
};

std::string number(auto value) { return fmt::format("{}", value); }

void add_counts(std::string& page, const TokenStore& store) {
  const TokenFileInfo& info = store.info();
  Table table(page, {});
  table.row({"kind", info.kind == TokenFileKind::kSft ? "conversations" : "text"});
  if (!info.chat_format.empty()) table.row({"chat format", info.chat_format});
  table.row({"documents", number(info.num_documents)});
  table.row({"tokens", number(info.num_tokens)});
  table.row({"trained tokens",
             fmt::format("{} ({:.1f} %)", info.num_trained_tokens,
                         100.0 * static_cast<double>(info.num_trained_tokens) / static_cast<double>(info.num_tokens))});
  const LengthQuantiles q = length_quantiles(store);
  table.row({"document tokens", fmt::format("least {}, 10 % {}, median {}, 90 % {}, 99 % {}, most {}", q.least, q.p10,
                                            q.median, q.p90, q.p99, q.most)});
  for (const auto& [name, value] : info.checked.items()) table.row({"check: " + name, value.dump()});
  for (const auto& [reason, count] : info.dropped.items()) table.row({"rejected for " + reason, count.dump()});
  table.row({"tokenizer (sha256)", info.tokenizer_sha256});
}

void add_parts(std::string& page, const TokenStore& store) {
  page += "<h2>Sources</h2>\n";
  {
    Table table(page, {"file", "documents", "tokens", "bytes", "sha256"});
    for (const TokenSource& source : store.sources())
      table.row(
          {source.name, number(source.num_documents), number(source.num_tokens), number(source.bytes), source.sha256});
  }
  if (store.info().kind == TokenFileKind::kSft) {
    page += "<h2>Roles</h2>\n";
    Table table(page, {"role", "turns", "tokens"});
    for (const RoleCount& count : count_roles(store))
      table.row({role_name(count.role), number(count.turns), number(count.tokens)});
  }
  page += "<h2>Rows</h2>\n";
  Table table(page, {"sequence_tokens", "documents cut", "tokens behind a cut"});
  for (const Fit& fit : fits(store))
    table.row({number(fit.sequence_tokens), number(fit.documents_cut), number(fit.tokens_behind_cut)});
}

void add_sample(std::string& page, const TokenStore& store, DocumentReader& reader, const Tokenizer& tokenizer,
                uint64_t index) {
  const StoredDocument document = reader.read(index);
  page += fmt::format("<h3>Document {} of {}, {}: {} tokens</h3>\n<pre>", index, store.info().num_documents,
                      html_escaped(store.sources()[store.document_source()[index]].name), document.tokens.size());
  for (const TextRun& run : text_runs(document, tokenizer, kMaxSampleTokens)) {
    std::string classes = run.special ? "s" : "";
    if (run.weight > 0) classes += classes.empty() ? "t" : " t";
    const std::string title = run.weight > 0 ? fmt::format(" title=\"weight {:g}\"", run.weight) : "";
    page += fmt::format("<span class=\"{}\"{}>{}</span>", classes, title, html_escaped(printable(run.text)));
  }
  if (const auto size = static_cast<int64_t>(document.tokens.size()); size > kMaxSampleTokens)
    page += fmt::format("\n… {} more tokens", size - kMaxSampleTokens);
  page += "</pre>\n";
}

}  // namespace

std::string html_report(const TokenStore& store, const Tokenizer& tokenizer, int64_t num_samples) {
  const std::string name = std::filesystem::path(store.path()).filename().string();
  std::string page = fmt::format(fmt::runtime(kHead), html_escaped(name));
  add_counts(page, store);
  page += histogram_svg(length_histogram(store), "Lengths of the documents");
  add_parts(page, store);
  page +=
      "<h2>Samples</h2>\n<p>Spread evenly over the file. <span class=\"t\">Trained</span>, masked, "
      "<span class=\"s\">special tokens</span>.</p>\n";
  DocumentReader reader(store);
  for (const uint64_t index : sample_documents(store.info().num_documents, num_samples))
    add_sample(page, store, reader, tokenizer, index);
  return page + "</body></html>\n";
}

}  // namespace dslite
