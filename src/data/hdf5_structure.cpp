// Superblock, object headers, messages. Every read is bounded by the block that it belongs to.
#include "src/data/hdf5_structure.h"

#include <cstring>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "src/base/error.h"
#include "src/data/hdf5_checksum.h"
#include "src/text/utf8.h"

namespace dslite {
namespace {

using Bytes = std::span<const std::byte>;
constexpr std::string_view kSignature = "\x89HDF\r\n\x1a\n";
constexpr uint64_t kUndefined = UINT64_MAX;
constexpr size_t kChecksumBytes = 4, kMaxNames = 64, kMaxChunks = 256;

// Types of messages in an object header.
enum : uint8_t {
  kNil = 0,
  kDataspace = 1,
  kLinkInfo = 2,
  kDatatype = 3,
  kFillValue = 5,
  kLink = 6,
  kExternalFiles = 7,
  kLayout = 8,
  kGroupInfo = 10,
  kFilters = 11,
  kAttribute = 12,
  kContinuation = 16,
  kAttributeInfo = 21
};

// Reads a block from its front; `what` names it in messages.
class Cursor {
 public:
  Cursor(Bytes bytes, const std::string& path, const std::string& what) : bytes_(bytes), path_(path), what_(what) {}
  [[noreturn]] void fail(std::string_view problem) const { fail_input("{}: {}: {}", path_, what_, problem); }
  void demand(bool holds, std::string_view problem) const {
    if (!holds) fail(problem);
  }
  Bytes take(uint64_t count) {
    demand(count <= bytes_.size(), "damaged HDF5 structure: it ends too early");
    const Bytes part = bytes_.first(static_cast<size_t>(count));
    bytes_ = bytes_.subspan(static_cast<size_t>(count));
    return part;
  }
  uint64_t integer(size_t size) {  // little-endian
    uint64_t value = 0;
    std::memcpy(&value, take(size).data(), size);
    return value;
  }
  uint8_t byte() { return static_cast<uint8_t>(integer(1)); }
  std::string_view text(uint64_t count) {
    const Bytes part = take(count);
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }
  Cursor part(uint64_t count) { return {take(count), path_, what_}; }
  size_t left() const { return bytes_.size(); }
  void end() const { demand(bytes_.empty(), "damaged HDF5 structure: something follows"); }

