// Batches made ahead are the loader's own, in its order, whatever interrupts them; errors arrive where they are asked
// for.
#include "src/data/prefetcher.h"

#include <gtest/gtest.h>

#include "src/base/error.h"
#include "src/base/random.h"
#include "tests/data/token_files.h"

namespace dslite {
namespace {

void expect_same(const GlobalBatch& found, const GlobalBatch& expected) {
  EXPECT_EQ(found.totals.target_weight, expected.totals.target_weight);
  EXPECT_EQ(found.totals.num_tokens, expected.totals.num_tokens);
  EXPECT_EQ(found.totals.num_trained_tokens, expected.totals.num_trained_tokens);
  ASSERT_EQ(found.micro_batches.size(), expected.micro_batches.size());
  for (size_t b = 0; b < found.micro_batches.size(); ++b) {
    EXPECT_EQ(found.micro_batches[b].tokens, expected.micro_batches[b].tokens);
    EXPECT_EQ(found.micro_batches[b].labels, expected.micro_batches[b].labels);
    EXPECT_EQ(found.micro_batches[b].loss_weight, expected.micro_batches[b].loss_weight);
    EXPECT_EQ(found.micro_batches[b].positions, expected.micro_batches[b].positions);
    EXPECT_EQ(found.micro_batches[b].offsets, expected.micro_batches[b].offsets);
  }
}

class PrefetcherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    write_token_file(folder / "sft.h5", TokenFileKind::kSft, random_documents(TokenFileKind::kSft, 300, 120, 1));
  }
  Loader open() const {
    return {std::make_shared<Mixture>(
                MixtureConfig{.sources = {{.path = folder / "sft.h5"}}, .packing = {.sequence_tokens = 64, .seed = 3}}),
            {.per_step = 6, .per_micro_batch = 2}};
  }
  TempFolder folder{TempFolder::memory()};
};

TEST_F(PrefetcherTest, GivesTheLoadersBatchesThroughInterruptions) {
  for (const int num_ranks : {1, 2, 3}) {
    const int rank = num_ranks - 1;
    Loader loader = open();
    auto prefetcher = std::make_unique<Prefetcher>(open(), rank, num_ranks);
    const RandomStream random(5, RandomPurpose::kTest);
    LoaderPosition saved;
    for (uint64_t step = 0; step < 300; ++step) {
      const uint64_t event = random.below(2 * step, 8);
      if (event == 0) prefetcher->start();
      if (event == 1) {  // killed, and back to the last save
        prefetcher = std::make_unique<Prefetcher>(open(), rank, num_ranks);
        if (random.below(2 * step + 1, 2)) prefetcher->start();
        prefetcher->seek(saved);
        loader.seek(saved);
      }
      if (event == 2) {  // refused, and nothing has changed
        EXPECT_THROW(prefetcher->seek({0, -1}), UserError);
      }
      expect_same(prefetcher->next(), loader.next(rank, num_ranks));
      ASSERT_EQ(prefetcher->position(), loader.position());
      if (event >= 6) saved = prefetcher->position();
    }
    EXPECT_GT(loader.position().epoch, 2);
  }
}

// A block that turns out to be damaged when the thread first reads it.
TEST_F(PrefetcherTest, AnErrorOfTheThreadIsThrownByNextAndLeavesThePosition) {
  std::string bytes = read_text(folder / "sft.h5");
  const TokenStore store(folder / "sft.h5");
  const auto tokens = std::as_bytes(store.tokens(0, 16));
  const size_t at = bytes.find(std::string(reinterpret_cast<const char*>(tokens.data()), tokens.size()));
  ASSERT_NE(at, std::string::npos);
  bytes[at] = static_cast<char>(bytes[at] ^ 1);
  write_text(folder / "sft.h5.new", bytes);
  ASSERT_EQ(std::rename((folder / "sft.h5.new").c_str(), (folder / "sft.h5").c_str()), 0);
  std::string expected, found;
  try {
    open().next();
  } catch (const UserError& error) {
    expected = error.what();
  }
  EXPECT_NE(expected.find("damaged"), std::string::npos);
  Prefetcher prefetcher(open());
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (attempt == 1) prefetcher.start();
    found.clear();
    try {
      prefetcher.next();
    } catch (const UserError& error) {
      found = error.what();
    }
    EXPECT_EQ(found, expected);
    EXPECT_EQ(prefetcher.position(), LoaderPosition{});
  }
  prefetcher.start();  // nobody asks for it: it goes with the prefetcher
}

}  // namespace
}  // namespace dslite
