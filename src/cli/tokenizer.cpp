// dslite tokenizer train | encode | decode: stdin to stdout, ids as JSON lists.
#include <cstdio>
#include <iostream>
#include <iterator>

#include "src/base/error.h"
#include "src/base/files.h"
#include "src/base/json.h"
#include "src/base/progress.h"
#include "src/cli/cli.h"
#include "src/text/bpe_trainer.h"
#include "src/text/tokenizer.h"
#include "src/text/tokenizer_files.h"
#include "src/text/utf8.h"

namespace dslite {
namespace {

constexpr int64_t kNumSpecial = 2, kNumBytes = 243;

struct TrainOptions {
  int64_t vocab_size = 0;
  std::string output;
  std::vector<std::string> texts;
};

void read_texts(BpeTrainer& trainer, const std::vector<std::string>& paths) {
  constexpr size_t kBlockBytes = 1 << 20;
  std::vector<std::unique_ptr<MappedFile>> files;
  int64_t total = 0, done = 0;
  for (const std::string& path : paths)
    total += static_cast<int64_t>(files.emplace_back(std::make_unique<MappedFile>(path))->bytes().size());
  Progress progress("reading", total, "bytes");
  for (const auto& file : files) {
    const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
    check_utf8(text, file->path());
    for (size_t begin = 0, end; begin < text.size(); begin = end) {
      const size_t line_feed = text.find('\n', std::min(text.size(), begin + kBlockBytes));
      end = line_feed == std::string_view::npos ? text.size() : line_feed + 1;
      trainer.add_text(text.substr(begin, end - begin));
      progress.update(done + static_cast<int64_t>(end));
    }
    file->check_unchanged();
    done += static_cast<int64_t>(text.size());
  }
}

int train(const TrainOptions& options) {
  BpeTrainer trainer;
  read_texts(trainer, options.texts);
  TrainedBpe bpe;
  {
    Progress progress("merging", options.vocab_size - kNumSpecial - kNumBytes, "merges");
    const auto update = [](void* state, int64_t done) { static_cast<Progress*>(state)->update(done); };
    bpe = trainer.train(options.vocab_size - kNumSpecial, update, &progress);
  }
  const int64_t found = static_cast<int64_t>(bpe.tokens.size()) + kNumSpecial;
  if (found < options.vocab_size)
    fail_input("--vocab-size: found {}, but these texts give at most {} tokens: give more text or ask for fewer",
               options.vocab_size, found);
  write_tokenizer_folder(options.output, bpe);
  std::fprintf(stderr, "%s: %lld tokens\n", options.output.c_str(), static_cast<long long>(found));
  return 0;
}

struct CodecOptions {
  std::string tokenizer;
  bool lines = false, parse_special = false, add_special = false, skip_special = false;
};

std::string read_stdin() { return {std::istreambuf_iterator<char>(std::cin), {}}; }

void write_stdout(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) fail_work("stdout: cannot write");
}

void finish_stdout() {
  if (std::fflush(stdout) != 0) fail_work("stdout: cannot write");
}

// Calls each(line, number) without the line feeds; a last line may lack its own.
template <class Each>
void for_each_line(std::string_view text, Each&& each) {
  int64_t number = 1;
  for (size_t begin = 0; begin < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    each(text.substr(begin, end - begin), number);
    begin = end + 1;
  }
}

int encode(const CodecOptions& options) {
  const auto tokenizer = Tokenizer::load(options.tokenizer);
  const std::string input = read_stdin();
  const auto encode_one = [&](std::string_view text, const std::string& where) {
    check_utf8(text, where);
    const std::vector<int32_t> ids =
        tokenizer->encode(text, {.parse_special = options.parse_special, .add_special = options.add_special});
    write_stdout(fmt::format("[{}]\n", fmt::join(ids, ", ")));
  };
  if (options.lines) {
    for_each_line(
        input, [&](std::string_view line, int64_t number) { encode_one(line, fmt::format("stdin: line {}", number)); });
  } else {
    encode_one(input, "stdin");
  }
  finish_stdout();
  return 0;
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

int decode(const CodecOptions& options) {
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
    for_each_line(input, [&](std::string_view line, int64_t number) {
      decode_one(line, number);
      write_stdout("\n");
    });
  } else {
    decode_one(input, 1);
  }
  finish_stdout();
  return 0;
}

template <class Options>
CLI::App* add_action(CLI::App& app, const char* name, const char* description,
                     const std::shared_ptr<std::function<int()>>& chosen, std::shared_ptr<Options> options,
                     int (*run)(const Options&)) {
  CLI::App* action = app.add_subcommand(name, description);
  action->fallthrough();
  action->callback([=] { *chosen = [=] { return run(*options); }; });
  return action;
}

}  // namespace

Command add_tokenizer(CLI::App& app) {
  app.require_subcommand(1);
  const auto chosen = std::make_shared<std::function<int()>>();

  const auto train_options = std::make_shared<TrainOptions>();
  CLI::App* trainer =
      add_action(app, "train", "trains a byte-level BPE and writes a tokenizer folder", chosen, train_options, train);
  trainer->add_option("--vocab-size", train_options->vocab_size, "number of tokens, bos and eos included")
      ->required()
      ->check(CLI::Range(kNumSpecial + kNumBytes, int64_t{1} << 24));
  trainer->add_option("--output", train_options->output, "the folder to write")->required();
  trainer->add_option("TEXT", train_options->texts, "text files in UTF-8")->required();
  trainer->footer("example: dslite tokenizer train --vocab-size 8192 --output tokenizer corpus.txt");

  const auto encode_options = std::make_shared<CodecOptions>();
  CLI::App* encoder = add_action(app, "encode", "text on stdin to ids on stdout", chosen, encode_options, encode);
  encoder->add_option("--tokenizer", encode_options->tokenizer, "folder with tokenizer.json")->required();
  encoder->add_flag("--parse-special", encode_options->parse_special,
                    "text that looks like a special token becomes its id");
  encoder->add_flag("--add-special", encode_options->add_special, "bos in front");
  encoder->add_flag("--lines", encode_options->lines, "one list for each line");
  encoder->footer("example: echo -n 'Hello' | dslite tokenizer encode --tokenizer tokenizer");

  const auto decode_options = std::make_shared<CodecOptions>();
  CLI::App* decoder =
      add_action(app, "decode", "a JSON list of ids on stdin to text on stdout", chosen, decode_options, decode);
  decoder->add_option("--tokenizer", decode_options->tokenizer, "folder with tokenizer.json")->required();
  decoder->add_flag("--skip-special", decode_options->skip_special, "special tokens give no text");
  decoder->add_flag("--lines", decode_options->lines, "one list a line, one text a line");
  decoder->footer("example: echo '[17, 4]' | dslite tokenizer decode --tokenizer tokenizer");

  return [chosen] { return (*chosen)(); };
}

}  // namespace dslite
