// Reads token files: HDF5 for the structure, mmap for the data, hashes on first touch.
#include "src/data/token_store.h"

#include <atomic>
#include <cmath>
#include <cstring>

#include "src/base/error.h"
#include "src/base/files.h"
#include "src/base/hash.h"
#include "src/data/token_layout.h"

namespace dslite {
namespace {

constexpr size_t kMaxAttributeBytes = size_t{1} << 16;

struct MappedDataset {
  const std::byte* data = nullptr;
  uint64_t num_elements = 0;
  std::vector<uint64_t> hashes;
  mutable std::vector<std::atomic<bool>> verified;  // one per block
};

struct Hdf5Reader {
  const std::string& path;
  std::span<const std::byte> bytes;  // the file
  Hdf5Handle file;

  Hdf5Reader(const std::string& file_path, std::span<const std::byte> file_bytes) : path(file_path), bytes(file_bytes) {
    constexpr unsigned char kSignature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    if (bytes.size() < sizeof kSignature || std::memcmp(bytes.data(), kSignature, sizeof kSignature) != 0) {
      fail_input("{}: not an HDF5 file (expected a token file that `dslite prepare` wrote)", path);
    }
    const Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    check(H5Pset_file_locking(access, false, true) >= 0, "file access");
    file = Hdf5Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access), H5Fclose);
    check(file >= 0, "the HDF5 structure");
  }
  void check(bool good, const std::string& what) const {
    if (!good) fail_input("{}: cannot read {}: {}", path, what, hdf5_problem());
  }

