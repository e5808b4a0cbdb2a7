// manifest.json to and from the struct.
#include "src/checkpoint/manifest.h"

#include "src/base/error.h"
#include "src/base/hash.h"

namespace dslite {
namespace {

constexpr const char* kFormat = "dslite checkpoint";
constexpr int64_t kVersion = 1;

Json slice_json(const ManifestSlice& slice) {
  return {{"file", slice.file},
          {"key", slice.key},
          {"begin", slice.begin},
          {"end", slice.end},
          {"xxh3", fmt::format("{:016x}", slice.xxh3)}};
}

Json tensor_json(const ManifestTensor& tensor) {
  Json slices = Json::array();
  for (const ManifestSlice& slice : tensor.slices) slices.push_back(slice_json(slice));
  return {{"name", tensor.info.name},
          {"dtype", tensor_type_name(tensor.info.type)},
          {"shape", tensor.info.shape},
          {"slices", std::move(slices)}};
}

const Json& array_member(const Json& object, const std::string& key, const std::string& where) {
  const Json& value = json_member(object, key, where);
  if (!value.is_array()) fail_input("{}: key \"{}\": found {}, expected an array", where, key, value.type_name());
  return value;
}

ManifestFile parse_file(const Json& json, const std::string& where) {
  ManifestFile file{.name = json_string(json, "name", where),
                    .bytes = json_integer(json, "bytes", where),
                    .sha256 = json_string(json, "sha256", where)};
  if (file.name.empty() || file.name[0] == '.' || file.name.find('/') != std::string::npos) {
    fail_input("{}: found the file name {}, expected a name inside the folder", where, shown(file.name));
  }
  return file;
}

ManifestSlice parse_slice(const Json& json, size_t num_files, const std::string& where) {
  ManifestSlice slice;
  const int64_t file = json_integer(json, "file", where);
  if (file < 0 || static_cast<size_t>(file) >= num_files)
    fail_input("{}: key \"file\": found {}, expected a number below {}", where, file, num_files);
  slice.file = static_cast<size_t>(file);
  slice.key = json_string(json, "key", where);
  slice.begin = json_integer(json, "begin", where);
  slice.end = json_integer(json, "end", where);
  const std::string hash = json_string(json, "xxh3", where);
  if (hash.size() != 16 || hash.find_first_not_of("0123456789abcdef") != std::string::npos) {
    fail_input("{}: key \"xxh3\": found {}, expected 16 hexadecimal digits", where, shown(hash));
  }
  slice.xxh3 = std::stoull(hash, nullptr, 16);
  return slice;
}

ManifestTensor parse_tensor(const Json& json, size_t num_files, const std::string& where) {
  ManifestTensor tensor;
  tensor.info.name = json_string(json, "name", where);
  const std::string type = json_string(json, "dtype", where);
  const auto known = tensor_type_named(type);
  if (!known)
    fail_input("{}: tensor {}: found dtype {}, which is unknown", where, shown(tensor.info.name), shown(type));
  tensor.info.type = *known;
  int64_t elements = 1;
  for (const Json& size : array_member(json, "shape", where)) {
    if (!size.is_number_unsigned() || __builtin_mul_overflow(elements, size.get<int64_t>(), &elements) ||
        elements < 0) {
      fail_input("{}: tensor {}: its shape is not one", where, shown(tensor.info.name));
    }
    tensor.info.shape.push_back(size.get<int64_t>());
  }
  int64_t reached = 0;
  for (const Json& part : array_member(json, "slices", where)) {
    const ManifestSlice slice = parse_slice(part, num_files, where);
    if (slice.begin != reached || slice.end < slice.begin)
      fail_input("{}: tensor {}: its slices do not follow each other", where, shown(tensor.info.name));
    reached = slice.end;
    tensor.slices.push_back(slice);
  }
  if (reached != elements)
    fail_input("{}: tensor {}: its slices hold {} of {} elements", where, shown(tensor.info.name), reached, elements);
  return tensor;
}

}  // namespace

std::string manifest_text(const Manifest& manifest) {
  Json files = Json::array(), tensors = Json::array();
  for (const ManifestFile& file : manifest.files)
    files.push_back({{"name", file.name}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  for (const ManifestTensor& tensor : manifest.tensors) tensors.push_back(tensor_json(tensor));
  Json json = {{"format", kFormat},       {"version", kVersion},       {"step", manifest.step},
               {"state", manifest.state}, {"files", std::move(files)}, {"tensors", std::move(tensors)}};
  const std::string checksum = sha256_hex(canonical_json(json));
  json["checksum"] = checksum;
  return json.dump(1) + "\n";
}

Manifest read_manifest(const std::string& path) {
  Json json = read_json_file(path);
  if (json_string(json, "format", path) != kFormat)
    fail_input("{}: key \"format\": found {}, expected \"{}\"", path, shown(json["format"].get<std::string>()),
               kFormat);
  if (const int64_t version = json_integer(json, "version", path); version != kVersion)
    fail_input("{}: key \"version\": found {}, expected {}", path, version, kVersion);
  const std::string checksum = json_string(json, "checksum", path);
  json.erase("checksum");
  if (sha256_hex(canonical_json(json)) != checksum)
    fail_input("{}: its checksum does not fit: the file was damaged or edited", path);
  Manifest manifest{
      .step = json_integer(json, "step", path), .files = {}, .tensors = {}, .state = json_member(json, "state", path)};
  for (const Json& file : array_member(json, "files", path)) manifest.files.push_back(parse_file(file, path));
  for (const Json& tensor : array_member(json, "tensors", path))
    manifest.tensors.push_back(parse_tensor(tensor, manifest.files.size(), path));
  return manifest;
}

}  // namespace dslite
