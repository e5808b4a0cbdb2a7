// Segments and rows: every label exactly once, rows filled.
#include "src/data/packing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "src/base/error.h"
#include "src/base/random.h"
#include "src/data/prepare.h"
#include "src/data/row.h"
#include "tests/data/token_files.h"

namespace dslite {
namespace {

// Offsets of documents with `lengths` tokens.
std::vector<uint64_t> offsets_of(const std::vector<uint64_t>& lengths) {
  std::vector<uint64_t> offsets = {0};
  for (const uint64_t length : lengths) offsets.push_back(offsets.back() + length);
  return offsets;
}

std::vector<uint64_t> random_lengths(size_t count, uint64_t most, uint64_t seed) {
  const RandomStream random(seed, RandomPurpose::kTest);
  std::vector<uint64_t> lengths(count);
  for (size_t i = 0; i < count; ++i) {
    const double u = random.uniform(i);
    lengths[i] = 1 + static_cast<uint64_t>(u * u * u * static_cast<double>(most - 1));  // many short, some long
  }
  return lengths;
}

TEST(Packing, EveryTokenButTheFirstIsALabelOnce) {
  for (const int64_t length : {1, 2, 7, 64, 100, 4096, 5000}) {
    const auto offsets = offsets_of(random_lengths(500, 300, 1));
    const Packing packing = pack_documents(offsets, {.sequence_tokens = length, .seed = 5});
    std::vector<int> label(offsets.back()), document_of(offsets.back());
    for (size_t d = 0; d + 1 < offsets.size(); ++d)
      std::fill(document_of.begin() + offsets[d], document_of.begin() + offsets[d + 1], d);
    for (int64_t r = 0; r < packing.num_rows(); ++r) {
      uint64_t inputs = 0;
      for (const Segment& segment : packing.row(r)) {
        inputs += segment.num_inputs;
        ASSERT_GE(segment.num_inputs, 1u);
        for (uint64_t i = segment.begin + 1; i <= segment.begin + segment.num_inputs; ++i) {
          ++label[i];
          ASSERT_EQ(document_of[i], document_of[segment.begin]);  // a segment lies in one document
        }
      }
      ASSERT_LE(inputs, static_cast<uint64_t>(length));
      ASSERT_GE(inputs, 1u);
    }
    for (size_t d = 0; d + 1 < offsets.size(); ++d) {
      for (uint64_t i = offsets[d]; i < offsets[d + 1]; ++i)
        ASSERT_EQ(label[i], i == offsets[d] ? 0 : 1) << "token " << i << " L " << length;
    }
  }
}

TEST(Packing, LongDocumentsAreCutEveryLLabels) {
  const Packing packing = pack_documents(offsets_of({11}), {.sequence_tokens = 4});  // 10 labels: 4, 4, 2
  ASSERT_EQ(packing.segments.size(), 3u);
  std::vector<std::pair<uint64_t, uint32_t>> cuts;
  for (const Segment& segment : packing.segments) cuts.emplace_back(segment.begin, segment.num_inputs);
  std::sort(cuts.begin(), cuts.end());
  EXPECT_EQ(cuts, (std::vector<std::pair<uint64_t, uint32_t>>{{0, 4}, {4, 4}, {8, 2}}));
  EXPECT_EQ(packing.num_rows(), 3);
}

TEST(Packing, FillsRowsAndDependsOnNothingElse) {
  const auto offsets = offsets_of(random_lengths(20000, 3000, 2));
  const Packing packing = pack_documents(offsets, {.sequence_tokens = 2048, .seed = 5}),
                again = pack_documents(offsets, {.sequence_tokens = 2048, .seed = 5}),
                other = pack_documents(offsets, {.sequence_tokens = 2048, .seed = 6});
  uint64_t inputs = 0;
  for (const Segment& segment : packing.segments) inputs += segment.num_inputs;
  EXPECT_GT(static_cast<double>(inputs) / (2048.0 * static_cast<double>(packing.num_rows())), 0.995);
  const auto same = [](const Packing& a, const Packing& b) {
    return a.row_offsets == b.row_offsets && std::equal(a.segments.begin(), a.segments.end(), b.segments.begin(),
                                                        b.segments.end(), [](const Segment& x, const Segment& y) {
                                                          return x.begin == y.begin && x.num_inputs == y.num_inputs;
                                                        });
  };
  EXPECT_TRUE(same(packing, again));
  EXPECT_FALSE(same(packing, other));
}

// The first-fitting row by exhaustive search, with the same rule: the bucket search must find rooms as small as this
// does.
TEST(Packing, IsBestFitDecreasing) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto offsets = offsets_of(random_lengths(300, 200, seed));
    const int64_t length = 64 + static_cast<int64_t>(seed) * 31;
    const Packing packing = pack_documents(offsets, {.sequence_tokens = length, .seed = seed});
    std::vector<uint64_t> sizes;
    for (const Segment& segment : packing.segments) sizes.push_back(segment.num_inputs);
    std::sort(sizes.rbegin(), sizes.rend());
    std::multiset<uint64_t> rooms;
    size_t rows = 0;
    for (const uint64_t size : sizes) {
      auto room = rooms.lower_bound(size);
      uint64_t left = static_cast<uint64_t>(length);
      if (room != rooms.end()) {
        left = *room;
        rooms.erase(room);
      } else {
        ++rows;
      }
      rooms.insert(left - size);
    }
    EXPECT_EQ(static_cast<size_t>(packing.num_rows()), rows) << seed;
  }
}

