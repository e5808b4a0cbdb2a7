// The structure of an HDF5 file, read without libhdf5: that of 1.10 follows null pointers and writes out of bounds
// where metadata is wrong and its checksums are right. Understood is what TokenStoreWriter makes and nothing else:
// superblock version 3, object headers version 2 with checksums, hard links, scalar attributes, contiguous datasets of
// one dimension (HDF5 File Format Specification 3.0, sections II.B, IV.A).
#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "src/base/json.h"

namespace dslite {

struct Hdf5Object {
  std::map<std::string, uint64_t> members;  // of a group: addresses
  Json attributes = Json::object();         // texts, int64, uint64; in the order of the file
};

struct Hdf5Dataset {
  uint64_t num_elements = 0;
  std::span<const std::byte> bytes;  // inside the file
};

class Hdf5Structure {
 public:
  // `file`: the mapped bytes of `path`, which must live as long. UserError names the path and what is wrong.
  Hdf5Structure(std::span<const std::byte> file, std::string path);
  Hdf5Object root() const { return group(root_, "the root group"); }
  // `name` stands in messages: "dataset tokens". `type`: "u32", "i64", "f32", "string[64]", "{begin u64, role u8}"
  // (packed).
  Hdf5Object group(uint64_t address, const std::string& name) const;
  Hdf5Dataset dataset(uint64_t address, const std::string& name, std::string_view type) const;

 private:
  std::span<const std::byte> file_;
  std::string path_;
  uint64_t root_ = 0;
};

}  // namespace dslite
