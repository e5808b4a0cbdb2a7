// Checkpoints of a run: RUN/checkpoints/step-N/{manifest.json, *.safetensors}, written so that no verified one is ever lost or replaced by a damaged one:
// write into step-N.tmp-ID, sync every file, manifest last, rename, sync the parent; a folder without a sound manifest does not count.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "src/base/json.h"
#include "src/checkpoint/safetensors.h"

namespace dslite {

// A tensor, or a flat slice of one: elements [flat_begin, flat_end) of the global shape. Memory is the caller's and must live until the call returns.
struct TensorSlice {
  std::string name;
  TensorType type;
  std::vector<int64_t> shape;         // global
  int64_t flat_begin = 0, flat_end = 0;
  std::span<const std::byte> bytes;
};

struct CheckpointInfo {
  std::string folder;                 // RUN/checkpoints/step-N
  int64_t step = 0;
};

struct SavePolicy {
  int64_t keep = 2;                   // newest ones kept; at least 2
  std::vector<int64_t> keep_steps;    // never deleted (the best one)
  int64_t max_file_bytes = int64_t{4} << 30;
};

// The caller holds the run folder's lock. A step-N that exists already is swapped for the new one.
// Saves step `step`, then deletes what the policy lets go (renamed to trash- first; never the last verified one). `state`: opaque JSON (loader position, schedule, guard).
CheckpointInfo save_checkpoint(const std::string& run_folder, int64_t step, const std::vector<TensorSlice>& tensors, const Json& state, const SavePolicy& policy);

// All step-N folders, newest first; nothing is verified.
std::vector<CheckpointInfo> list_checkpoints(const std::string& run_folder);

class Checkpoint {
 public:
  // Opens and verifies manifest, sizes and (unless `hashes` is false) all hashes. UserError says what is damaged.
  explicit Checkpoint(const std::string& folder, bool hashes = true);
  ~Checkpoint();
  int64_t step() const;
  const Json& state() const;
  const std::vector<TensorInfo>& tensors() const;                        // global shapes
  bool contains(const std::string& name) const;
  TensorInfo info(const std::string& name) const;                        // UserError when missing
  // Compares every tensor with its XXH3 hash (far quicker than the files' SHA-256). UserError names the damaged one.
  void verify_tensors() const;
  // Copies elements [flat_begin, flat_end) into `out`, whatever slices they were saved in.
  // A slice that is read whole is checked against its hash.
  void read(const std::string& name, int64_t flat_begin, int64_t flat_end, std::span<std::byte> out) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The newest sound checkpoint; each rejected folder and its reason goes to `reject`. Empty when the run has no step-N folder at all; UserError when there are some and none is sound.
std::optional<CheckpointInfo> newest_sound_checkpoint(const std::string& run_folder, const std::function<void(const std::string& folder, const std::string& reason)>& reject);

}  // namespace dslite
