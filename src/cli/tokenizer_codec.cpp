// Text to ids in blocks: a stream for one text, a batch on all threads for lines.
#include "src/cli/tokenizer_codec.h"

#include <cstdio>
#include <iostream>
#include <iterator>
#include <span>
#include <vector>

#include "src/base/error.h"
#include "src/base/json.h"
#include "src/text/stream_encoder.h"
#include "src/text/tokenizer.h"
#include "src/text/utf8.h"

namespace dslite {
namespace {

constexpr size_t kBlockBytes = size_t{8} << 20;

std::string read_stdin() { return {std::istreambuf_iterator<char>(std::cin), {}}; }

// Appends up to kBlockBytes; false at the end.
bool read_block(std::string& text) {
  const size_t before = text.size();
  text.resize(before + kBlockBytes);
  const size_t size = std::fread(text.data() + before, 1, kBlockBytes, stdin);
  if (std::ferror(stdin)) fail_work("stdin: cannot read");
  text.resize(before + size);
  return size > 0;
}

void write_stdout(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) fail_work("stdout: cannot write");
}

void finish_stdout() {
  if (std::fflush(stdout) != 0) fail_work("stdout: cannot write");
}

// Calls each(line, number) without the line feeds; a last line may lack its own.
template <class Each>
void for_each_line(std::string_view text, int64_t first_number, Each&& each) {
  int64_t number = first_number;
  for (size_t begin = 0; begin < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    each(text.substr(begin, end - begin), number);
    begin = end + 1;
  }
}

void encode_stream(const Tokenizer& tokenizer, const EncodeOptions& options) {
  StreamEncoder stream(tokenizer, options, "stdin");
  std::vector<int32_t> ids;
  const char* separator = "[";
  const auto write_ids = [&] {
    if (ids.empty()) return;
    write_stdout(fmt::format("{}{}", separator, fmt::join(ids, ", ")));
    separator = ", ";
    ids.clear();
  };
  for (std::string block; read_block(block); block.clear()) {
    stream.push(block, ids);
    write_ids();
  }
  stream.finish(ids);
  write_ids();
  write_stdout(*separator == '[' ? "[]\n" : "]\n");
}

void encode_lines(const Tokenizer& tokenizer, const EncodeOptions& options) {
  int64_t next_line = 1;
  std::string text;
  for (bool more = true; more;) {
    more = read_block(text);
    const size_t end = more ? text.rfind('\n') + 1 : text.size();  // whole lines; npos + 1 is 0
    std::vector<std::string_view> lines;
    for_each_line(std::string_view(text).substr(0, end), next_line, [&](std::string_view line, int64_t number) {
      check_utf8(line, fmt::format("stdin: line {}", number));
      lines.push_back(line);
    });
    for (const std::vector<int32_t>& ids : tokenizer.encode_batch(lines, options))
      write_stdout(fmt::format("[{}]\n", fmt::join(ids, ", ")));
    next_line += static_cast<int64_t>(lines.size());
    text.erase(0, end);
  }
}

std::vector<int32_t> read_ids(std::string_view text, int64_t line) {
  const Json list = parse_json(text, "stdin", {}, line);
  if (!list.is_array()) fail_input("stdin:{}: found {}, expected a JSON list of ids", line, list.type_name());
  std::vector<int32_t> ids;
  for (const Json& id : list) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > INT32_MAX)
      fail_input("stdin:{}: found {}, expected a token id", line, shown(id.dump()));
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

}  // namespace

int encode_stdin(const CodecOptions& options) {
  const auto tokenizer = Tokenizer::load(options.tokenizer);
  const EncodeOptions encode_options{.parse_special = options.parse_special, .add_special = options.add_special};
  (options.lines ? encode_lines : encode_stream)(*tokenizer, encode_options);
  finish_stdout();
  return 0;
}

int decode_stdin(const CodecOptions& options) {
  const auto tokenizer = Tokenizer::load(options.tokenizer);
  const std::string input = read_stdin();
  const auto decode_one = [&](std::string_view text, int64_t line) {
    try {
      write_stdout(tokenizer->decode(read_ids(text, line), options.skip_special));
    } catch (const UserError& error) {
      const std::string_view what = error.what();
      if (what.starts_with("stdin:")) throw;
      fail_input("stdin:{}: {}", line, what);
    }
  };
  if (options.lines) {
    for_each_line(input, 1, [&](std::string_view line, int64_t number) {
      decode_one(line, number);
      write_stdout("\n");
    });
  } else {
    decode_one(input, 1);
  }
  finish_stdout();
  return 0;
}

}  // namespace dslite