 private:
  Bytes bytes_;
  const std::string &path_, &what_;
};

// A name or text without the NULs at its end.
std::string checked_text(const Cursor& cursor, std::string_view text) {
  const std::string_view kept = text.substr(0, text.find_last_not_of('\0') + 1);
  cursor.demand(find_invalid_utf8(kept) == std::string_view::npos && kept.find('\0') == std::string_view::npos,
                "a name or a text is not UTF-8 or holds NUL");
  return std::string(kept);
}

struct Type {
  std::string text;
  uint64_t bytes;
};

Type read_type(Cursor& cursor, bool inside_compound = false);

// Members without gaps, each "name type".
Type read_compound(Cursor& cursor, uint32_t flags, uint64_t bytes) {
  const size_t offset_bytes = bytes < 0x100 ? 1 : bytes < 0x10000 ? 2 : 4;
  Type type{"{", 0};
  for (uint32_t i = 0; i < (flags & 0xFFFF); ++i) {
    std::string name;
    while (const uint8_t c = cursor.byte()) name += static_cast<char>(c);
    cursor.demand(cursor.integer(offset_bytes) == type.bytes, "a compound type with gaps");
    const Type member = read_type(cursor, true);
    type.text += (i > 0 ? ", " : "") + checked_text(cursor, name) + " " + member.text;
    type.bytes += member.bytes;
  }
  cursor.demand(type.bytes == bytes, "a compound type with gaps");
  return {type.text + "}", bytes};
}

// Class and version, 24 bits of flags, size, properties.
Type read_type(Cursor& cursor, bool inside_compound) {
  const uint8_t head = cursor.byte();
  const auto flags = static_cast<uint32_t>(cursor.integer(3));
  const uint64_t bytes = cursor.integer(4);
  const int kind = head & 15, version = head >> 4;
  cursor.demand(version >= 1 && version <= 3, "a data type of an unknown version");
  if (kind == 0 && (flags & ~8u) == 0 && cursor.integer(2) == 0 && cursor.integer(2) == 8 * bytes && bytes <= 8)
    return {(flags & 8 ? "i" : "u") + std::to_string(8 * bytes), bytes};
  constexpr std::string_view kFloat32 = {"\0\0\x20\0\x17\x08\0\x17\x7f\0\0\0", 12};  // IEEE, little-endian
  if (kind == 1 && flags == 0x1F20 && bytes == 4 && cursor.text(12) == kFloat32) return {"f32", 4};
  if (kind == 3 && flags == 0x11) return {fmt::format("string[{}]", bytes), bytes};  // null-padded UTF-8
  if (kind == 6 && version == 3 && !inside_compound) return read_compound(cursor, flags, bytes);
  cursor.fail(fmt::format("an element type (class {}, flags {:#x}, {} bytes) that token files do not have", kind, flags,
                          bytes));
}

// The number of elements; 1 for a scalar.
uint64_t read_space(Cursor& cursor, unsigned rank) {
  cursor.demand(cursor.byte() == 2, "a data space of an unknown version");
  const unsigned found = cursor.byte(), flags = cursor.byte(), kind = cursor.byte();
  cursor.demand(found == rank && kind == rank && flags <= 1, rank == 0 ? "is not a scalar" : "is not one-dimensional");
  const uint64_t count = rank == 0 ? 1 : cursor.integer(8);
  if (flags == 1) cursor.demand(rank == 1 && cursor.integer(8) == count, "may change its size");
  cursor.end();
  return count;
}

// All that the messages of one object say.
struct Messages {
  Hdf5Object object;
  std::optional<Type> type;
  std::optional<uint64_t> num_elements;
  std::optional<std::pair<uint64_t, uint64_t>> place;  // address, bytes
  const char* foreign = nullptr;                       // why its data is not in this file as it is
  std::vector<std::pair<uint64_t, uint64_t>> continuations;
};

void read_link(Cursor& cursor, Hdf5Object& object) {
  cursor.demand(cursor.byte() == 1, "a link of an unknown version");
  const unsigned flags = cursor.byte();
  const unsigned kind = flags & 8 ? cursor.byte() : 0;
  if (flags & 4) cursor.take(8);   // order of creation
  if (flags & 16) cursor.take(1);  // character set
  const uint64_t name_bytes = cursor.integer(size_t{1} << (flags & 3));
  const std::string name = checked_text(cursor, cursor.text(name_bytes));
  if (kind != 0)
    cursor.fail(fmt::format("{} is {} link, expected a dataset in this file", shown(name),
                            kind == 1 ? "a soft" : "an external"));
  cursor.demand(object.members.emplace(name, cursor.integer(8)).second, "a name is there twice");
  cursor.demand(object.members.size() <= kMaxNames, "too many members");
  cursor.end();
}

void read_attribute(Cursor& cursor, Json& attributes) {
  cursor.demand(cursor.byte() == 3 && cursor.byte() == 0, "an attribute of an unknown version");
  const uint64_t name_bytes = cursor.integer(2), type_bytes = cursor.integer(2), space_bytes = cursor.integer(2);
  cursor.take(1);  // character set
  const std::string name = checked_text(cursor, cursor.text(name_bytes));
  cursor.demand(!attributes.contains(name) && attributes.size() < kMaxNames,
                "an attribute is there twice, or too many");
  Cursor type_cursor = cursor.part(type_bytes), space_cursor = cursor.part(space_bytes);
  const std::string where = "attribute " + shown(name);
  try {
    const Type type = read_type(type_cursor);
    type_cursor.end();
    read_space(space_cursor, 0);
    Cursor value = cursor.part(type.bytes);
    cursor.end();
    if (type.text.starts_with("string")) {
      attributes[name] = checked_text(value, value.text(type.bytes));
    } else if (type.text == "u64") {
      attributes[name] = value.integer(8);
    } else if (type.text == "i64") {
      attributes[name] = static_cast<int64_t>(value.integer(8));
    } else {
      cursor.fail("expected a text or a 64-bit integer, found " + type.text);
    }
  } catch (const UserError& error) {
    throw UserError(fmt::format("{} ({})", error.what(), where));
  }
}

void read_layout(Cursor& cursor, Messages& messages) {
  const unsigned version = cursor.byte(), kind = cursor.byte();
  cursor.demand(version == 3 || version == 4, "a layout of an unknown version");
  if (kind != 1) {
    messages.foreign = kind == 3 ? "is a virtual dataset, expected contiguous storage"
                                 : "is chunked or compact, expected contiguous storage";
    return;
  }
  const uint64_t address = cursor.integer(8);
  messages.place = {address, cursor.integer(8)};
  cursor.end();
}

// Storage outside the header ("dense") is for more links or attributes than token files have.
void refuse_dense(Cursor& cursor) {
  cursor.demand(
      cursor.byte() == 0 && cursor.byte() == 0 && cursor.integer(8) == kUndefined && cursor.integer(8) == kUndefined,
      "holds more links or attributes than a token file");
  cursor.end();
}

void read_message(uint8_t type, Cursor body, Messages& messages) {
  switch (type) {
    case kNil:
    case kFillValue:  // of what was never written: nothing in a token file
    case kGroupInfo:  // hints for a writer
      return;
    case kDataspace:
      messages.num_elements = read_space(body, 1);
      return;
    case kDatatype:
      messages.type = read_type(body);
      return body.end();
    case kLink:
      return read_link(body, messages.object);
    case kLayout:
      return read_layout(body, messages);
    case kAttribute:
      return read_attribute(body, messages.object.attributes);
    case kLinkInfo:
    case kAttributeInfo:
      return refuse_dense(body);
    case kContinuation: {
      const uint64_t address = body.integer(8);
      messages.continuations.emplace_back(address, body.integer(8));
      return;
    }
    case kExternalFiles:
      messages.foreign = "lies in an external file";
      return;
    case kFilters:
      if (!messages.foreign) messages.foreign = "has filters, expected none";
      return;
    default:
      body.fail(fmt::format("a message of type {} that token files do not have", type));
  }
}

void read_messages(Cursor cursor, Messages& messages) {
  while (cursor.left() >= 4) {  // less: a gap
    const uint8_t type = cursor.byte();
    const uint64_t bytes = cursor.integer(2);
    const uint8_t flags = cursor.byte();
    cursor.demand((flags & 2) == 0, "a shared message, which token files do not have");
    read_message(type, cursor.part(bytes), messages);
  }
}

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
  cursor.demand(cursor.integer(8) == 0 && cursor.integer(8) == kUndefined, "a base address or an extension");
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
