// Hand-made token files.
#include "tests/data/token_files.h"

#include "src/base/random.h"

namespace dslite {

TokenFileInfo test_info(TokenFileKind kind) {
  TokenFileInfo info;
  info.kind = kind;
  info.tokenizer_sha256 = std::string(64, 'a');
  info.chat_format = kind == TokenFileKind::kSft ? "deepseek-v2" : "";
  info.vocab_size = kTestVocab;
  info.bos = kTestBos;
  info.eos = kTestEos;
  return info;
}

std::vector<TestDocument> random_documents(TokenFileKind kind, int64_t num_documents, int64_t max_tokens,
                                           uint64_t seed) {
  std::vector<TestDocument> documents(num_documents);
  uint64_t draw = 0;
  const RandomStream random(seed, RandomPurpose::kTest);
  for (TestDocument& document : documents) {
    const bool sft = kind == TokenFileKind::kSft;
    const auto length = static_cast<int64_t>(2 + random.below(draw++, max_tokens - 1));
    document.tokens.push_back(kTestBos);
    if (sft) document.loss_weight.push_back(0);
    bool user = true;
    while (static_cast<int64_t>(document.tokens.size()) < length || (sft && user && document.turns.size() < 2)) {
      const auto begin = static_cast<int64_t>(document.tokens.size());
      const auto turn_tokens = static_cast<int64_t>(1 + random.below(draw++, max_tokens / 4 + 1));
      const float weight = user ? 0.0f : 0.25f * static_cast<float>(1 + random.below(draw++, 4));
      for (int64_t i = 0; i < turn_tokens; ++i) {
        document.tokens.push_back(static_cast<int32_t>(random.below(draw++, kTestVocab - 2)));
        if (sft) document.loss_weight.push_back(weight);
      }
      if (sft && !user) document.tokens.push_back(kTestEos), document.loss_weight.push_back(weight);
      const auto end = static_cast<int64_t>(document.tokens.size());
      if (sft) document.turns.push_back({begin, end, user ? Role::kUser : Role::kAssistant, weight});
      user = !user;
    }
    if (!sft) document.tokens.push_back(kTestEos);
  }
  return documents;
}

void write_token_file(const std::string& path, TokenFileKind kind, const std::vector<TestDocument>& documents) {
  TokenStoreWriter writer(path, test_info(kind));
  uint64_t hash = 1;
  const size_t half = documents.size() / 2;
  for (size_t d = 0; d < documents.size(); ++d) {
    if (d == 0) writer.begin_source("first.jsonl");
    if (d == half && d > 0) {
      writer.end_source(std::string(64, 'b'), 100);
      writer.begin_source("second.jsonl");
    }
    writer.add({.hash = hash++ * 0x9E3779B97F4A7C15u,
                .tokens = documents[d].tokens,
                .loss_weight = documents[d].loss_weight,
                .turns = documents[d].turns});
  }
  writer.end_source(std::string(64, 'c'), 200);
  writer.finish({{"empty", 2}}, {{"passed", true}});
  writer.commit();
}

}  // namespace dslite
