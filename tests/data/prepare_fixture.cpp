// The fixture of the tests of `prepare`.
#include "tests/data/prepare_fixture.h"

#include "src/base/files.h"
#include "src/text/bpe_trainer.h"

namespace dslite {

void PrepareTest::SetUp() {
  BpeTrainer trainer;
  trainer.add_text("User: what is the answer to the question?\n\nAssistant: the answer is this and that, 你好世界\n");
  write_tokenizer_folder(folder / "tokenizer", trainer.train(300));
  Json json = read_json_file(folder / "tokenizer/tokenizer.json");
  int32_t id = 300;
  for (const char* token : {"<｜User｜>", "<｜Assistant｜>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>",
                            "<|end_header_id|>", "<|eot_id|>"}) {
    Json added = json["added_tokens"][0];
    added["id"] = id++;
    added["content"] = token;
    json["added_tokens"].push_back(added);
  }
  write_text(folder / "tokenizer/tokenizer.json", json.dump());
  tokenizer = Tokenizer::load(folder / "tokenizer");
}

PrepareOptions PrepareTest::options(const std::vector<std::string>& inputs) const {
  PrepareOptions options;
  options.inputs = inputs;
  options.output = folder / "out.h5";
  options.tokenizer_folder = folder / "tokenizer";
  options.max_reject_fraction = 1;
  return options;
}

PrepareSummary PrepareTest::run(const PrepareOptions& options) {
  rejects.clear();
  return prepare(options, [&](const std::string& line) { rejects.push_back(line); });
}

std::string PrepareTest::input(const std::string& name, const std::string& text) const {
  write_text(folder / name, text);
  return folder / name;
}

void PrepareTest::expect_refused(const PrepareOptions& options, const std::string& what) {
  try {
    run(options);
    ADD_FAILURE() << "accepted: " << what;
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr(what));
  }
}

StoredDocument PrepareTest::document(uint64_t index) const {
  const TokenStore store(folder / "out.h5");
  return DocumentReader(store).read(index);
}

std::string PrepareTest::trained_text(const StoredDocument& document) const {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < document.tokens.size(); ++i) {
    if (document.loss_weight[i] > 0) ids.push_back(document.tokens[i]);
  }
  return decoded(ids);
}

std::string with_tokens(std::string text) {
  for (const auto& [name, special] : {std::pair{"<bos>", kBosText}, std::pair{"<eos>", kEosText}}) {
    for (size_t at; (at = text.find(name)) != std::string::npos;) text.replace(at, 5, special);
  }
  return text;
}

}  // namespace dslite
