// Saving: step-N.tmp-PID is written and synced file by file, the manifest last, then renamed to step-N; only then may
// older ones go. The caller holds the run folder's lock, so that every other step-N.tmp-* and trash-* is the leftover
// of a dead process.
#include "src/checkpoint/run_checkpoint.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>

#include "src/base/error.h"
#include "src/checkpoint/manifest.h"

namespace dslite {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFileTensors = 20000;  // keeps a header far below the reader's limit
constexpr const char* kTemporaryMark = ".tmp-";
constexpr const char* kTrashMark = "trash-";

std::string checkpoints_folder(const std::string& run_folder) { return run_folder + "/checkpoints"; }
std::string step_name(int64_t step) { return fmt::format("step-{}", step); }

// The step of "step-N"; -1 for every other name.
int64_t step_of(const std::string& name) {
  if (!name.starts_with("step-")) return -1;
  int64_t step = -1;
  const auto [end, error] = std::from_chars(name.data() + 5, name.data() + name.size(), step);
  return error == std::errc() && end == name.data() + name.size() && step >= 0 && name == step_name(step) ? step : -1;
}

std::vector<std::string> entries(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    names.push_back(it->path().filename().string());
  if (error && error != std::errc::no_such_file_or_directory)
    fail_work("cannot read folder {}: {}", folder, error.message());
  std::ranges::sort(names);
  return names;
}

// Renames first, so that a half-deleted folder never looks like a checkpoint.
void discard(const std::string& folder, const std::string& name) {
  std::string trash = folder + "/" + name;
  if (!name.starts_with(kTrashMark)) {
    trash = fmt::format("{}/{}{}", folder, kTrashMark, name);
    rename_durably(folder + "/" + name, trash);
  }
  std::error_code error;
  fs::remove_all(trash, error);
  if (error) fail_work("cannot delete {}: {}", trash, error.message());
}

void discard_leftovers(const std::string& folder) {
  for (const std::string& name : entries(folder)) {
    const size_t mark = name.find(kTemporaryMark);
    const bool temporary = mark != std::string::npos && step_of(name.substr(0, mark)) >= 0;
    if (name.starts_with(kTrashMark) || temporary) {
      std::error_code error;
      fs::remove_all(folder + "/" + name, error);
      if (error) fail_work("cannot delete the leftover {}/{}: {}", folder, name, error.message());
    }
  }
}

void check_free_space(const std::string& folder, const std::vector<TensorSlice>& tensors, const Json& state) {
  int64_t needed = (int64_t{1} << 20) + static_cast<int64_t>(state.dump().size());
  for (const TensorSlice& slice : tensors)
    needed += static_cast<int64_t>(slice.bytes.size() + 2 * slice.name.size()) + 512;
  if (const int64_t free = free_space_bytes(folder); free < needed) {
    fail_work("{}: a checkpoint needs {} bytes, {} are free; the last one is intact", folder, needed, free);
  }
}

TensorInfo file_entry(const TensorSlice& slice) {
  TensorInfo info{.name = slice.name, .type = slice.type, .shape = slice.shape};
  const int64_t elements = info.num_elements();
  DSLITE_ASSERT(0 <= slice.flat_begin && slice.flat_begin <= slice.flat_end && slice.flat_end <= elements);
  DSLITE_ASSERT(static_cast<int64_t>(slice.bytes.size()) ==
                (slice.flat_end - slice.flat_begin) * tensor_type_bytes(slice.type));
  if (slice.flat_begin == 0 && slice.flat_end == elements) return info;
  return {.name = fmt::format("{}@{}-{}", slice.name, slice.flat_begin, slice.flat_end),
          .type = slice.type,
          .shape = {slice.flat_end - slice.flat_begin}};
}

// Where the next file ends: tensors [first, result).
size_t end_of_file(const std::vector<TensorSlice>& tensors, size_t first, int64_t max_file_bytes) {
  size_t last = first;
  for (int64_t bytes = 0; last < tensors.size() && last - first < kMaxFileTensors; ++last) {
    bytes += static_cast<int64_t>(tensors[last].bytes.size());
    if (last > first && bytes > max_file_bytes) break;
  }
  return last;
}

ManifestFile write_file(const std::string& folder, const std::string& name, std::span<const TensorSlice> slices) {
  std::vector<TensorInfo> infos;
  for (const TensorSlice& slice : slices) infos.push_back(file_entry(slice));
  SafetensorsWriter writer(folder + "/" + name, std::move(infos));
  for (const TensorSlice& slice : slices) writer.write(slice.bytes);
  std::string sha256 = writer.finish();
  return {.name = name, .bytes = writer.file_bytes(), .sha256 = std::move(sha256)};
}

// One entry a tensor, its slices ascending and covering it: what was saved can be loaded.
std::vector<ManifestTensor> manifest_tensors(const std::vector<TensorSlice>& tensors,
                                             const std::vector<size_t>& file_of) {
  std::vector<ManifestTensor> out;
  std::map<std::string, size_t> place;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorSlice& slice = tensors[i];
    const auto [found, added] = place.emplace(slice.name, out.size());
    if (added) out.push_back({.info = {.name = slice.name, .type = slice.type, .shape = slice.shape}, .slices = {}});
    ManifestTensor& tensor = out[found->second];
    DSLITE_ASSERT(tensor.info.type == slice.type && tensor.info.shape == slice.shape);
    tensor.slices.push_back({.file = file_of[i],
                             .key = file_entry(slice).name,
                             .begin = slice.flat_begin,
                             .end = slice.flat_end,
                             .xxh3 = xxh3_64(slice.bytes)});
  }
  for (ManifestTensor& tensor : out) {
    std::ranges::sort(tensor.slices, {}, [](const ManifestSlice& slice) { return std::pair(slice.begin, slice.end); });
    int64_t reached = 0;
    for (const ManifestSlice& slice : tensor.slices) {
      DSLITE_ASSERT(slice.begin == reached);
      reached = slice.end;
    }
    DSLITE_ASSERT(reached == tensor.info.num_elements());
  }
  return out;
}

