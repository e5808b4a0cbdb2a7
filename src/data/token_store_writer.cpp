// Writes token files: spill while documents come, lay out once their number is known, verify, rename.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <optional>

#include "src/base/error.h"
#include "src/base/files.h"
#include "src/base/hash.h"
#include "src/data/spill_file.h"
#include "src/data/token_layout.h"

namespace dslite {
namespace {

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

Hdf5Handle property_list(hid_t kind) { return {H5Pcreate(kind), H5Pclose}; }

// The newest file layout that HDF5 1.10 reads (checksummed metadata); no time stamps, so equal input gives equal bytes.
class Hdf5Output {
 public:
  explicit Hdf5Output(const std::string& path) : path_(path) {
    const Hdf5Handle create = property_list(H5P_FILE_CREATE), access = property_list(H5P_FILE_ACCESS);
    check(H5Pset_obj_track_times(create, false) >= 0 && H5Pset_attr_phase_change(create, 1000, 0) >= 0);
    check(H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0 && H5Pset_alignment(access, 1, 64) >= 0 &&
          H5Pset_file_locking(access, false, true) >= 0 && H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0);
    file_ = Hdf5Handle(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, create, access), H5Fclose);
    check(file_ >= 0);
    const Hdf5Handle group = property_list(H5P_GROUP_CREATE);
    check(H5Pset_obj_track_times(group, false) >= 0);
    check_group_ = Hdf5Handle(H5Gcreate2(file_, "check", H5P_DEFAULT, group, H5P_DEFAULT), H5Gclose);
    check(check_group_ >= 0);
  }

  void write_dataset(TokenDataset which, SpillFile& spill, const BytesDone& report) {
    const TokenDatasetLayout& layout = kTokenDatasets[which];
    const Hdf5Handle type = token_dataset_type(which);
    const uint64_t num_elements = spill.size_bytes() / layout.element_bytes;
    Hdf5Handle dataset = create_dataset(file_, layout.name, type, num_elements);
    std::vector<uint64_t> hashes;
    std::vector<std::byte> block;
    for (uint64_t begin = 0; begin < num_elements; begin += kCheckBlockElements) {
      const uint64_t count = std::min(kCheckBlockElements, num_elements - begin);
      block.resize(count * layout.element_bytes);
      spill.read(begin * layout.element_bytes, block);
      hashes.push_back(xxh3_64(block));
      write_elements(dataset, type, begin, count, block.data());
      if (report) report(block.size());
    }
    const Hdf5Handle hash_type(H5Tcopy(H5T_STD_U64LE), H5Tclose);
    Hdf5Handle check_dataset = create_dataset(check_group_, layout.name, hash_type, hashes.size());
    if (!hashes.empty()) write_elements(check_dataset, hash_type, 0, hashes.size(), hashes.data());
    check(dataset.close() && check_dataset.close());
  }

