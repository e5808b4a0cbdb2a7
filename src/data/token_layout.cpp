// Types, records and attributes of token files.
#include "src/data/token_layout.h"

#include <bit>
#include <cstring>

#include "src/base/error.h"

namespace dslite {
namespace {

static_assert(std::endian::native == std::endian::little, "token files are mapped, not converted");

Hdf5Handle string_type(size_t bytes) {
  Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  DSLITE_ASSERT(H5Tset_size(type, bytes) >= 0 && H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0 &&
                H5Tset_cset(type, H5T_CSET_UTF8) >= 0);
  return type;
}

struct Field {
  const char* name;
  Hdf5Handle type;
};

template <class... Fields>
Hdf5Handle compound(size_t bytes, const Fields&... fields) {
  Hdf5Handle type(H5Tcreate(H5T_COMPOUND, bytes), H5Tclose);
  size_t offset = 0;
  const auto insert = [&](const Field& field) {
    DSLITE_ASSERT(H5Tinsert(type, field.name, offset, field.type) >= 0);
    offset += H5Tget_size(field.type);
  };
  (insert(fields), ...);
  DSLITE_ASSERT(offset == bytes);
  return type;
}
Hdf5Handle copy_of(hid_t type) { return {H5Tcopy(type), H5Tclose}; }

template <class T>
void put(std::byte*& at, const T& value) {
  std::memcpy(at, &value, sizeof value);
  at += sizeof value;
}
template <class T>
T get(const std::byte*& at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  at += sizeof value;
  return value;
}
std::string get_string(const std::byte*& at, size_t bytes) {
  const char* text = reinterpret_cast<const char*>(at);
  at += bytes;
  return {text, strnlen(text, bytes)};
}

Json parsed_attribute(const Json& attributes, const std::string& name, const std::string& path) {
  const std::string where = path + ": attribute \"" + name + "\"";
  Json value = parse_json(json_string(attributes, name, path), where);
  if (!value.is_object()) fail_input("{}: found {}, expected a JSON object", where, value.type_name());
  return value;
}

}  // namespace

Hdf5Handle token_dataset_type(TokenDataset dataset) {
  switch (dataset) {
    case kTokens:
      return copy_of(H5T_STD_U32LE);
    case kDocumentOffsets:
    case kDocumentHash:
      return copy_of(H5T_STD_U64LE);
    case kDocumentSource:
      return copy_of(H5T_STD_U16LE);
    case kLossWeight:
      return copy_of(H5T_IEEE_F32LE);
    case kTurns:
      return compound(kTurnBytes, Field{"document", copy_of(H5T_STD_U64LE)}, Field{"begin", copy_of(H5T_STD_U64LE)},
                      Field{"end", copy_of(H5T_STD_U64LE)}, Field{"role", copy_of(H5T_STD_U8LE)},
                      Field{"weight", copy_of(H5T_IEEE_F32LE)});
    case kSources:
      return compound(kSourceBytes, Field{"name", string_type(kSourceNameBytes)},
                      Field{"sha256", string_type(kSha256Bytes)}, Field{"bytes", copy_of(H5T_STD_U64LE)},
                      Field{"num_documents", copy_of(H5T_STD_U64LE)}, Field{"num_tokens", copy_of(H5T_STD_U64LE)});
    case kNumTokenDatasets:
      break;
  }
  DSLITE_ASSERT(false);
  return {};
}

std::array<std::byte, kTurnBytes> pack_turn(const StoredTurn& turn) {
  std::array<std::byte, kTurnBytes> bytes;
  std::byte* at = bytes.data();
  put(at, turn.document);
  put(at, turn.begin);
  put(at, turn.end);
  put(at, static_cast<uint8_t>(turn.role));
  put(at, turn.weight);
  return bytes;
}
StoredTurn unpack_turn(const std::byte* at) {
  StoredTurn turn;
  turn.document = get<uint64_t>(at);
  turn.begin = get<uint64_t>(at);
  turn.end = get<uint64_t>(at);
  turn.role = static_cast<Role>(get<uint8_t>(at));
  turn.weight = get<float>(at);
  return turn;
}

std::array<std::byte, kSourceBytes> pack_source(const TokenSource& source) {
  DSLITE_ASSERT(source.name.size() <= kSourceNameBytes && source.sha256.size() == kSha256Bytes);
  std::array<std::byte, kSourceBytes> bytes{};
  std::memcpy(bytes.data(), source.name.data(), source.name.size());
  std::memcpy(bytes.data() + kSourceNameBytes, source.sha256.data(), kSha256Bytes);
  std::byte* at = bytes.data() + kSourceNameBytes + kSha256Bytes;
  put(at, source.bytes);
  put(at, source.num_documents);
  put(at, source.num_tokens);
  return bytes;
}
TokenSource unpack_source(const std::byte* at) {
  TokenSource source;
  source.name = get_string(at, kSourceNameBytes);
  source.sha256 = get_string(at, kSha256Bytes);
  source.bytes = get<uint64_t>(at);
  source.num_documents = get<uint64_t>(at);
  source.num_tokens = get<uint64_t>(at);
  return source;
}

Json attributes_of(const TokenFileInfo& info) {
  return {{"format", "dslite-tokens"},
          {"version", kTokenFileVersion},
          {"kind", info.kind == TokenFileKind::kSft ? "sft" : "pretrain"},
          {"tokenizer_sha256", info.tokenizer_sha256},
          {"chat_format", info.chat_format},
          {"vocab_size", info.vocab_size},
          {"bos", info.bos},
          {"eos", info.eos},
          {"num_tokens", info.num_tokens},
          {"num_documents", info.num_documents},
          {"num_trained_tokens", info.num_trained_tokens},
          {"max_document_tokens", info.max_document_tokens},
          {"dropped", canonical_json(info.dropped)},
          {"checked", canonical_json(info.checked)}};
}

void check_format(const Json& attributes, const std::string& path) {
  if (const std::string format = json_string(attributes, "format", path); format != "dslite-tokens") {
    fail_input("{}: attribute \"format\": found {}, expected \"dslite-tokens\"", path, shown(format));
  }
  if (const int64_t version = json_integer(attributes, "version", path); version != kTokenFileVersion) {
    fail_input("{}: attribute \"version\": found {}, expected {}", path, version, kTokenFileVersion);
  }
}

TokenFileInfo info_of(const Json& attributes, const std::string& path) {
  const Json expected = attributes_of({});
  for (const auto& [name, value] : attributes.items()) {
    if (!expected.contains(name)) fail_input("{}: unknown attribute {}", path, shown(name));
  }
  const auto integer = [&](const char* name, int64_t low, int64_t high) {
    const int64_t value = json_integer(attributes, name, path);
    if (value < low || value > high)
      fail_input("{}: attribute \"{}\": found {}, expected {} to {}", path, name, value, low, high);
    return value;
  };
  TokenFileInfo info;
  const std::string kind = json_string(attributes, "kind", path);
  if (kind != "pretrain" && kind != "sft")
    fail_input("{}: attribute \"kind\": found {}, expected \"pretrain\" or \"sft\"", path, shown(kind));
  info.kind = kind == "sft" ? TokenFileKind::kSft : TokenFileKind::kPretrain;
  info.tokenizer_sha256 = json_string(attributes, "tokenizer_sha256", path);
  if (info.tokenizer_sha256.size() != kSha256Bytes)
    fail_input("{}: attribute \"tokenizer_sha256\": found {}, expected 64 digits", path, shown(info.tokenizer_sha256));
  info.chat_format = json_string(attributes, "chat_format", path);
  info.vocab_size = integer("vocab_size", 1, int64_t{1} << 31);
  info.bos = integer("bos", 0, info.vocab_size - 1);
  info.eos = integer("eos", 0, info.vocab_size - 1);
  constexpr int64_t kMost = int64_t{1} << 48;
  info.num_documents = integer("num_documents", 1, kMost);
  info.num_tokens = integer("num_tokens", 1, kMost);
  info.num_trained_tokens = integer("num_trained_tokens", 0, info.num_tokens);
  info.max_document_tokens = integer("max_document_tokens", 1, info.num_tokens);
  info.dropped = parsed_attribute(attributes, "dropped", path);
  info.checked = parsed_attribute(attributes, "checked", path);
  return info;
}

}  // namespace dslite
