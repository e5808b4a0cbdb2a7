// Hand-made token files for the tests of src/data.
#pragma once
#include <string>
#include <vector>

#include "src/data/token_store.h"
#include "tests/support/temp_folder.h"
#include "tests/support/token_file_contents.h"

namespace dslite {

struct TestDocument {
  std::vector<int32_t> tokens;
  std::vector<float> loss_weight;  // empty for pretrain
  std::vector<RenderedChat::Turn> turns;
};

constexpr int64_t kTestVocab = 1000;
constexpr int32_t kTestBos = 998, kTestEos = 999;

TokenFileInfo test_info(TokenFileKind kind);
// Document d holds bos, then the digits of a unique number per token place, then eos; lengths drawn from [2,
// max_tokens]. sft: alternating user (weight 0) and assistant turns whose last token is eos.
std::vector<TestDocument> random_documents(TokenFileKind kind, int64_t num_documents, int64_t max_tokens,
                                           uint64_t seed);
void write_token_file(const std::string& path, TokenFileKind kind, const std::vector<TestDocument>& documents);

}  // namespace dslite