  void write_attribute(const std::string& name, const Json& value) {
    const Hdf5Handle scalar(H5Screate(H5S_SCALAR), H5Sclose);
    Hdf5Handle type;
    std::string text;
    uint64_t number = 0;  // the bits of an int64 or a uint64
    const void* data = &number;
    if (value.is_string()) {
      text = value.get<std::string>();
      text.resize(std::max<size_t>(1, text.size()), '\0');
      type = Hdf5Handle(H5Tcopy(H5T_C_S1), H5Tclose);
      check(H5Tset_size(type, text.size()) >= 0 && H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0 &&
            H5Tset_cset(type, H5T_CSET_UTF8) >= 0);
      data = text.data();
    } else {
      const bool is_hash = value.is_number_unsigned();
      type = Hdf5Handle(H5Tcopy(is_hash ? H5T_STD_U64LE : H5T_STD_I64LE), H5Tclose);
      number = is_hash ? value.get<uint64_t>() : static_cast<uint64_t>(value.get<int64_t>());
    }
    Hdf5Handle attribute(H5Acreate2(file_, name.c_str(), type, scalar, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
    check(attribute >= 0 && H5Awrite(attribute, type, data) >= 0 && attribute.close());
  }

  void flush() { check(H5Fflush(file_, H5F_SCOPE_GLOBAL) >= 0); }
  void close() { check(check_group_.close() && file_.close()); }

 private:
  Hdf5Handle create_dataset(hid_t parent, const char* name, hid_t type, uint64_t num_elements) {
    const hsize_t dims = num_elements;
    const Hdf5Handle space(H5Screate_simple(1, &dims, nullptr), H5Sclose), create = property_list(H5P_DATASET_CREATE);
    check(H5Pset_layout(create, H5D_CONTIGUOUS) >= 0 && H5Pset_alloc_time(create, H5D_ALLOC_TIME_EARLY) >= 0 &&
          H5Pset_fill_time(create, H5D_FILL_TIME_NEVER) >= 0 && H5Pset_obj_track_times(create, false) >= 0);
    Hdf5Handle dataset(H5Dcreate2(parent, name, type, space, H5P_DEFAULT, create, H5P_DEFAULT), H5Dclose);
    check(dataset >= 0);
    return dataset;
  }
  void write_elements(hid_t dataset, hid_t type, uint64_t begin, uint64_t count, const void* data) {
    const hsize_t start = begin, size = count;
    const Hdf5Handle in_file(H5Dget_space(dataset), H5Sclose), in_memory(H5Screate_simple(1, &size, nullptr), H5Sclose);
    check(H5Sselect_hyperslab(in_file, H5S_SELECT_SET, &start, nullptr, &size, nullptr) >= 0 &&
          H5Dwrite(dataset, type, in_memory, in_file, H5P_DEFAULT, data) >= 0);
  }
  void check(bool good) const {
    if (!good) fail_work("cannot write {}: {}", path_, hdf5_problem());
  }

  std::string path_;
  Hdf5Handle file_, check_group_;
};

void sync_file(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail_work("cannot open {}: {}", path, std::strerror(errno));
  const int result = ::fsync(descriptor);
  const int error = errno;
  ::close(descriptor);
  if (result != 0) fail_work("cannot sync {}: {}", path, std::strerror(error));
}

}  // namespace

struct TokenStoreWriter::State {
  ~State() {
    if (lock && !committed) ::unlink(temporary.c_str());
  }
  std::string path, temporary;
  TokenFileInfo info;
  std::optional<FileLock> lock;  // on PATH.tmp: two writers of one file would mix their bytes
  std::vector<std::unique_ptr<SpillFile>> spills;
  TokenSource source;
  uint16_t source_index = 0;
  bool in_source = false, committed = false;

