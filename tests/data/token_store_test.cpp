// Token files: what is written is read; equal input gives equal bytes; every damage is refused or does no harm; failing
// writes keep the old file.
#include "src/data/token_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "src/base/error.h"
#include "src/base/random.h"
#include "src/data/hdf5.h"
#include "tests/data/token_files.h"

namespace dslite {
namespace {

using ::testing::HasSubstr;

class TokenStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    documents = random_documents(TokenFileKind::kSft, 200, 100, 1);
    write_token_file(good, TokenFileKind::kSft, documents);
    good_contents = token_file_contents(good);
    good_bytes = read_text(good);
  }
  // A damaged file must be refused with its name in the message.
  void expect_refused(const std::string& path, const std::string& what = {}) {
    const std::vector<std::string> problems = verify_token_file(path);
    ASSERT_EQ(problems.size(), 1u) << "accepted: " << what;
    EXPECT_THAT(problems[0], HasSubstr(path));
    EXPECT_THAT(problems[0], HasSubstr(what));
  }
  // A copy of the good file, changed through the HDF5 API.
  template <class Change>
  std::string changed(Change&& change) {
    write_text(bad, good_bytes);
    silence_hdf5();
    const Hdf5Handle file(H5Fopen(bad.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
    EXPECT_GE(file, 0);
    change(file);
    return bad;
  }
  TempFolder folder;
  const std::string good = folder / "good.h5", bad = folder / "bad.h5";
  std::vector<TestDocument> documents;
  std::string good_contents, good_bytes;
};

TEST_F(TokenStoreTest, ReadsWhatWasWritten) {
  const TokenStore store(good);
  ASSERT_EQ(store.info().num_documents, 200);
  const auto offsets = store.document_offsets();
  uint64_t turn = 0;
  int64_t trained = 0;
  for (size_t d = 0; d < documents.size(); ++d) {
    const auto tokens = store.tokens(offsets[d], offsets[d + 1]);
    const auto weights = store.loss_weight(offsets[d], offsets[d + 1]);
    EXPECT_TRUE(std::equal(tokens.begin(), tokens.end(), documents[d].tokens.begin(), documents[d].tokens.end(),
                           [](uint32_t a, int32_t b) { return static_cast<int32_t>(a) == b; }));
    EXPECT_TRUE(
        std::equal(weights.begin(), weights.end(), documents[d].loss_weight.begin(), documents[d].loss_weight.end()));
    for (const RenderedChat::Turn& expected : documents[d].turns) {
      const StoredTurn found = store.turn(turn++);
      EXPECT_EQ(found.document, d);
      EXPECT_EQ(static_cast<int64_t>(found.begin), expected.begin);
      EXPECT_EQ(static_cast<int64_t>(found.end), expected.end);
      EXPECT_EQ(found.role, expected.role);
      EXPECT_EQ(found.weight, expected.weight);
    }
    for (const float weight : documents[d].loss_weight) trained += weight > 0;
    EXPECT_EQ(store.document_source()[d], d < 100 ? 0 : 1);
  }
  EXPECT_EQ(turn, store.num_turns());
  EXPECT_EQ(store.info().num_trained_tokens, trained);
  EXPECT_EQ(store.sources()[1].name, "second.jsonl");
  EXPECT_EQ(store.info().dropped.dump(), R"({"empty":2})");
  EXPECT_EQ(verify_token_file(good), std::vector<std::string>());
}

TEST_F(TokenStoreTest, EqualInputGivesEqualBytes) {
  write_token_file(folder / "elsewhere.h5", TokenFileKind::kSft, documents);
  EXPECT_TRUE(read_text(folder / "elsewhere.h5") == good_bytes);
}

TEST_F(TokenStoreTest, SeveralBlocksAreHashed) {
  std::vector<TestDocument> one(1);
  for (int i = 0; i < 2500000; ++i) one[0].tokens.push_back(i % 1000);
  write_token_file(good, TokenFileKind::kPretrain, one);
  EXPECT_EQ(verify_token_file(good), std::vector<std::string>());
  std::string bytes = read_text(good);
  const uint32_t pattern[4] = {0, 1, 2, 3};
  const size_t tokens_at = bytes.find(std::string(reinterpret_cast<const char*>(pattern), sizeof pattern));
  ASSERT_NE(tokens_at, std::string::npos);
  bytes[tokens_at + 4 * 1500000] ^= 1;  // in the second block
  write_text(bad, bytes);
  const TokenStore store(bad);
  EXPECT_EQ(store.tokens(0, 1 << 20).size(), size_t{1} << 20);
  EXPECT_EQ(store.tokens(2097152, 2500000).size(), 402848u);
  EXPECT_THROW(store.tokens(1048576, 1048577), UserError);
  EXPECT_THROW(store.tokens(1048575, 1048577), UserError);
  EXPECT_THROW(store.verify(), UserError);
}

TEST_F(TokenStoreTest, FlippedBitInAnyDataset) {
  for (const std::string name :
       {"tokens", "document_offsets", "document_source", "document_hash", "sources", "loss_weight", "turns"}) {
    for (const std::string& dataset : {"/" + name, "/check/" + name}) {
      haddr_t offset = 0;
      hsize_t size = 0;
      changed([&](hid_t file) {
        const Hdf5Handle id(H5Dopen2(file, dataset.c_str(), H5P_DEFAULT), H5Dclose);
        offset = H5Dget_offset(id);
        size = H5Dget_storage_size(id);
      });
      ASSERT_GT(size, 0u);
      for (const hsize_t place : {hsize_t{0}, size / 2, size - 1}) {
        for (const int bit : {0, 7}) {
          std::string bytes = good_bytes;
          bytes[offset + place] = static_cast<char>(bytes[offset + place] ^ (1 << bit));
          write_text(bad, bytes);
          expect_refused(bad);
        }
      }
    }
  }
}

TEST_F(TokenStoreTest, AnyFlippedBitIsRefusedOrHarmless) {
  const RandomStream random(7, RandomPurpose::kTest);
  int harmless = 0;
  for (uint64_t i = 0; i < 600; ++i) {
    std::string bytes = good_bytes;
    // Every other flip in the first 4 KiB, where the structure lies.
    const uint64_t place = random.below(2 * i, i % 2 ? bytes.size() : std::min<size_t>(bytes.size(), 4096));
    bytes[place] = static_cast<char>(bytes[place] ^ (1 << random.below(2 * i + 1, 8)));
    write_text(bad, bytes);
    try {
      ASSERT_TRUE(token_file_contents(bad) == good_contents) << "byte " << place;
      ++harmless;
    } catch (const UserError&) {
    }
  }
  EXPECT_LT(harmless, 300);  // padding
}

TEST_F(TokenStoreTest, Truncated) {
  for (size_t i = 0; i < 40; ++i) {
    write_text(bad, good_bytes.substr(0, good_bytes.size() * i / 40));
    expect_refused(bad);
  }
  write_text(bad, good_bytes.substr(0, good_bytes.size() - 1));
  expect_refused(bad);
}

TEST_F(TokenStoreTest, NotATokenFile) {
  write_text(bad, "{\"messages\": []}");
  expect_refused(bad, "not an HDF5 file");
  expect_refused(folder / "missing.h5", "cannot open");
  expect_refused(folder.path(), "expected a regular file");
  ASSERT_EQ(::mkfifo((folder / "pipe.h5").c_str(), 0600), 0);
  expect_refused(folder / "pipe.h5", "expected a regular file");
  { const Hdf5Handle file(H5Fcreate(bad.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose); }
  expect_refused(bad, "not a token file");
}

TEST_F(TokenStoreTest, ChangedAttributes) {
  const auto set_integer = [](hid_t file, const char* name, int64_t value) {
    const Hdf5Handle attribute(H5Aopen(file, name, H5P_DEFAULT), H5Aclose);
    ASSERT_GE(H5Awrite(attribute, H5T_NATIVE_INT64, &value), 0);
  };
  for (const char* name : {"version", "vocab_size", "bos", "eos", "num_tokens", "num_documents", "num_trained_tokens",
                           "max_document_tokens", "attributes_xxh3"}) {
    for (const int64_t value : {int64_t{-1}, int64_t{0}, int64_t{17}, INT64_MAX}) {
      expect_refused(changed([&](hid_t file) { set_integer(file, name, value); }),
                     std::string(name) == "version" ? "version" : "attributes_xxh3");
    }
  }
  expect_refused(changed([&](hid_t file) { set_integer(file, "complete", 0); }), "incomplete");
  for (const char* name : {"format", "kind", "tokenizer_sha256", "chat_format", "dropped", "checked"}) {
    expect_refused(changed([&](hid_t file) {
                     const Hdf5Handle attribute(H5Aopen(file, name, H5P_DEFAULT), H5Aclose);
                     const Hdf5Handle type(H5Aget_type(attribute), H5Tclose);
                     std::string text(H5Tget_size(type), '\0');
                     ASSERT_GE(H5Aread(attribute, type, text.data()), 0);
                     text[1] ^= 1;
                     ASSERT_GE(H5Awrite(attribute, type, text.data()), 0);
                   }),
                   "attribute");
  }
  for (const char* name : {"format", "version", "kind", "complete", "tokenizer_sha256", "chat_format", "vocab_size",
                           "bos", "eos", "num_tokens", "num_documents", "num_trained_tokens", "max_document_tokens",
                           "dropped", "checked", "attributes_xxh3"}) {
    expect_refused(changed([&](hid_t file) { ASSERT_GE(H5Adelete(file, name), 0); }));
    expect_refused(changed([&](hid_t file) {  // of another type
                     ASSERT_GE(H5Adelete(file, name), 0);
                     const Hdf5Handle scalar(H5Screate(H5S_SCALAR), H5Sclose);
                     const Hdf5Handle attribute(
                         H5Acreate2(file, name, H5T_IEEE_F64LE, scalar, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
                   }),
                   name);
  }
  expect_refused(changed([&](hid_t file) {
                   const Hdf5Handle scalar(H5Screate(H5S_SCALAR), H5Sclose);
                   const Hdf5Handle attribute(
                       H5Acreate2(file, "extra", H5T_STD_I64LE, scalar, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
                 }),
                 "attributes_xxh3");
}

struct NewDataset {
  hid_t type = H5T_STD_U32LE;
  std::vector<hsize_t> dims;
  hid_t create = H5P_DEFAULT;
};
void replace(hid_t file, const char* name, const NewDataset& dataset) {
  ASSERT_GE(H5Ldelete(file, name, H5P_DEFAULT), 0);
  const Hdf5Handle space(H5Screate_simple(static_cast<int>(dataset.dims.size()), dataset.dims.data(), nullptr),
                         H5Sclose);
  const Hdf5Handle id(H5Dcreate2(file, name, dataset.type, space, H5P_DEFAULT, dataset.create, H5P_DEFAULT), H5Dclose);
  ASSERT_GE(id, 0);
}

TEST_F(TokenStoreTest, OtherStorage) {
  const hsize_t n = TokenStore(good).info().num_tokens;
  const Hdf5Handle chunked(H5Pcreate(H5P_DATASET_CREATE), H5Pclose), filtered(H5Pcreate(H5P_DATASET_CREATE), H5Pclose),
      external(H5Pcreate(H5P_DATASET_CREATE), H5Pclose), virtual_(H5Pcreate(H5P_DATASET_CREATE), H5Pclose),
      compact(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  const hsize_t chunk = 64;
  H5Pset_chunk(chunked, 1, &chunk);
  H5Pset_chunk(filtered, 1, &chunk);
  H5Pset_deflate(filtered, 6);
  H5Pset_external(external, (folder / "raw").c_str(), 0, n * 4);
  H5Pset_layout(compact, H5D_COMPACT);
  const Hdf5Handle space(H5Screate_simple(1, &n, nullptr), H5Sclose);
  H5Pset_virtual(virtual_, space, good.c_str(), "/tokens", space);
  write_text(folder / "raw", std::string(n * 4, '\0'));
  expect_refused(changed([&](hid_t file) { replace(file, "tokens", {.dims = {n}, .create = chunked}); }), "contiguous");
  expect_refused(changed([&](hid_t file) { replace(file, "tokens", {.dims = {n}, .create = filtered}); }),
                 "contiguous");
  expect_refused(changed([&](hid_t file) { replace(file, "tokens", {.dims = {n}, .create = compact}); }), "contiguous");
  expect_refused(changed([&](hid_t file) { replace(file, "tokens", {.dims = {n}, .create = external}); }), "external");
  expect_refused(changed([&](hid_t file) { replace(file, "tokens", {.dims = {n}, .create = virtual_}); }), "virtual");
  expect_refused(changed([&](hid_t file) { replace(file, "tokens", {.dims = {n}}); }), "");  // never allocated
  expect_refused(changed([&](hid_t file) { replace(file, "tokens", {.dims = {n / 2}}); }), "");
  expect_refused(changed([&](hid_t file) { replace(file, "tokens", {.dims = {n, 1}}); }), "one-dimensional");
  expect_refused(changed([&](hid_t file) { replace(file, "tokens", {.type = H5T_STD_U32BE, .dims = {n}}); }), "type");
  expect_refused(changed([&](hid_t file) { replace(file, "tokens", {.type = H5T_STD_I32LE, .dims = {n}}); }), "type");
  expect_refused(changed([&](hid_t file) { replace(file, "tokens", {.type = H5T_STD_U64LE, .dims = {n}}); }), "type");
  expect_refused(changed([&](hid_t file) { replace(file, "loss_weight", {.type = H5T_IEEE_F64LE, .dims = {n}}); }),
                 "type");
  expect_refused(changed([&](hid_t file) { replace(file, "turns", {.type = H5T_STD_U64LE, .dims = {3}}); }), "type");
  expect_refused(changed([&](hid_t file) { replace(file, "check/tokens", {.type = H5T_STD_U64LE, .dims = {2}}); }), "");
}

TEST_F(TokenStoreTest, LinksAndStrangers) {
  for (const char* name : {"tokens", "document_offsets", "document_source", "document_hash", "sources", "loss_weight",
                           "turns", "check", "check/tokens", "check/turns"}) {
    const std::string target = std::string("/") + name;
    expect_refused(changed([&](hid_t file) {
                     H5Ldelete(file, name, H5P_DEFAULT);
                     ASSERT_GE(H5Lcreate_external(good.c_str(), target.c_str(), file, name, H5P_DEFAULT, H5P_DEFAULT),
                               0);
                   }),
                   "external link");
    expect_refused(changed([&](hid_t file) { H5Ldelete(file, name, H5P_DEFAULT); }));
    expect_refused(changed([&](hid_t file) {
      H5Lmove(file, name, file, "moved", H5P_DEFAULT, H5P_DEFAULT);
      ASSERT_GE(H5Lcreate_soft("/moved", file, name, H5P_DEFAULT, H5P_DEFAULT), 0);
    }));
  }
  expect_refused(changed([&](hid_t file) {
                   const Hdf5Handle group(H5Gcreate2(file, "extra", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
                 }),
                 "the root group");
  expect_refused(changed([&](hid_t file) {  // a group where a dataset belongs
    H5Ldelete(file, "tokens", H5P_DEFAULT);
    const Hdf5Handle group(H5Gcreate2(file, "tokens", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
  }));
}

TEST_F(TokenStoreTest, InconsistentIndexWithRightHashes) {
  // A writer of ours cannot make these; another tool can.
  std::vector<TestDocument> wrong = documents;
  wrong[3].turns[1].begin = 0;  // overlaps the turn before
  write_token_file(good, TokenFileKind::kSft, documents);
  EXPECT_THROW(write_token_file(good, TokenFileKind::kSft, wrong), UserError);
  EXPECT_TRUE(read_text(good) == good_bytes);  // verified before the rename: the old file is still there
  EXPECT_FALSE(std::filesystem::exists(good + ".tmp"));
}

TEST_F(TokenStoreTest, ChangedWhileOpen) {
  const TokenStore store(good);
  write_text(good, good_bytes + "x");
  EXPECT_THROW(store.verify(), UserError);
}

TEST_F(TokenStoreTest, FailingWritesKeepTheOldFile) {
  EXPECT_THROW(write_token_file(folder / "no/such/folder.h5", TokenFileKind::kSft, documents), UserError);
  EXPECT_THROW(write_token_file(folder.path(), TokenFileKind::kSft, documents), UserError);
  EXPECT_THROW(write_token_file("/proc/none.h5", TokenFileKind::kSft, documents), Error);
  EXPECT_THROW(write_token_file(good + "/below_a_file.h5", TokenFileKind::kSft, documents), Error);
  // A disk that is full after `limit` bytes: RLIMIT_FSIZE in a child, for every kind of write from the spills to the
  // last attribute.
  const std::vector<TestDocument> others = random_documents(TokenFileKind::kSft, 200, 100, 2);
  write_token_file(folder / "others.h5", TokenFileKind::kSft, others);
  const size_t largest = std::filesystem::file_size(folder / "others.h5");
  for (size_t limit = 0; limit < largest; limit += largest / 40 + 1) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      std::signal(SIGXFSZ, SIG_IGN);
      const rlimit size{limit, limit};
      ::setrlimit(RLIMIT_FSIZE, &size);
      int code = 0;
      try {
        write_token_file(good, TokenFileKind::kSft, others);
      } catch (const UserError&) {
        code = 2;
      } catch (const Error&) {
        code = 1;
      }
      ::_exit(code);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status) << " at " << limit;
    EXPECT_EQ(WEXITSTATUS(status), 1) << limit;
    EXPECT_TRUE(read_text(good) == good_bytes) << limit;
    EXPECT_FALSE(std::filesystem::exists(good + ".tmp"));
  }
}

TEST_F(TokenStoreTest, OneWriterAtATime) {
  const TokenStoreWriter first(folder / "new.h5", test_info(TokenFileKind::kSft));
  EXPECT_THROW(TokenStoreWriter(folder / "new.h5", test_info(TokenFileKind::kSft)), UserError);
}

TEST_F(TokenStoreTest, LeftoversOfAKilledWriterAreReplaced) {
  write_text(good + ".tmp", "left over");
  write_token_file(good, TokenFileKind::kSft, documents);
  EXPECT_TRUE(read_text(good) == good_bytes);
}

}  // namespace
}  // namespace dslite
