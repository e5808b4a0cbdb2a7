// Segments and rows: every label exactly once, rows filled.
#include "src/data/packing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "src/base/random.h"
#include "src/data/prepare.h"
#include "tests/support/temp_folder.h"

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
    const Packing packing = pack_documents(offsets, length, 5);
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
  const Packing packing = pack_documents(offsets_of({11}), 4, 0);  // 10 labels: 4, 4, 2
  ASSERT_EQ(packing.segments.size(), 3u);
  std::vector<std::pair<uint64_t, uint32_t>> cuts;
  for (const Segment& segment : packing.segments) cuts.emplace_back(segment.begin, segment.num_inputs);
  std::sort(cuts.begin(), cuts.end());
  EXPECT_EQ(cuts, (std::vector<std::pair<uint64_t, uint32_t>>{{0, 4}, {4, 4}, {8, 2}}));
  EXPECT_EQ(packing.num_rows(), 3);
}

TEST(Packing, FillsRowsAndDependsOnNothingElse) {
  const auto offsets = offsets_of(random_lengths(20000, 3000, 2));
  const Packing packing = pack_documents(offsets, 2048, 5), again = pack_documents(offsets, 2048, 5),
                other = pack_documents(offsets, 2048, 6);
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
    const Packing packing = pack_documents(offsets, length, seed);
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
  const Packing packing = pack_documents(store.document_offsets(), 4096, 1);
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