  SpillFile& spill(TokenDataset which) { return *spills[which]; }
};

TokenStoreWriter::TokenStoreWriter(std::string path, TokenFileInfo info) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.path = std::move(path);
  s.temporary = s.path + ".tmp";
  s.info = std::move(info);
  s.info.num_tokens = s.info.num_documents = s.info.num_trained_tokens = s.info.max_document_tokens = 0;
  if (std::filesystem::is_directory(s.path))
    fail_input("{}: found a folder, expected a file name for the output", s.path);
  const std::string parent = std::filesystem::path(s.path).parent_path().string();
  const std::string folder = parent.empty() ? std::string(".") : parent;
  if (!std::filesystem::is_directory(folder)) fail_input("{}: the folder {} does not exist", s.path, folder);
  s.lock.emplace(s.temporary, s.path);
  for (size_t i = 0; i < kNumTokenDatasets; ++i) s.spills.push_back(std::make_unique<SpillFile>(folder));
  const uint64_t zero = 0;
  s.spill(kDocumentOffsets).append(bytes_of(zero));
}

TokenStoreWriter::~TokenStoreWriter() = default;

const TokenFileInfo& TokenStoreWriter::info() const { return state_->info; }
int64_t TokenStoreWriter::num_documents() const { return state_->info.num_documents; }

void TokenStoreWriter::begin_source(const std::string& name) {
  DSLITE_ASSERT(!state_->in_source && name.size() <= kSourceNameBytes);
  state_->in_source = true;
  state_->source = {.name = name, .sha256 = {}};
}

void TokenStoreWriter::add(const TokenDocument& document) {
  State& s = *state_;
  const bool sft = s.info.kind == TokenFileKind::kSft;
  const auto num_tokens = static_cast<int64_t>(document.tokens.size());
  DSLITE_ASSERT(s.in_source && num_tokens > 0 && document.loss_weight.size() == (sft ? document.tokens.size() : 0));
  for (const int32_t token : document.tokens) DSLITE_ASSERT(token >= 0 && token < s.info.vocab_size);
  const auto index = static_cast<uint64_t>(s.info.num_documents++);
  s.info.num_tokens += num_tokens;
  s.info.max_document_tokens = std::max(s.info.max_document_tokens, num_tokens);
  s.source.num_documents += 1;
  s.source.num_tokens += static_cast<uint64_t>(num_tokens);
  s.spill(kTokens).append(std::as_bytes(document.tokens));  // ids are not negative: the same bytes as uint32
  s.spill(kDocumentOffsets).append(bytes_of(static_cast<uint64_t>(s.info.num_tokens)));
  s.spill(kDocumentSource).append(bytes_of(s.source_index));
  s.spill(kDocumentHash).append(bytes_of(document.hash));
  if (!sft) {
    s.info.num_trained_tokens += num_tokens - 1;
    return;
  }
  for (size_t i = 0; i < document.loss_weight.size(); ++i) {
    DSLITE_ASSERT(std::isfinite(document.loss_weight[i]) && document.loss_weight[i] >= 0);
    s.info.num_trained_tokens += i > 0 && document.loss_weight[i] > 0;
  }
  s.spill(kLossWeight).append(std::as_bytes(document.loss_weight));
  for (const RenderedChat::Turn& turn : document.turns) {
    s.spill(kTurns).append(
        pack_turn({index, static_cast<uint64_t>(turn.begin), static_cast<uint64_t>(turn.end), turn.role, turn.weight}));
  }
}

void TokenStoreWriter::end_source(const std::string& sha256, uint64_t bytes) {
  State& s = *state_;
  DSLITE_ASSERT(s.in_source);
  s.in_source = false;
  s.source.sha256 = sha256;
  s.source.bytes = bytes;
  s.spill(kSources).append(pack_source(s.source));
  if (s.source_index == UINT16_MAX) fail_input("more than {} input files in one token file", UINT16_MAX);
  ++s.source_index;
}

uint64_t TokenStoreWriter::bytes_to_finish() const {
  State& s = *state_;
  uint64_t bytes = s.spill(kTokens).size_bytes() + s.spill(kLossWeight).size_bytes();  // verified
  for (const auto& spill : s.spills) bytes += spill->size_bytes();                     // written
  return bytes;
}

void TokenStoreWriter::finish(const Json& dropped, const Json& checked, const BytesDone& report) {
  State& s = *state_;
  DSLITE_ASSERT(!s.in_source && s.info.num_documents > 0);
  s.info.dropped = dropped;
  s.info.checked = checked;
  silence_hdf5();
  {
    Hdf5Output output(s.temporary);
    for (size_t i = 0; i < kNumTokenDatasets; ++i) {
      if (s.info.kind == TokenFileKind::kSft || !kTokenDatasets[i].sft_only)
        output.write_dataset(static_cast<TokenDataset>(i), *s.spills[i], report);
    }
    const Json attributes = attributes_of(s.info);
    for (const auto& [name, value] : attributes.items()) output.write_attribute(name, value);
    output.write_attribute("attributes_xxh3", xxh3_64(canonical_json(attributes)));
    output.flush();
    output.write_attribute("complete", 1);
    output.close();
  }
  sync_file(s.temporary);
  TokenStore(s.temporary).verify(report);
}

void TokenStoreWriter::commit() {
  State& s = *state_;
  rename_durably(s.temporary, s.path);
  s.committed = true;
}

}  // namespace dslite
