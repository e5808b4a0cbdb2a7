// Opening, verifying and reading one checkpoint; choosing the newest sound one.
#include <cstring>
#include <filesystem>
#include <unordered_map>

#include "src/base/error.h"
#include "src/checkpoint/manifest.h"
#include "src/checkpoint/run_checkpoint.h"

namespace dslite {

struct Checkpoint::State {
  std::string folder;
  Manifest manifest;
  std::vector<std::unique_ptr<SafetensorsFile>> files;
  std::vector<TensorInfo> infos;  // as manifest.tensors
  std::unordered_map<std::string, size_t> by_name;

  std::string path(size_t file) const { return folder + "/" + manifest.files[file].name; }
  const ManifestTensor& tensor(const std::string& name) const {
    const auto found = by_name.find(name);
    if (found == by_name.end()) fail_input("{}: no tensor {}", folder, shown(name));
    return manifest.tensors[found->second];
  }
  const TensorInfo& entry(const ManifestSlice& slice) const { return *files[slice.file]->find(slice.key); }
  std::span<const std::byte> bytes(const ManifestSlice& slice) const { return files[slice.file]->bytes(entry(slice)); }

  void open_files();
  void check_entries();
  void check_hashes() const;
  [[noreturn]] void damaged_slice(const ManifestTensor& tensor, const ManifestSlice& slice) const {
    fail_input("{}: tensor {} is damaged: its hash does not fit the manifest", path(slice.file),
               shown(tensor.info.name));
  }
  void check_tensor_hashes() const;
};

void Checkpoint::State::open_files() {
  for (const ManifestFile& file : manifest.files) {
    const std::string name = folder + "/" + file.name;
    std::error_code error;
    const auto bytes = std::filesystem::file_size(name, error);
    if (error) fail_input("{}: {}", name, error.message());
    if (static_cast<int64_t>(bytes) != file.bytes)
      fail_input("{}: found {} bytes, expected {}", name, bytes, file.bytes);
    files.push_back(std::make_unique<SafetensorsFile>(name));
  }
}

void Checkpoint::State::check_entries() {
  for (size_t i = 0; i < manifest.tensors.size(); ++i) {
    const ManifestTensor& tensor = manifest.tensors[i];
    infos.push_back(tensor.info);
    if (!by_name.emplace(tensor.info.name, i).second)
      fail_input("{}: tensor {} appears twice in the manifest", folder, shown(tensor.info.name));
    for (const ManifestSlice& slice : tensor.slices) {
      const TensorInfo* entry = files[slice.file]->find(slice.key);
      if (!entry) fail_input("{}: no tensor {}", path(slice.file), shown(slice.key));
      if (entry->type != tensor.info.type || entry->num_elements() != slice.end - slice.begin) {
        fail_input("{}: tensor {} is not what the manifest says", path(slice.file), shown(slice.key));
      }
    }
  }
}

void Checkpoint::State::check_tensor_hashes() const {
  for (const ManifestTensor& tensor : manifest.tensors) {
    for (const ManifestSlice& slice : tensor.slices) {
      if (xxh3_64(bytes(slice)) != slice.xxh3) damaged_slice(tensor, slice);
      files[slice.file]->release(bytes(slice));
    }
  }
}

void Checkpoint::State::check_hashes() const {
  constexpr size_t kPieceBytes = size_t{64} << 20;  // so that a large file does not fill the memory
  for (size_t i = 0; i < files.size(); ++i) {
    const MappedFile file(path(i));
    Sha256 hash;
    for (auto rest = file.bytes(); !rest.empty();) {
      const auto piece = rest.first(std::min(kPieceBytes, rest.size()));
      hash.add(piece);
      file.release(piece);
      rest = rest.subspan(piece.size());
    }
    if (hash.hex() == manifest.files[i].sha256) continue;
    check_tensor_hashes();  // names the damaged tensor
    fail_input("{}: the file is damaged: its SHA-256 does not fit the manifest", path(i));
  }
}

Checkpoint::Checkpoint(const std::string& folder, bool hashes) : state_(std::make_unique<State>()) {
  state_->folder = folder;
  const std::string manifest_path = folder + "/" + kManifestName;
  if (!std::filesystem::exists(manifest_path))
    fail_input("{}: no {}: not a complete checkpoint", folder, kManifestName);
  state_->manifest = read_manifest(manifest_path);
  state_->open_files();
  state_->check_entries();
  if (hashes) state_->check_hashes();
}
Checkpoint::~Checkpoint() = default;

void Checkpoint::verify_tensors() const { state_->check_tensor_hashes(); }
int64_t Checkpoint::step() const { return state_->manifest.step; }
const Json& Checkpoint::state() const { return state_->manifest.state; }
const std::vector<TensorInfo>& Checkpoint::tensors() const { return state_->infos; }
bool Checkpoint::contains(const std::string& name) const { return state_->by_name.count(name) > 0; }
TensorInfo Checkpoint::info(const std::string& name) const { return state_->tensor(name).info; }

void Checkpoint::read(const std::string& name, int64_t flat_begin, int64_t flat_end, std::span<std::byte> out) const {
  const ManifestTensor& tensor = state_->tensor(name);
  const int64_t size = tensor_type_bytes(tensor.info.type);
  DSLITE_ASSERT(0 <= flat_begin && flat_begin <= flat_end && flat_end <= tensor.info.num_elements());
  DSLITE_ASSERT(static_cast<int64_t>(out.size()) == (flat_end - flat_begin) * size);
  for (const ManifestSlice& slice : tensor.slices) {
    const int64_t begin = std::max(flat_begin, slice.begin), end = std::min(flat_end, slice.end);
    if (begin >= end) continue;
    const auto source = state_->bytes(slice).subspan(static_cast<size_t>((begin - slice.begin) * size),
                                                     static_cast<size_t>((end - begin) * size));
    const auto target = out.subspan(static_cast<size_t>((begin - flat_begin) * size), source.size());
    std::memcpy(target.data(), source.data(), source.size());
    const bool whole = begin == slice.begin && end == slice.end;
    if (whole && xxh3_64(target) != slice.xxh3) state_->damaged_slice(tensor, slice);
    state_->files[slice.file]->release(source);
  }
}

std::optional<CheckpointInfo> newest_sound_checkpoint(
    const std::string& run_folder,
    const std::function<void(const std::string& folder, const std::string& reason)>& reject) {
  const std::vector<CheckpointInfo> found = list_checkpoints(run_folder);
  for (const CheckpointInfo& info : found) {
    try {
      const Checkpoint checkpoint(info.folder);
      if (checkpoint.step() != info.step) fail_input("{}: its manifest is of step {}", info.folder, checkpoint.step());
      return info;
    } catch (const Error& error) {
      if (reject) reject(info.folder, error.what());
    }
  }
  if (found.empty()) return std::nullopt;
  fail_input("{}: none of its {} checkpoints is sound", run_folder, found.size());
}

}  // namespace dslite
