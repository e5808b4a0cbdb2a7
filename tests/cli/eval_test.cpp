// dslite eval against sums over the training forward's logits.
#include <ATen/ops/log_softmax.h>
#include <gtest/gtest.h>

#include <cmath>

#include "src/data/token_store.h"
#include "tests/cli/model_folder_fixture.h"
#include "tests/support/test_data.h"

namespace dslite::testing {
namespace {

using Documents = std::vector<std::vector<int32_t>>;

void write_documents(const std::string& path, const ModelFolderFixture& fixture, const Documents& documents,
                     const std::string& tokenizer_sha256 = {}) {
  TokenStoreWriter writer(
      path, {.kind = TokenFileKind::kPretrain,
             .tokenizer_sha256 = tokenizer_sha256.empty() ? fixture.tokenizer().sha256() : tokenizer_sha256,
             .chat_format = {},
             .vocab_size = fixture.tokenizer().vocab_size(),
             .bos = *fixture.tokenizer().bos_id(),
             .eos = fixture.eos()});
  writer.begin_source("test");
  uint64_t hash = 1;
  for (const auto& document : documents)
    writer.add({.hash = hash++, .tokens = document, .loss_weight = {}, .turns = {}});
  writer.end_source(std::string(64, '0'), 1);
  writer.finish(Json::object(), Json{{"passed", true}, {"problems", Json::array()}});
  writer.commit();
}

Documents random_documents(const ModelFolderFixture& fixture) {
  Documents documents;
  for (const int64_t length : {30, 2, 75, 120}) {
    std::vector<int32_t> document{*fixture.tokenizer().bos_id()};
    for (int64_t i = 1; i + 1 < length; ++i)
      document.push_back(static_cast<int32_t>((test::random_value(length, i) + 1) / 2 * 250));
    document.push_back(fixture.eos());
    documents.push_back(document);
  }
  return documents;
}

TEST(Eval, IsTheMeanOverTheTrainingForward) {
  const ModelFolderFixture fixture;
  const Documents documents = random_documents(fixture);
  write_documents(fixture.path("data.h5"), fixture, documents);
  double loss = 0;
  int64_t labels = 0, correct = 0;
  for (const auto& document : documents) {
    const at::Tensor log_p = at::log_softmax(training_logits(fixture.model(), document).to(at::kDouble), 1);
    for (size_t t = 0; t + 1 < document.size(); ++t, ++labels) {
      loss -= log_p[static_cast<int64_t>(t)][document[t + 1]].item<double>();
      correct += log_p[static_cast<int64_t>(t)].argmax().item<int64_t>() == document[t + 1];
    }
  }
  const ProcessResult result = fixture.run("eval", {"--data", fixture.path("data.h5"), "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json json = parse_json(result.out, "stdout");
  EXPECT_NEAR(json["loss"].get<double>(), loss / static_cast<double>(labels), 1e-5);
  EXPECT_NEAR(json["perplexity"].get<double>() / std::exp(loss / static_cast<double>(labels)), 1, 1e-5);
  EXPECT_EQ(json["trained_tokens"], labels);
  EXPECT_NEAR(json["accuracy"].get<double>(), static_cast<double>(correct) / static_cast<double>(labels), 1e-12);
  ASSERT_EQ(json["experts"].size(), 1u);
  EXPECT_EQ(json["experts"][0]["layer"], 1);
  int64_t routed = 0;
  for (const Json& tokens : json["experts"][0]["tokens"]) routed += tokens.get<int64_t>();
  EXPECT_EQ(routed, 2 * json["tokens"].get<int64_t>());  // two experts a token

  const ProcessResult text = fixture.run("eval", {"--data", fixture.path("data.h5")});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_EQ(text.out.rfind("loss ", 0), 0u) << text.out;
  // Cut into shorter segments there is less to look back at: another loss over the same labels.
  const ProcessResult cut =
      fixture.run("eval", {"--data", fixture.path("data.h5"), "--sequence-tokens", "16", "--json"});
  ASSERT_EQ(cut.exit_code, 0) << cut.err;
  EXPECT_EQ(parse_json(cut.out, "stdout")["trained_tokens"], labels);
  EXPECT_NE(parse_json(cut.out, "stdout")["loss"], json["loss"]);
}

TEST(Eval, WrongInputIsExit2AndNamed) {
  const ModelFolderFixture fixture;
  write_documents(fixture.path("data.h5"), fixture, random_documents(fixture));
  write_documents(fixture.path("other.h5"), fixture, random_documents(fixture), std::string(64, 'a'));
  write_text(fixture.path("text.h5"), "not HDF5");
  struct Wrong {
    std::vector<std::string> arguments;
    std::string message;
  };
  const std::vector<Wrong> table = {
      {{}, "--data"},
      {{"--data", fixture.path("absent.h5")}, "absent.h5"},
      {{"--data", fixture.path("text.h5")}, "text.h5"},
      {{"--data", fixture.path("other.h5")}, "another tokenizer"},
      {{"--data", fixture.path("data.h5"), "--sequence-tokens", "0"}, "--sequence-tokens"},
      {{"--data", fixture.path("data.h5"), "--sequence-tokens", "401"}, "max_position_embeddings"},
      {{"--data", fixture.path("data.h5"), "--dtype", "int8"}, "--dtype"},
  };
  for (const Wrong& wrong : table) {
    const ProcessResult result = fixture.run("eval", wrong.arguments);
    EXPECT_EQ(result.exit_code, 2) << wrong.message << ": " << result.err;
    EXPECT_NE(result.err.find(wrong.message), std::string::npos) << wrong.message << " is not in: " << result.err;
  }
}

}  // namespace
}  // namespace dslite::testing