// The rule of ESFT's public code, word by word over lists of tokens, with this project's draws: the front of what does
// not fit goes, then perhaps the first token; bos is trained wherever it does not begin a row.
struct EsftRow {
  std::vector<int32_t> tokens;
  std::vector<float> weight;  // of each token as a label
};
std::vector<EsftRow> esft_rows(const std::vector<TestDocument>& documents, size_t length, uint64_t seed) {
  const RandomStream random(seed, RandomPurpose::kPacking, 2);
  std::vector<EsftRow> rows;
  EsftRow row;
  for (size_t d = 0; d < documents.size(); ++d) {
    std::vector<int32_t> tokens = documents[d].tokens;
    std::vector<float> weight = documents[d].loss_weight;
    if (weight.empty()) weight.assign(tokens.size(), 1);
    weight[0] = 1;
    const size_t room = length - row.tokens.size();
    if (tokens.size() > room) {
      tokens.erase(tokens.begin(), tokens.end() - static_cast<std::ptrdiff_t>(room));
      weight.erase(weight.begin(), weight.end() - static_cast<std::ptrdiff_t>(room));
    }
    if (!row.tokens.empty() && random.uniform(d) < 0.2) {
      tokens.erase(tokens.begin());
      weight.erase(weight.begin());
    }
    row.tokens.insert(row.tokens.end(), tokens.begin(), tokens.end());
    row.weight.insert(row.weight.end(), weight.begin(), weight.end());
    if (row.tokens.size() == length) rows.push_back(std::exchange(row, {}));
  }
  if (row.tokens.size() > 1) rows.push_back(row);
  return rows;
}

