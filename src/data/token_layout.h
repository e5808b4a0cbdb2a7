// The layout of a "dslite-tokens" file, version 1, shared by writer and reader: datasets, their types, root attributes.
#pragma once
#include <array>
#include <cstdint>
#include <string>

#include "src/base/json.h"
#include "src/data/hdf5.h"
#include "src/data/token_store.h"

namespace dslite {

constexpr int64_t kTokenFileVersion = 1;
constexpr uint64_t kCheckBlockElements = uint64_t{1} << 20;  // one XXH3-64 in /check/X each
constexpr size_t kSourceNameBytes = 256;
constexpr size_t kSha256Bytes = 64;

// In the order in which they lie in the file; the last two of them only in sft files.
enum TokenDataset : size_t {
  kTokens,
  kDocumentOffsets,
  kDocumentSource,
  kDocumentHash,
  kSources,
  kLossWeight,
  kTurns,
  kNumTokenDatasets
};
struct TokenDatasetLayout {
  const char* name;
  size_t element_bytes;
  bool sft_only;
  const char* type;  // of an element, as hdf5_structure.h spells it; token_dataset_type() is the same for libhdf5
};
constexpr size_t kTurnBytes = 8 + 8 + 8 + 1 + 4;  // document, begin, end, role, weight
constexpr size_t kSourceBytes =
    kSourceNameBytes + kSha256Bytes + 3 * 8;  // name, sha256, bytes, num_documents, num_tokens
inline constexpr std::array<TokenDatasetLayout, kNumTokenDatasets> kTokenDatasets = {{
    {"tokens", 4, false, "u32"},
    {"document_offsets", 8, false, "u64"},
    {"document_source", 2, false, "u16"},
    {"document_hash", 8, false, "u64"},
    {"sources", kSourceBytes, false,
     "{name string[256], sha256 string[64], bytes u64, num_documents u64, num_tokens u64}"},
    {"loss_weight", 4, true, "f32"},
    {"turns", kTurnBytes, true, "{document u64, begin u64, end u64, role u8, weight f32}"},
}};

// Packed little-endian file type; the type in memory is the same, so HDF5 copies bytes.
Hdf5Handle token_dataset_type(TokenDataset dataset);

// Packed records as they lie in the file.
std::array<std::byte, kTurnBytes> pack_turn(const StoredTurn& turn);
StoredTurn unpack_turn(const std::byte* bytes);
std::array<std::byte, kSourceBytes> pack_source(const TokenSource& source);
TokenSource unpack_source(const std::byte* bytes);

// All root attributes but `complete` and `attributes_xxh3`, in the order in which they are written: integers are int64,
// the rest fixed-length UTF-8.
Json attributes_of(const TokenFileInfo& info);
// UserError unless this is a file of format and version that we read.
void check_format(const Json& attributes, const std::string& path);
// UserError for a missing, unknown or wrongly typed attribute.
TokenFileInfo info_of(const Json& attributes, const std::string& path);

}  // namespace dslite