  // Names of a group's hard links; any other kind of link could lead out of the file.
  std::vector<std::string> members(hid_t group, const std::string& name) const {
    H5G_info_t info;
    check(H5Gget_info(group, &info) >= 0, name);
    if (info.nlinks > 64)
      fail_input("{}: {} holds {} objects, expected at most {}", path, name, info.nlinks, kNumTokenDatasets + 1);
    std::vector<std::string> names;
    for (hsize_t i = 0; i < info.nlinks; ++i) {
      char buffer[256] = {};
      H5L_info_t link;
      check(H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, buffer, sizeof buffer, H5P_DEFAULT) >= 0 &&
                H5Lget_info_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, &link, H5P_DEFAULT) >= 0,
            name);
      if (link.type != H5L_TYPE_HARD) {
        fail_input("{}: {}{} is {} link, expected a dataset in this file", path, name, shown(buffer),
                   link.type == H5L_TYPE_SOFT ? "a soft" : "an external");
      }
      names.emplace_back(buffer);
    }
    return names;
  }

  // A contiguous, unfiltered, one-dimensional dataset of exactly this type whose bytes lie inside the file.
  MappedDataset dataset(hid_t parent, const std::string& name, hid_t type, size_t element_bytes) const {
    const Hdf5Handle id(H5Dopen2(parent, name.c_str(), H5P_DEFAULT), H5Dclose);
    check(id >= 0, "dataset " + name);
    const Hdf5Handle found_type(H5Dget_type(id), H5Tclose), space(H5Dget_space(id), H5Sclose),
        create(H5Dget_create_plist(id), H5Pclose);
    check(found_type >= 0 && space >= 0 && create >= 0, "dataset " + name);
    if (H5Pget_layout(create) != H5D_CONTIGUOUS) {
      fail_input("{}: dataset {} is {}, expected contiguous storage", path, name,
                 H5Pget_layout(create) == H5D_VIRTUAL ? "a virtual dataset" : "chunked or compact");
    }
    if (H5Pget_nfilters(create) != 0) fail_input("{}: dataset {} has filters, expected none", path, name);
    if (H5Pget_external_count(create) != 0) fail_input("{}: dataset {} lies in an external file", path, name);
    if (H5Tequal(found_type, type) <= 0)
      fail_input("{}: dataset {} has another element type than the format says", path, name);
    hsize_t dims[1] = {0};
    if (H5Sget_simple_extent_ndims(space) != 1 || H5Sget_simple_extent_dims(space, dims, nullptr) != 1) {
      fail_input("{}: dataset {} is not one-dimensional", path, name);
    }
    MappedDataset mapped;
    mapped.num_elements = dims[0];
    if (dims[0] == 0) return mapped;
    const haddr_t offset = H5Dget_offset(id);
    if (offset == HADDR_UNDEF || offset > bytes.size() || dims[0] > (bytes.size() - offset) / element_bytes) {
      fail_input("{}: dataset {} ({} elements) does not lie inside the file ({} bytes)", path, name, dims[0],
                 bytes.size());
    }
    if (offset % 8 != 0) fail_input("{}: dataset {} is not aligned to 8 bytes", path, name);
    mapped.data = bytes.data() + offset;
    return mapped;
  }

  Json attribute(hid_t id, const std::string& name) const {
    const Hdf5Handle type(H5Aget_type(id), H5Tclose), space(H5Aget_space(id), H5Sclose);
    check(type >= 0 && space >= 0, "attribute " + name);
    if (H5Sget_simple_extent_type(space) != H5S_SCALAR)
      fail_input("{}: attribute {} is not a scalar", path, shown(name));
    if (H5Tget_class(type) == H5T_STRING) {
      const size_t size = H5Tget_size(type);
      if (H5Tis_variable_str(type) != 0 || size > kMaxAttributeBytes)
        fail_input("{}: attribute {} is not a fixed-length string of at most {} bytes", path, shown(name),
                   kMaxAttributeBytes);
      std::string text(size, '\0');
      check(H5Aread(id, type, text.data()) >= 0, "attribute " + name);
      text.resize(strnlen(text.data(), size));
      return text;
    }
    if (H5Tequal(type, H5T_STD_U64LE) > 0) {
      uint64_t value = 0;
      check(H5Aread(id, type, &value) >= 0, "attribute " + name);
      return value;
    }
    if (H5Tequal(type, H5T_STD_I64LE) <= 0)
      fail_input("{}: attribute {} is neither a string nor a 64-bit integer", path, shown(name));
    int64_t value = 0;
    check(H5Aread(id, type, &value) >= 0, "attribute " + name);
    return value;
  }

  Json attributes() const {
    H5O_info_t info;
    check(H5Oget_info2(file, &info, H5O_INFO_NUM_ATTRS) >= 0, "attributes");
    if (info.num_attrs > 64) fail_input("{}: found {} attributes, expected 16", path, info.num_attrs);
    Json all = Json::object();
    for (hsize_t i = 0; i < info.num_attrs; ++i) {
      const Hdf5Handle id(H5Aopen_by_idx(file, ".", H5_INDEX_NAME, H5_ITER_INC, i, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
      char buffer[256] = {};
      check(id >= 0 && H5Aget_name(id, sizeof buffer, buffer) >= 0, "attributes");
      all[buffer] = attribute(id, buffer);
    }
    return all;
  }
};

TokenFileInfo checked_info(Json attributes, const std::string& path) {
  const auto take = [&](const char* name) {
    Json value = json_member(attributes, name, path);
    attributes.erase(name);
    return value;
  };
  if (!attributes.contains("format") && !attributes.contains("complete"))
    fail_input("{}: not a token file (no attribute \"format\")", path);
  if (!attributes.contains("complete") || take("complete") != 1)
    fail_input("{}: the file is incomplete: its writing was interrupted; run `dslite prepare` again", path);
  check_format(attributes, path);
  const Json hash = take("attributes_xxh3");
  if (!hash.is_number_unsigned() || hash.get<uint64_t>() != xxh3_64(canonical_json(attributes))) {
    fail_input("{}: the attributes do not have the hash in attributes_xxh3: the file is damaged or was edited", path);
  }
  return info_of(attributes, path);
}

}  // namespace

struct TokenStore::State {
  explicit State(const std::string& path) : file(path) {}
  MappedFile file;
  TokenFileInfo info;
  std::array<MappedDataset, kNumTokenDatasets> datasets;
  std::vector<TokenSource> sources;

  template <class T>
  std::span<const T> view(TokenDataset which, uint64_t begin, uint64_t end) const {
    const MappedDataset& dataset = datasets[which];
    DSLITE_ASSERT(begin <= end && end <= dataset.num_elements);
    touch(which, begin, end);
    return {reinterpret_cast<const T*>(dataset.data) + begin, end - begin};
  }
  template <class T>
  std::span<const T> all(TokenDataset which) const {
    return view<T>(which, 0, datasets[which].num_elements);
  }