TEST(Packing, EsftIsTheRuleOfItsPublicCode) {
  const TempFolder folder(TempFolder::memory());
  for (const TokenFileKind kind : {TokenFileKind::kSft, TokenFileKind::kPretrain}) {
    const auto documents = random_documents(kind, 400, 60, 6);
    write_token_file(folder / "t.h5", kind, documents);
    const TokenStore store(folder / "t.h5");
    for (const int64_t length : {2, 3, 17, 64, 100, 100000}) {
      const Packing packing =
          pack_documents(store.document_offsets(), {.kind = PackingKind::kEsft, .sequence_tokens = length, .seed = 8});
      const auto expected = esft_rows(documents, static_cast<size_t>(length), 8);
      ASSERT_EQ(packing.num_rows(), static_cast<int64_t>(expected.size()));
      for (size_t r = 0; r < expected.size(); ++r) {
        const Row row{.store = &store,
                      .segments = packing.row(static_cast<int64_t>(r)),
                      .isolated = packing.isolated,
                      .scale = 0.5};
        Batch batch;
        append_row(row, batch);
        const size_t size = expected[r].tokens.size();
        ASSERT_EQ(batch.tokens, expected[r].tokens);
        ASSERT_EQ(batch.offsets, (std::vector<int64_t>{0, static_cast<int64_t>(size)}));
        double weight = 0;
        int64_t trained = 0;
        for (size_t t = 0; t < size; ++t) {
          const bool last = t + 1 == size;
          ASSERT_EQ(batch.positions[t], static_cast<int32_t>(t));
          ASSERT_EQ(batch.labels[t], last ? -1 : expected[r].tokens[t + 1]);
          ASSERT_EQ(batch.loss_weight[t], last ? 0 : 0.5f * expected[r].weight[t + 1]);
          weight += batch.loss_weight[t];
          trained += batch.loss_weight[t] > 0;
        }
        const BatchTotals totals = row_totals(row);
        EXPECT_EQ(totals.num_tokens, static_cast<int64_t>(size));
        EXPECT_EQ(totals.num_trained_tokens, trained);
        EXPECT_EQ(totals.target_weight, weight);
      }
    }
  }
  EXPECT_THROW(pack_documents(offsets_of({5}), {.kind = PackingKind::kEsft, .sequence_tokens = 1}), UserError);
}

// What the rule keeps: a fifth of the documents that do not begin a row lose bos; nothing but fronts is cut.
TEST(Packing, EsftDropsAFifthOfTheBos) {
  const auto offsets = offsets_of(std::vector<uint64_t>(100000, 10));
  const Packing packing = pack_documents(offsets, {.kind = PackingKind::kEsft, .sequence_tokens = 1 << 20, .seed = 1});
  int64_t dropped = 0;
  for (const Segment& segment : packing.segments) {
    dropped += segment.begin % 10 == 1 && segment.num_inputs == 9;
    EXPECT_EQ((segment.begin + segment.num_inputs) % 10, 0u);
  }
  EXPECT_NEAR(static_cast<double>(dropped), 20000, 600);  // 4.7 deviations
}

TEST(Packing, FillsNinetyNinePercentOfRowsOf4096WithRealChat) {
  const std::string data = DSLITE_SOURCE_DIR "/../shared/data/";
  if (!std::filesystem::exists(data)) GTEST_SKIP() << data << " is absent";
  const TempFolder folder(TempFolder::memory());
  PrepareOptions options;
  for (const auto& entry : std::filesystem::directory_iterator(data + "sft")) options.inputs.push_back(entry.path());
  options.output = folder / "chat.h5";
  options.tokenizer_folder = data + "tokenizer";
  options.policies.tools = ToolPolicy::kJsonText;
  prepare(options, [](const std::string& line) { ADD_FAILURE() << line; });
  const TokenStore store(options.output);
  const Packing packing = pack_documents(store.document_offsets(), {.sequence_tokens = 4096, .seed = 1});
  double inputs = 0, least_squares = 1e300, most_squares = 0;
  for (int64_t r = 0; r + 1 < packing.num_rows(); ++r) {
    double squares = 0;
    for (const Segment& segment : packing.row(r))
      squares += static_cast<double>(segment.num_inputs) * segment.num_inputs;
    least_squares = std::min(least_squares, squares);
    most_squares = std::max(most_squares, squares);
  }
  for (const Segment& segment : packing.segments) inputs += segment.num_inputs;
  const double fill = inputs / (4096.0 * static_cast<double>(packing.num_rows()));
  std::printf("%zu documents, %ld rows, fill %.3f %%, sum of squared lengths of a row %.3g to %.3g\n",
              static_cast<size_t>(store.info().num_documents), packing.num_rows(), 100 * fill, least_squares,
              most_squares);
  EXPECT_GE(fill, 0.99);
}

}  // namespace
}  // namespace dslite
