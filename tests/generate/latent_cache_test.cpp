// Pages are taken, given back and used again; views keep what was written when the cache grows.
#include "src/generate/latent_cache.h"

#include <gtest/gtest.h>

#include <set>
#include <stdexcept>

#include "tests/generate/tiny_model.h"

namespace dslite {
namespace {

TEST(LatentCache, TakesPagesAndGivesThemBack) {
  LatentCache cache(test::tiny_config(), at::kFloat, 4);
  EXPECT_EQ(cache.num_allocated_pages(), 0);
  const int64_t a = cache.open(), b = cache.open();
  cache.grow(std::vector<LatentCache::Growth>{{a, 5}, {b, 4}});
  EXPECT_EQ(cache.num_used_pages(), 3);
  cache.grow(std::vector<LatentCache::Growth>{{b, 1}});
  EXPECT_EQ(cache.num_used_pages(), 4);
  cache.truncate(b, 4);
  EXPECT_EQ(cache.num_used_pages(), 3);
  EXPECT_EQ(cache.num_tokens(b), 4);
  cache.close(a);
  EXPECT_EQ(cache.num_used_pages(), 1);
  const int64_t allocated = cache.num_allocated_pages();
  const int64_t c = cache.open();
  cache.grow(std::vector<LatentCache::Growth>{{c, 8}});
  EXPECT_EQ(cache.num_allocated_pages(), allocated) << "the closed sequence's pages serve again";
  cache.close(b);
  cache.close(c);
  EXPECT_EQ(cache.num_used_pages(), 0);
  EXPECT_THROW(cache.close(c), std::logic_error);
}

TEST(LatentCache, SequencesNeverShareAPageAndGrowingKeepsTheRows) {
  LatentCache cache(test::tiny_config(), at::kFloat, 2);
  std::vector<int64_t> sequences;
  for (int i = 0; i < 5; ++i) sequences.push_back(cache.open());
  const auto mark = [](int64_t s, int64_t t) { return static_cast<float>(100 * s + t); };
  for (int64_t t = 0; t < 7; ++t) {
    std::vector<LatentCache::Growth> growth;
    for (const int64_t s : sequences) growth.push_back({s, 1});
    const auto views = cache.grow(growth);
    ASSERT_EQ(views.size(), 3u);
    std::set<int32_t> pages;
    for (int64_t s = 0; s < 5; ++s) {
      const int32_t* table = views[0].block_table.const_data_ptr<int32_t>() + s * views[0].block_table.size(1);
      for (int64_t p = 0; p < (t + 2) / 2; ++p) EXPECT_TRUE(pages.insert(table[p]).second);
      views[2].pages[table[t / 2]][t % 2].fill_(mark(s, t));
      for (int64_t before = 0; before <= t; ++before) {
        EXPECT_EQ(views[2].pages[table[before / 2]][before % 2][23].item<float>(), mark(s, before));
      }
    }
  }
}

}  // namespace
}  // namespace dslite
