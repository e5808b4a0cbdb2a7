// Superblock and object headers. Every read is bounded by the block that it belongs to.
#include "src/data/hdf5_structure.h"

#include <set>
#include <string_view>

#include "src/base/error.h"
#include "src/data/hdf5_checksum.h"
#include "src/data/hdf5_messages.h"

namespace dslite {
namespace {

using hdf5::Bytes;
using hdf5::Cursor;
using hdf5::Messages;
constexpr std::string_view kSignature = "\x89HDF\r\n\x1a\n";
constexpr size_t kChecksumBytes = 4, kMaxChunks = 256;

// A block at `begin`: its signature is taken off.
Cursor open_block(Bytes file, const std::string& path, const std::string& name, uint64_t begin,
                  std::string_view signature) {
  if (begin > file.size()) fail_input("{}: {}: a block at byte {} of {}", path, name, begin, file.size());
  Cursor cursor(file.subspan(static_cast<size_t>(begin)), path, name);
  cursor.demand(cursor.text(signature.size()) == signature,
                "damaged or unknown HDF5 structure: a block without its signature");
  return cursor;
}

// `cursor` stands behind what is hashed, at the block's checksum.
void check_block(Bytes file, uint64_t begin, Cursor cursor) {
  const Bytes hashed = file.subspan(static_cast<size_t>(begin), file.size() - begin - cursor.left());
  cursor.demand(cursor.integer(kChecksumBytes) == hdf5_checksum(hashed),
                "damaged HDF5 structure: a checksum does not fit");
}

void read_continuations(Bytes file, const std::string& path, const std::string& name, Messages& messages) {
  std::set<uint64_t> seen;
  for (size_t i = 0; i < messages.continuations.size(); ++i) {
    const auto [begin, bytes] = messages.continuations[i];
    Cursor cursor = open_block(file, path, name, begin, "OCHK");
    cursor.demand(seen.insert(begin).second && seen.size() <= kMaxChunks && bytes >= 4 + kChecksumBytes,
                  "damaged HDF5 structure: continued in a circle");
    const Cursor body = cursor.part(bytes - 4 - kChecksumBytes);
    check_block(file, begin, cursor);
    read_messages(body, messages);
  }
}

Messages read_object(Bytes file, const std::string& path, uint64_t address, const std::string& name) {
  Messages messages;
  Cursor cursor = open_block(file, path, name, address, "OHDR");
  const unsigned version = cursor.byte(), flags = cursor.byte();
  cursor.demand(version == 2 && (flags & ~0x33u) == 0, "an object header of an unknown kind");
  if (flags & 0x20) cursor.take(16);  // times
  if (flags & 0x10) cursor.take(4);   // limits of its attributes
  const uint64_t bytes = cursor.integer(size_t{1} << (flags & 3));
  const Cursor body = cursor.part(bytes);
  check_block(file, address, cursor);
  read_messages(body, messages);
  read_continuations(file, path, name, messages);
  return messages;
}

}  // namespace

Hdf5Structure::Hdf5Structure(Bytes file, std::string path) : file_(file), path_(std::move(path)) {
  const std::string what = "HDF5 superblock";
  Cursor cursor(file_, path_, what);
  if (file_.size() < kSignature.size() || cursor.text(kSignature.size()) != kSignature)
    fail_input("{}: not an HDF5 file (expected a token file that `dslite prepare` wrote)", path_);
  if (const unsigned version = cursor.byte(); version != 3)
    fail_input("{}: not a token file: an HDF5 file with superblock version {}, expected 3", path_, version);
  cursor.demand(cursor.byte() == 8 && cursor.byte() == 8, "offsets or lengths of another size than 8 bytes");
  cursor.demand(cursor.byte() == 0, "the file is marked as open for writing: its writing was interrupted");
  cursor.demand(cursor.integer(8) == 0 && cursor.integer(8) == hdf5::kUndefined, "a base address or an extension");
  const uint64_t end = cursor.integer(8);
  root_ = cursor.integer(8);
  const size_t size = file_.size() - cursor.left();
  cursor.demand(cursor.integer(kChecksumBytes) == hdf5_checksum(file_.first(size)),
                "damaged: its checksum does not fit");
  if (end != file_.size())
    fail_input("{}: {}: found {} bytes, expected {}: cut off, or something was added", path_, what, file_.size(), end);
}

Hdf5Object Hdf5Structure::group(uint64_t address, const std::string& name) const {
  Messages messages = read_object(file_, path_, address, name);
  if (messages.type || messages.place) fail_input("{}: {} is a dataset, expected a group", path_, name);
  return std::move(messages.object);
}

Hdf5Dataset Hdf5Structure::dataset(uint64_t address, const std::string& name, std::string_view type) const {
  const Messages messages = read_object(file_, path_, address, name);
  if (messages.foreign) fail_input("{}: {} {}", path_, name, messages.foreign);
  if (!messages.type || !messages.num_elements || !messages.place)
    fail_input("{}: {} is not a dataset with a type, a size and a place", path_, name);
  if (messages.type->text != type)
    fail_input("{}: {} has elements of type {}, expected {}", path_, name, messages.type->text, type);
  Hdf5Dataset dataset{.num_elements = *messages.num_elements, .bytes = {}};
  if (dataset.num_elements == 0) return dataset;
  const auto [begin, bytes] = *messages.place;
  uint64_t expected = 0;
  if (__builtin_mul_overflow(dataset.num_elements, messages.type->bytes, &expected) || bytes != expected ||
      expected > file_.size() || begin > file_.size() - expected) {
    fail_input("{}: {} ({} elements) does not lie inside the file ({} bytes)", path_, name, dataset.num_elements,
               file_.size());
  }
  dataset.bytes = file_.subspan(static_cast<size_t>(begin), static_cast<size_t>(expected));
  return dataset;
}

}  // namespace dslite
