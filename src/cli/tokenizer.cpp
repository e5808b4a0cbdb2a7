// dslite tokenizer train | encode | decode | bench.
#include <cstdio>

#include "src/base/error.h"
#include "src/base/files.h"
#include "src/base/progress.h"
#include "src/cli/cli.h"
#include "src/cli/tokenizer_bench.h"
#include "src/cli/tokenizer_codec.h"
#include "src/text/bpe_trainer.h"
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
  constexpr size_t kBlockBytes = size_t{1} << 25;  // the trainer cuts it for its threads
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
    Progress progress("merging", options.vocab_size - kNumSpecial - kNumBytes, "tokens");
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
  CLI::App* encoder = add_action(app, "encode", "text on stdin to ids on stdout", chosen, encode_options, encode_stdin);
  encoder->add_option("--tokenizer", encode_options->tokenizer, "folder with tokenizer.json")->required();
  encoder->add_flag("--parse-special", encode_options->parse_special,
                    "text that looks like a special token becomes its id");
  encoder->add_flag("--add-special", encode_options->add_special, "bos in front");
  encoder->add_flag("--lines", encode_options->lines, "one list for each line");
  encoder->footer("example: echo -n 'Hello' | dslite tokenizer encode --tokenizer tokenizer");

  const auto decode_options = std::make_shared<CodecOptions>();
  CLI::App* decoder =
      add_action(app, "decode", "a JSON list of ids on stdin to text on stdout", chosen, decode_options, decode_stdin);
  decoder->add_option("--tokenizer", decode_options->tokenizer, "folder with tokenizer.json")->required();
  decoder->add_flag("--skip-special", decode_options->skip_special, "special tokens give no text");
  decoder->add_flag("--lines", decode_options->lines, "one list a line, one text a line");
  decoder->footer("example: echo '[17, 4]' | dslite tokenizer decode --tokenizer tokenizer");

  const auto bench_options = std::make_shared<TokenizerBenchOptions>();
  CLI::App* bench =
      add_action(app, "bench", "megabytes a second of encoding and decoding", chosen, bench_options, bench_tokenizer);
  bench->add_option("--tokenizer", bench_options->tokenizer, "folder with tokenizer.json")->required();
  bench->add_flag("--json", bench_options->json, "the figures as JSON");
  bench->add_option("TEXT", bench_options->texts, "text files in UTF-8")->required();
  bench->footer("example: dslite tokenizer bench --tokenizer tokenizer corpus.txt");

  return [chosen] { return (*chosen)(); };
}

}  // namespace dslite