void write_checkpoint(const std::string& folder, int64_t step, const std::vector<TensorSlice>& tensors,
                      const Json& state, int64_t max_file_bytes) {
  Manifest manifest{.step = step, .files = {}, .tensors = {}, .state = state};
  std::vector<size_t> file_of(tensors.size());
  for (size_t first = 0; first < tensors.size();) {
    const size_t last = end_of_file(tensors, first, max_file_bytes);
    std::fill(file_of.begin() + static_cast<ptrdiff_t>(first), file_of.begin() + static_cast<ptrdiff_t>(last),
              manifest.files.size());
    const std::string name = fmt::format("tensors-{:05}.safetensors", manifest.files.size() + 1);
    manifest.files.push_back(write_file(folder, name, std::span(tensors).subspan(first, last - first)));
    first = last;
  }
  manifest.tensors = manifest_tensors(tensors, file_of);
  DurableFile file(folder + "/" + kManifestName);
  file.write(manifest_text(manifest));
  file.sync_and_close();
  sync_directory(folder);
}

// Why the checkpoint cannot be used, without reading its data; empty when it can.
std::string structural_problem(const std::string& folder) {
  try {
    Checkpoint(folder, /*hashes=*/false);
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

// Steps after `step` are left alone: a resume that came back to before them found them damaged, and the run will
// replace them.
void apply_policy(const std::string& run_folder, int64_t step, const SavePolicy& policy) {
  const std::string folder = checkpoints_folder(run_folder);
  int64_t kept = 0;
  std::vector<int64_t> surplus;
  for (const CheckpointInfo& info : list_checkpoints(run_folder)) {
    if (info.step > step || std::ranges::find(policy.keep_steps, info.step) != policy.keep_steps.end()) continue;
    if (kept >= std::max<int64_t>(2, policy.keep)) {
      surplus.push_back(info.step);
    } else {
      kept += structural_problem(info.folder).empty();
    }
  }
  if (surplus.empty()) return;
  Checkpoint(folder + "/" + step_name(step)).verify_tensors();  // nothing goes before the newest one has been read back
  for (const int64_t old : surplus) discard(folder, step_name(old));
}

}  // namespace

std::vector<CheckpointInfo> list_checkpoints(const std::string& run_folder) {
  const std::string folder = checkpoints_folder(run_folder);
  std::vector<CheckpointInfo> found;
  for (const std::string& name : entries(folder)) {
    const std::string path = folder + "/" + name;
    if (const int64_t step = step_of(name); step >= 0 && fs::is_directory(path))
      found.push_back({.folder = path, .step = step});
  }
  std::ranges::sort(found, std::greater(), &CheckpointInfo::step);
  return found;
}

CheckpointInfo save_checkpoint(const std::string& run_folder, int64_t step, const std::vector<TensorSlice>& tensors,
                               const Json& state, const SavePolicy& policy) {
  DSLITE_ASSERT(step >= 0);
  const std::string folder = checkpoints_folder(run_folder);
  if (!fs::is_directory(folder)) {
    make_directories(folder);
    sync_directory(run_folder);
  }
  discard_leftovers(folder);
  check_free_space(folder, tensors, state);
  const std::string final_name = step_name(step),
                    temporary_name = fmt::format("{}{}{}", final_name, kTemporaryMark, ::getpid());
  const std::string final_path = folder + "/" + final_name, temporary = folder + "/" + temporary_name;
  std::error_code error;
  if (!fs::create_directory(temporary, error))
    fail_work("cannot make folder {}: {}", temporary, error ? error.message() : "it exists");
  try {
    write_checkpoint(temporary, step, tensors, state, policy.max_file_bytes);
    if (!fs::exists(final_path)) {
      rename_durably(temporary, final_path);
    } else if (exchange_durably(temporary, final_path)) {  // damaged, or of before a resume
      discard(folder, temporary_name);
    } else {
      const std::string trash = folder + "/" + kTrashMark + final_name;
      rename_durably(final_path, trash);
      rename_durably(temporary, final_path);
      discard(folder, kTrashMark + final_name);
    }
  } catch (...) {
    fs::remove_all(temporary, error);
    throw;
  }
  apply_policy(run_folder, step, policy);
  return {.folder = final_path, .step = step};
}

}  // namespace dslite
