// Every input of the corpora goes through its reader: seeds, and what once broke something.
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "src/base/files.h"
#include "tests/fuzz/readers.h"

namespace dslite::fuzz {
namespace {

const std::filesystem::path kCorpus = std::filesystem::path(DSLITE_SOURCE_DIR) / "tests/fuzz/corpus";

class Replay : public ::testing::TestWithParam<Reader> {};

TEST_P(Replay, NoInputOfTheCorpusBreaksTheReader) {
  std::set<std::filesystem::path> inputs;
  for (const auto& entry : std::filesystem::directory_iterator(kCorpus / GetParam().name)) inputs.insert(entry.path());
  ASSERT_FALSE(inputs.empty());
  for (const auto& path : inputs) {
    SCOPED_TRACE(path.string());
    const std::string input = read_file(path);
    EXPECT_NO_THROW(GetParam().run(input));
    // And cut or damaged, as an editor or a disk would do it.
    EXPECT_NO_THROW(GetParam().run(std::string_view(input).substr(0, input.size() / 2)));
    for (size_t i = 0; i < 8; ++i) {
      std::string damaged = input;
      if (!damaged.empty()) damaged[damaged.size() * (2 * i + 1) / 16] ^= static_cast<char>(1 << i);
      EXPECT_NO_THROW(GetParam().run(damaged));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Readers, Replay, ::testing::ValuesIn(kReaders),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Corpus, HasOneFolderForEveryReader) {
  std::set<std::string> folders, readers;
  for (const auto& entry : std::filesystem::directory_iterator(kCorpus)) folders.insert(entry.path().filename());
  for (const Reader& reader : kReaders) readers.insert(reader.name);
  EXPECT_EQ(folders, readers);
}

}  // namespace
}  // namespace dslite::fuzz
