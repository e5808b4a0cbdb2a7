// manifest.json of a checkpoint: which tensors lie in which files, with their hashes, and the run's opaque state.
// Written last; its own checksum makes an edit visible.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "src/base/json.h"
#include "src/checkpoint/safetensors.h"

namespace dslite {

constexpr const char* kManifestName = "manifest.json";

struct ManifestFile {
  std::string name;  // inside the checkpoint's folder
  int64_t bytes = 0;
  std::string sha256;
};
struct ManifestSlice {
  size_t file = 0;             // index into files
  std::string key;             // the tensor's name in that file
  int64_t begin = 0, end = 0;  // elements of the flattened tensor
  uint64_t xxh3 = 0;           // of the bytes
};
struct ManifestTensor {
  TensorInfo info;                    // global shape; begin and end unused
  std::vector<ManifestSlice> slices;  // ascending, covering the tensor exactly
};
struct Manifest {
  int64_t step = 0;
  std::vector<ManifestFile> files;
  std::vector<ManifestTensor> tensors;
  Json state;
};

std::string manifest_text(const Manifest& manifest);
// UserError for a wrong format, version or checksum, and for anything that does not fit together.
Manifest read_manifest(const std::string& path);

}  // namespace dslite
