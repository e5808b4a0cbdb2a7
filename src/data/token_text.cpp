// Tokens back to text, marked.
#include "src/data/token_text.h"

#include <algorithm>
#include <filesystem>

#include "src/base/error.h"
#include "src/text/utf8.h"

namespace dslite {
namespace {

bool is_harmful(uint32_t c) {
  return (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7F && c < 0xA0) || c == 0x061C || c == 0x200E || c == 0x200F ||
         (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    if (is_harmful(c.value)) {
      out += c.value < 0x100 ? fmt::format("\\x{:02x}", c.value) : fmt::format("\\u{{{:04x}}}", c.value);
    } else {
      out += text.substr(at, c.size_bytes);
    }
    at += c.size_bytes;
  }
  return out;
}

std::vector<TextRun> text_runs(const StoredDocument& document, const Tokenizer& tokenizer, int64_t max_tokens) {
  const size_t size = std::min(document.tokens.size(), static_cast<size_t>(std::max<int64_t>(0, max_tokens)));
  const auto weight = [&](size_t i) {
    if (i == 0) return 0.0f;
    return document.loss_weight.empty() ? 1.0f : document.loss_weight[i];
  };
  const auto special = [&](size_t i) { return tokenizer.is_special(document.tokens[i]); };
  std::vector<TextRun> runs;
  for (size_t begin = 0, end = 0; begin < size; begin = end) {
    while (end < size && weight(end) == weight(begin) && special(end) == special(begin)) ++end;
    runs.push_back(
        {tokenizer.decode(std::span(document.tokens).subspan(begin, end - begin)), weight(begin), special(begin)});
  }
  return runs;
}

std::string marked_text(const std::vector<TextRun>& runs, TextColors colors) {
  std::string out;
  for (size_t i = 0; i < runs.size(); ++i) {
    const TextRun& run = runs[i];
    const bool trained = run.weight > 0;
    if (colors == TextColors::kTerminal) {
      const char* color = run.special ? (trained ? "1;32" : "36") : (trained ? "32" : "2");
      out += fmt::format("\x1b[{}m{}\x1b[0m", color, printable(run.text));
      continue;
    }
    const bool first = i == 0 || runs[i - 1].weight != run.weight,
               last = i + 1 == runs.size() || runs[i + 1].weight != run.weight;
    if (trained && first) out += run.weight == 1 ? "⟦" : fmt::format("⟦{:g}× ", run.weight);
    out += printable(run.text);
    if (trained && last) out += "⟧";
  }
  return out;
}

std::vector<uint64_t> sample_documents(int64_t num_documents, int64_t count) {
  count = std::min(count, num_documents);
  std::vector<uint64_t> samples;
  for (int64_t i = 0; i < count; ++i)
    samples.push_back(static_cast<uint64_t>(static_cast<__int128>(i) * num_documents / count));
  return samples;
}

std::string tokenizer_folder_of(const TokenStore& store) {
  const std::string path = store.path() + ".json";
  if (!std::filesystem::exists(path)) return {};
  const Json origin = read_json_file(path);
  const auto arguments = origin.is_object() ? origin.find("command_line") : origin.end();
  if (!origin.is_object() || arguments == origin.end() || !arguments->is_array()) return {};
  for (size_t i = 0; i < arguments->size(); ++i) {
    const std::string argument = (*arguments)[i].is_string() ? (*arguments)[i].get<std::string>() : "";
    if (argument == "--tokenizer" && i + 1 < arguments->size() && (*arguments)[i + 1].is_string())
      return (*arguments)[i + 1].get<std::string>();
    if (argument.starts_with("--tokenizer=")) return argument.substr(argument.find('=') + 1);
  }
  return {};
}

std::shared_ptr<const Tokenizer> tokenizer_of(const TokenStore& store, const std::string& folder) {
  const std::string found = folder.empty() ? tokenizer_folder_of(store) : folder;
  if (found.empty())
    fail_input("--tokenizer is needed: {}.json, which names the folder that made the file, is absent", store.path());
  auto tokenizer = Tokenizer::load(found);
  if (tokenizer->sha256() != store.info().tokenizer_sha256) {
    fail_input("{}: made with another tokenizer (sha256 {}) than {} ({})", store.path(), store.info().tokenizer_sha256,
               found, tokenizer->sha256());
  }
  return tokenizer;
}

}  // namespace dslite
