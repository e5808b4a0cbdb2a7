// Encodes each file whole on one thread and by lines on all of them, and decodes the ids: the fastest of several runs.
#include "src/cli/tokenizer_bench.h"

#include <cstdio>

#include "src/base/error.h"
#include "src/base/files.h"
#include "src/base/json.h"
#include "src/base/parallel_for.h"
#include "src/cli/bench.h"
#include "src/text/tokenizer.h"

namespace dslite {
namespace {

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

Json bench_text(const Tokenizer& tokenizer, const std::string& path) {
  const std::string text = read_file(path);
  if (text.empty()) fail_input("{}: an empty file has no speed", path);
  const std::vector<std::string_view> lines = lines_of(text);
  std::vector<int32_t> ids;
  std::string decoded;
  size_t line_ids = 0;
  const auto rate = [&](const std::function<void()>& run) {
    return static_cast<double>(text.size()) * 1e-6 / fastest(time_runs(run));
  };
  const double encode = rate([&] { ids = tokenizer.encode(text); });
  const double decode = rate([&] { decoded = tokenizer.decode(ids); });
  const double batch = rate([&] { line_ids = tokenizer.encode_batch(lines).size(); });
  const double whole = rate([&] { line_ids = tokenizer.encode_long(text).size(); });
  return {{"text", path},
          {"bytes", text.size()},
          {"tokens", ids.size()},
          {"round_trip", decoded == text},
          {"encode_mb_per_second", encode},
          {"encode_lines_all_threads_mb_per_second", batch},
          {"encode_whole_all_threads_mb_per_second", whole},
          {"decode_mb_per_second", decode}};
}

}  // namespace

int bench_tokenizer(const TokenizerBenchOptions& options) {
  const auto tokenizer = Tokenizer::load(options.tokenizer);
  Json report = Json::array();
  for (const std::string& path : options.texts) {
    const Json& r = report.emplace_back(bench_text(*tokenizer, path));
    if (options.json) continue;
    const auto number = [&](const char* key) { return r[key].get<double>(); };
    std::printf(
        "%s: %.1f MB, %.2f bytes a token: encode %.1f MB/s, %d threads %.1f (lines) and %.1f (whole), decode %.1f\n",
        path.c_str(), number("bytes") * 1e-6, number("bytes") / number("tokens"), number("encode_mb_per_second"),
        num_threads(), number("encode_lines_all_threads_mb_per_second"),
        number("encode_whole_all_threads_mb_per_second"), number("decode_mb_per_second"));
    std::fflush(stdout);
  }
  if (options.json) std::printf("%s\n", report.dump(2).c_str());
  return 0;
}

}  // namespace dslite
