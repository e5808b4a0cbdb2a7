// Types, spaces, links, attributes, layouts.
#include "src/data/hdf5_messages.h"

#include "src/text/utf8.h"

namespace dslite::hdf5 {
namespace {

constexpr size_t kMaxNames = 64;

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

// A name or text without the NULs at its end.
std::string checked_text(const Cursor& cursor, std::string_view text) {
  const std::string_view kept = text.substr(0, text.find_last_not_of('\0') + 1);
  cursor.demand(find_invalid_utf8(kept) == std::string_view::npos && kept.find('\0') == std::string_view::npos,
                "a name or a text is not UTF-8 or holds NUL");
  return std::string(kept);
}

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

}  // namespace

void read_messages(Cursor cursor, Messages& messages) {
  while (cursor.left() >= 4) {  // less: a gap
    const uint8_t type = cursor.byte();
    const uint64_t bytes = cursor.integer(2);
    const uint8_t flags = cursor.byte();
    cursor.demand((flags & 2) == 0, "a shared message, which token files do not have");
    read_message(type, cursor.part(bytes), messages);
  }
}

}  // namespace dslite::hdf5