  // Hashes and checks the blocks that hold [begin, end), unless that was done before.
  void touch(TokenDataset which, uint64_t begin, uint64_t end) const {
    const MappedDataset& dataset = datasets[which];
    if (begin == end) return;
    for (uint64_t block = begin / kCheckBlockElements; block <= (end - 1) / kCheckBlockElements; ++block) {
      if (dataset.verified[block].load(std::memory_order_acquire)) continue;
      check_block(which, block);
      dataset.verified[block].store(true, std::memory_order_release);
    }
  }
  void check_block(TokenDataset which, uint64_t block) const {
    const MappedDataset& dataset = datasets[which];
    const TokenDatasetLayout& layout = kTokenDatasets[which];
    const uint64_t begin = block * kCheckBlockElements,
                   count = std::min(kCheckBlockElements, dataset.num_elements - begin);
    const std::byte* data = dataset.data + begin * layout.element_bytes;
    file.check_unchanged();
    if (xxh3_64(std::span(data, count * layout.element_bytes)) != dataset.hashes[block]) {
      fail_input("{}: dataset {} is damaged: elements {} to {} do not have the hash in /check/{}", file.path(),
                 layout.name, begin, begin + count - 1, layout.name);
    }
    for (uint64_t i = 0; i < count; ++i) {
      if (which == kTokens) {
        const uint32_t token = reinterpret_cast<const uint32_t*>(data)[i];
        if (token >= static_cast<uint64_t>(info.vocab_size))
          fail_input("{}: token {} is {}, expected below vocab_size {}", file.path(), begin + i, token,
                     info.vocab_size);
      } else if (which == kLossWeight) {
        const float weight = reinterpret_cast<const float*>(data)[i];
        if (!std::isfinite(weight) || weight < 0)
          fail_input("{}: loss_weight {} is {}, expected a finite number >= 0", file.path(), begin + i, weight);
      }
    }
  }

  void open_datasets(const Hdf5Reader& reader);
  void check_index();
};

void TokenStore::State::open_datasets(const Hdf5Reader& reader) {
  const bool sft = info.kind == TokenFileKind::kSft;
  std::vector<std::string> expected;
  for (const TokenDatasetLayout& layout : kTokenDatasets) {
    if (sft || !layout.sft_only) expected.emplace_back(layout.name);
  }
  const Hdf5Handle check_group(H5Gopen2(reader.file, "check", H5P_DEFAULT), H5Gclose);
  reader.check(check_group >= 0, "group check");
  const auto demand = [&](std::vector<std::string> found, std::vector<std::string> names, const std::string& group) {
    std::sort(names.begin(), names.end());
    std::sort(found.begin(), found.end());
    if (found != names)
      fail_input("{}: {} holds {}, expected {}", reader.path, group, fmt::join(found, " "), fmt::join(names, " "));
  };
  demand(reader.members(check_group, "/check/"), expected, "group /check");
  std::vector<std::string> root_names = expected;
  root_names.emplace_back("check");
  demand(reader.members(reader.file, "/"), root_names, "the root group");
  const Hdf5Handle hash_type(H5Tcopy(H5T_STD_U64LE), H5Tclose);
  for (size_t i = 0; i < kNumTokenDatasets; ++i) {
    const TokenDatasetLayout& layout = kTokenDatasets[i];
    if (!sft && layout.sft_only) continue;
    MappedDataset& dataset = datasets[i];
    const Hdf5Handle type = token_dataset_type(static_cast<TokenDataset>(i));
    dataset = reader.dataset(reader.file, layout.name, type, layout.element_bytes);
    const MappedDataset hashes = reader.dataset(check_group, layout.name, hash_type, sizeof(uint64_t));
    const uint64_t num_blocks = (dataset.num_elements + kCheckBlockElements - 1) / kCheckBlockElements;
    if (hashes.num_elements != num_blocks) {
      fail_input("{}: /check/{} has {} elements, expected {} for {} elements of {}", reader.path, layout.name,
                 hashes.num_elements, num_blocks, dataset.num_elements, layout.name);
    }
    const auto* first = reinterpret_cast<const uint64_t*>(hashes.data);
    if (num_blocks > 0) dataset.hashes.assign(first, first + num_blocks);
    dataset.verified = std::vector<std::atomic<bool>>(num_blocks);
  }
}

