// Over a hundred distinct damages and disguises of one token file: each is refused by name or read as if it were whole.
#include <gtest/gtest.h>
#include <hdf5.h>

#include <filesystem>
#include <functional>
#include <set>

#include "src/base/error.h"
#include "src/data/hdf5.h"
#include "tests/data/token_files.h"
#include "tests/support/hdf5_checksums.h"

namespace dslite {
namespace {

enum class Must { kRefuse, kRefuseOrRead };

class TokenFileDamage : public ::testing::Test {
 protected:
  void SetUp() override {
    write_token_file(good, TokenFileKind::kSft, random_documents(TokenFileKind::kSft, 20, 40, 3));
    good_bytes = read_text(good);
    good_contents = token_file_contents(good);
    blocks = checksummed_blocks(good_bytes);
    seen.insert(good_bytes);
    silence_hdf5();
  }
  void try_bytes(const std::string& name, const std::string& bytes, Must must = Must::kRefuseOrRead) {
    write_text(bad, bytes);
    try_file(name, must);
  }
  // What stands at `bad` now.
  void try_file(const std::string& name, Must must = Must::kRefuse) {
    EXPECT_TRUE(seen.insert(read_text(bad)).second) << name << ": the same as another";
    ++num_tried;
    try {
      EXPECT_TRUE(token_file_contents(bad) == good_contents) << name << ": read as something else";
      EXPECT_EQ(must, Must::kRefuseOrRead) << name << ": read";
    } catch (const UserError& error) {
      ++num_refused;
      EXPECT_NE(std::string(error.what()).find(bad), std::string::npos) << name << ": " << error.what();
    }
  }
  // A copy, changed through libhdf5.
  void try_change(const std::string& name, const std::function<void(hid_t file)>& change) {
    write_text(bad, good_bytes);
    {
      const Hdf5Handle file(H5Fopen(bad.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
      ASSERT_GE(file, 0) << name;
      change(file);
    }
    try_file(name);
  }
  std::string with_byte(size_t place, int change, bool repaired) const {
    std::string bytes = good_bytes;
    bytes[place] = static_cast<char>(bytes[place] ^ change);
    if (repaired) repair_checksums(bytes, blocks);
    return bytes;
  }
  // Where a dataset's elements lie.
  std::pair<size_t, size_t> place_of(const std::string& name) const {
    const Hdf5Handle file(H5Fopen(good.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose),
        dataset(H5Dopen2(file, name.c_str(), H5P_DEFAULT), H5Dclose);
    return {H5Dget_offset(dataset), H5Dget_storage_size(dataset)};
  }

  TempFolder folder;
  const std::string good = folder / "good.h5", bad = folder / "bad.h5";
  std::string good_bytes, good_contents;
  std::vector<ChecksummedBlock> blocks;
  std::set<std::string> seen;
  int num_tried = 0, num_refused = 0;
};

const char* const kDatasets[] = {
    "tokens", "document_offsets", "document_source", "document_hash", "sources", "loss_weight", "turns"};

struct NewDataset {
  hid_t type = H5T_STD_U32LE;
  std::vector<hsize_t> dims;
  hid_t create = H5P_DEFAULT;
};
void replace_tokens(hid_t file, const NewDataset& dataset) {
  ASSERT_GE(H5Ldelete(file, "tokens", H5P_DEFAULT), 0);
  const Hdf5Handle space(H5Screate_simple(static_cast<int>(dataset.dims.size()), dataset.dims.data(), nullptr),
                         H5Sclose),
      id(H5Dcreate2(file, "tokens", dataset.type, space, H5P_DEFAULT, dataset.create, H5P_DEFAULT), H5Dclose);
  ASSERT_GE(id, 0);
  std::vector<uint32_t> zeros(dataset.dims[0], 0);
  H5Dwrite(id, H5T_NATIVE_UINT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, zeros.data());
}

TEST_F(TokenFileDamage, StructureBytesWithRightChecksums) {
  ASSERT_GT(blocks.size(), 15u);
  for (const ChecksummedBlock& block : blocks) {
    for (const size_t part : {1, 3, 5, 7}) {
      const size_t place = block.begin + block.size * part / 8;
      try_bytes(fmt::format("byte {}, checksums right", place), with_byte(place, 1 << part, true));
      try_bytes(fmt::format("byte {}, checksums wrong", place), with_byte(place, 1 << part, false), Must::kRefuse);
    }
  }
  EXPECT_GE(num_tried, 120);
}

TEST_F(TokenFileDamage, ElementsAndTheirHashes) {
  for (const std::string name : kDatasets) {
    for (const std::string& dataset : {name, "check/" + name}) {
      const auto [begin, size] = place_of(dataset);
      try_bytes(dataset + ": first byte", with_byte(begin, 1, false), Must::kRefuse);
      try_bytes(dataset + ": last byte", with_byte(begin + size - 1, 0x80, false), Must::kRefuse);
    }
  }
  EXPECT_EQ(num_refused, 28);
}

TEST_F(TokenFileDamage, SizesOfTheFile) {
  for (size_t i = 0; i < 12; ++i)
    try_bytes(fmt::format("cut off after {} twelfths", i), good_bytes.substr(0, good_bytes.size() * i / 12),
              Must::kRefuse);
  try_bytes("cut off by a byte", good_bytes.substr(0, good_bytes.size() - 1), Must::kRefuse);
  for (const size_t more : {1, 8, 4096}) try_bytes("zeros behind it", good_bytes + std::string(more, '\0'));
  try_bytes("twice", good_bytes + good_bytes);
  try_bytes("a user's block before it", std::string(512, '\0') + good_bytes);
  try_bytes("zeros", std::string(good_bytes.size(), '\0'), Must::kRefuse);
  try_bytes("the signature alone", good_bytes.substr(0, 8), Must::kRefuse);
  for (const int change : {1, 0x10, 0x80}) {  // the end of the file as the superblock has it
    try_bytes("another end", with_byte(28, change, true), Must::kRefuse);
    try_bytes("an end far behind", with_byte(33, change, true), Must::kRefuse);
    try_bytes("another root", with_byte(36, change, true), Must::kRefuse);
  }
  EXPECT_GE(num_tried, 25);
}

TEST_F(TokenFileDamage, OtherStorage) {
  const auto n = static_cast<hsize_t>(TokenStore(good).info().num_tokens);
  const auto list = [] { return Hdf5Handle(H5Pcreate(H5P_DATASET_CREATE), H5Pclose); };
  const Hdf5Handle chunked = list(), deflated = list(), shuffled = list(), checksummed = list(), external = list(),
                   virtual_ = list(), compact = list();
  const hsize_t chunk = 16;
  for (const hid_t id : {hid_t{chunked}, hid_t{deflated}, hid_t{shuffled}, hid_t{checksummed}})
    H5Pset_chunk(id, 1, &chunk);
  H5Pset_deflate(deflated, 6);
  H5Pset_shuffle(shuffled);
  H5Pset_fletcher32(checksummed);
  H5Pset_layout(compact, H5D_COMPACT);
  write_text(folder / "raw", std::string(n * 4, '\0'));
  H5Pset_external(external, (folder / "raw").c_str(), 0, n * 4);
  const Hdf5Handle space(H5Screate_simple(1, &n, nullptr), H5Sclose);
  H5Pset_virtual(virtual_, space, good.c_str(), "/tokens", space);
  const NewDataset kinds[] = {{.dims = {n}, .create = chunked},
                              {.dims = {n}, .create = deflated},
                              {.dims = {n}, .create = shuffled},
                              {.dims = {n}, .create = checksummed},
                              {.dims = {n}, .create = external},
                              {.dims = {n}, .create = virtual_},
                              {.dims = {n}, .create = compact},
                              {.dims = {n}},
                              {.dims = {n + 1}},
                              {.dims = {n - 1}},
                              {.dims = {n, 1}},
                              {.type = H5T_STD_I32LE, .dims = {n}},
                              {.type = H5T_STD_U32BE, .dims = {n}},
                              {.type = H5T_STD_U16LE, .dims = {n}},
                              {.type = H5T_STD_U64LE, .dims = {n}},
                              {.type = H5T_IEEE_F32LE, .dims = {n}},
                              {.type = H5T_NATIVE_B32, .dims = {n}}};
  for (const NewDataset& kind : kinds)
    try_change(fmt::format("tokens of kind {}", &kind - kinds), [&](hid_t file) { replace_tokens(file, kind); });
  EXPECT_EQ(num_refused, 17);
}

TEST_F(TokenFileDamage, LinksAttributesAndStrangers) {
  for (const std::string name : kDatasets) {
    try_change(name + ": gone", [&](hid_t file) { H5Ldelete(file, name.c_str(), H5P_DEFAULT); });
    try_change(name + ": an external link", [&](hid_t file) {
      H5Ldelete(file, name.c_str(), H5P_DEFAULT);
      ASSERT_GE(H5Lcreate_external(good.c_str(), ("/" + name).c_str(), file, name.c_str(), H5P_DEFAULT, H5P_DEFAULT),
                0);
    });
    try_change(name + ": a soft link", [&](hid_t file) {
      H5Ldelete(file, name.c_str(), H5P_DEFAULT);
      ASSERT_GE(H5Lcreate_soft(("/check/" + name).c_str(), file, name.c_str(), H5P_DEFAULT, H5P_DEFAULT), 0);
    });
  }
  const Hdf5Handle scalar(H5Screate(H5S_SCALAR), H5Sclose);
  try_change("another dataset", [&](hid_t file) {
    const Hdf5Handle id(H5Dcreate2(file, "more", H5T_STD_U64LE, scalar, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                        H5Dclose);
  });
  try_change("another name for a dataset",
             [&](hid_t file) { H5Lcreate_hard(file, "tokens", file, "again", H5P_DEFAULT, H5P_DEFAULT); });
  try_change("two datasets in each other's place", [&](hid_t file) {
    H5Lmove(file, "document_hash", file, "x", H5P_DEFAULT, H5P_DEFAULT);
    H5Lmove(file, "document_offsets", file, "document_hash", H5P_DEFAULT, H5P_DEFAULT);
    H5Lmove(file, "x", file, "document_offsets", H5P_DEFAULT, H5P_DEFAULT);
  });
  for (const char* name : {"format", "kind", "complete", "vocab_size", "checked", "attributes_xxh3"}) {
    try_change(std::string(name) + ": gone", [&](hid_t file) { ASSERT_GE(H5Adelete(file, name), 0); });
    try_change(std::string(name) + ": a number with a fraction", [&](hid_t file) {
      ASSERT_GE(H5Adelete(file, name), 0);
      const Hdf5Handle id(H5Acreate2(file, name, H5T_IEEE_F64LE, scalar, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
    });
    try_change(std::string(name) + ": a text of any length", [&](hid_t file) {
      ASSERT_GE(H5Adelete(file, name), 0);
      const Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
      H5Tset_size(type, H5T_VARIABLE);
      const Hdf5Handle id(H5Acreate2(file, name, type, scalar, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
      const char* text = "text";
      H5Awrite(id, type, &text);
    });
  }
  EXPECT_EQ(num_refused, num_tried);
  EXPECT_GE(num_tried, 40);
}

}  // namespace
}  // namespace dslite