// The document index is read as a whole: everything later relies on it.
void TokenStore::State::check_index() {
  const std::string& path = file.path();
  const auto demand = [&](const char* what, uint64_t found, uint64_t expected) {
    if (found != expected) fail_input("{}: {}: found {}, expected {}", path, what, found, expected);
  };
  const auto num_documents = static_cast<uint64_t>(info.num_documents),
             num_tokens = static_cast<uint64_t>(info.num_tokens);
  demand("length of tokens", datasets[kTokens].num_elements, num_tokens);
  demand("length of document_offsets", datasets[kDocumentOffsets].num_elements, num_documents + 1);
  demand("length of document_source", datasets[kDocumentSource].num_elements, num_documents);
  demand("length of document_hash", datasets[kDocumentHash].num_elements, num_documents);
  if (info.kind == TokenFileKind::kSft) demand("length of loss_weight", datasets[kLossWeight].num_elements, num_tokens);
  const auto offsets = all<uint64_t>(kDocumentOffsets);
  demand("document_offsets[0]", offsets.front(), 0);
  demand("the last of document_offsets", offsets.back(), num_tokens);
  uint64_t longest = 0;
  for (uint64_t d = 0; d < num_documents; ++d) {
    if (offsets[d + 1] <= offsets[d])
      fail_input("{}: document {} ends at token {}, before or at its begin {}", path, d, offsets[d + 1], offsets[d]);
    longest = std::max(longest, offsets[d + 1] - offsets[d]);
  }
  demand("max_document_tokens", static_cast<uint64_t>(info.max_document_tokens), longest);
  touch(kSources, 0, datasets[kSources].num_elements);
  for (uint64_t i = 0; i < datasets[kSources].num_elements; ++i)
    sources.push_back(unpack_source(datasets[kSources].data + i * kSourceBytes));
  std::vector<TokenSource> counted(sources.size());
  const auto document_source = all<uint16_t>(kDocumentSource);
  for (uint64_t d = 0; d < num_documents; ++d) {
    if (document_source[d] >= sources.size())
      fail_input("{}: document_source[{}] is {}, expected below {}", path, d, document_source[d], sources.size());
    counted[document_source[d]].num_documents += 1;
    counted[document_source[d]].num_tokens += offsets[d + 1] - offsets[d];
  }
  for (size_t i = 0; i < sources.size(); ++i) {
    demand("num_documents of a source", counted[i].num_documents, sources[i].num_documents);
    demand("num_tokens of a source", counted[i].num_tokens, sources[i].num_tokens);
  }
}

TokenStore::TokenStore(const std::string& path) : state_(std::make_unique<State>(path)) {
  silence_hdf5();
  const Hdf5Reader reader(path, state_->file.bytes());
  state_->info = checked_info(reader.attributes(), path);
  state_->open_datasets(reader);
  state_->check_index();
}
TokenStore::~TokenStore() = default;

void TokenStore::forget_pages() const { state_->file.release(state_->file.bytes()); }
const std::string& TokenStore::path() const { return state_->file.path(); }
const TokenFileInfo& TokenStore::info() const { return state_->info; }
const std::vector<TokenSource>& TokenStore::sources() const { return state_->sources; }
std::span<const uint64_t> TokenStore::document_offsets() const { return state_->all<uint64_t>(kDocumentOffsets); }
std::span<const uint16_t> TokenStore::document_source() const { return state_->all<uint16_t>(kDocumentSource); }
std::span<const uint64_t> TokenStore::document_hash() const { return state_->all<uint64_t>(kDocumentHash); }
std::span<const uint32_t> TokenStore::tokens(uint64_t begin, uint64_t end) const {
  return state_->view<uint32_t>(kTokens, begin, end);
}
std::span<const float> TokenStore::loss_weight(uint64_t begin, uint64_t end) const {
  DSLITE_ASSERT(info().kind == TokenFileKind::kSft);
  return state_->view<float>(kLossWeight, begin, end);
}
uint64_t TokenStore::num_turns() const { return state_->datasets[kTurns].num_elements; }
StoredTurn TokenStore::turn(uint64_t index) const {
  DSLITE_ASSERT(index < num_turns());
  state_->touch(kTurns, index, index + 1);
  return unpack_turn(state_->datasets[kTurns].data + index * kTurnBytes);
}

}  // namespace dslite
