// Token files: any bytes, or changes to a sound file after which its checksums are made right again, so that they reach
// what stands behind them.
#include <unistd.h>

#include <cstring>

#include "src/base/files.h"
#include "src/base/hash.h"
#include "src/data/token_layout.h"
#include "src/data/token_store.h"
#include "tests/fuzz/readers.h"
#include "tests/support/hdf5_checksums.h"
#include "tests/support/token_file_contents.h"

namespace dslite::fuzz {
namespace {

std::string sound_bytes(TokenFileKind kind) {
  const bool sft = kind == TokenFileKind::kSft;
  const std::string path = scratch_folder() + "/sound.h5";
  TokenFileInfo info;
  info.kind = kind;
  info.tokenizer_sha256 = std::string(64, 'a');
  info.chat_format = sft ? "deepseek-v2" : "";
  info.vocab_size = 100;
  info.bos = 98;
  info.eos = 99;
  TokenStoreWriter writer(path, info);
  writer.begin_source("a.jsonl");
  for (const std::vector<int32_t>& tokens : {std::vector<int32_t>{98, 1, 2, 3, 99}, {98, 4, 5, 99}}) {
    const auto end = static_cast<int64_t>(tokens.size());
    std::vector<float> weights(sft ? tokens.size() : 0, 1.0f);
    if (sft) weights[0] = weights[1] = 0;
    const std::vector<RenderedChat::Turn> turns = {{1, 2, Role::kUser, 0}, {2, end, Role::kAssistant, 1}};
    TokenDocument document{.hash = 7, .tokens = tokens, .loss_weight = weights, .turns = {}};
    if (sft) document.turns = turns;
    writer.add(document);
  }
  writer.end_source(std::string(64, 'b'), 10);
  writer.finish(Json::object(), Json{{"passed", true}});
  writer.commit();
  return read_file(path);
}

// Where an attribute's value lies, and a dataset with its hash.
struct StoredAttribute {
  std::string name;
  size_t at, bytes;
  bool text;
};
struct StoredDataset {
  size_t at, bytes, hash_at;
};
struct Sound {
  std::string bytes, contents;
  std::vector<ChecksummedBlock> blocks;
  std::vector<StoredAttribute> attributes;
  size_t attributes_hash_at = 0;
  std::vector<StoredDataset> datasets;
};

// Attribute message, version 3: ..., uint16 size of the name with its NUL, of the type, of the space, a byte, name.
size_t value_at(const std::string& file, const std::string& name) {
  for (size_t at = 0; (at = file.find(name + '\0', at)) != std::string::npos; ++at) {
    uint16_t sizes[3];
    if (at < 9) continue;
    std::memcpy(sizes, file.data() + at - 7, sizeof sizes);
    if (sizes[0] == name.size() + 1) return at + sizes[0] + sizes[1] + sizes[2];
  }
  std::abort();
}

StoredDataset stored_dataset(hid_t file, const std::string& name) {
  const Hdf5Handle data(H5Dopen2(file, name.c_str(), H5P_DEFAULT), H5Dclose),
      hash(H5Dopen2(file, ("check/" + name).c_str(), H5P_DEFAULT), H5Dclose);
  return {H5Dget_offset(data), H5Dget_storage_size(data), H5Dget_offset(hash)};
}

Sound make_sound(TokenFileKind kind) {
  Sound made{.bytes = sound_bytes(kind)};
  const std::string path = scratch_file("good.h5", made.bytes);
  made.contents = token_file_contents(path);
  made.blocks = checksummed_blocks(made.bytes);
  const Json attributes = attributes_of(TokenStore(path).info());
  for (const auto& [name, value] : attributes.items()) {
    const size_t bytes = value.is_string() ? std::max<size_t>(1, value.get_ref<const std::string&>().size()) : 8;
    made.attributes.push_back({name, value_at(made.bytes, name), bytes, value.is_string()});
  }
  made.attributes_hash_at = value_at(made.bytes, "attributes_xxh3");
  const Hdf5Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
  for (const TokenDatasetLayout& layout : kTokenDatasets) {
    if (kind == TokenFileKind::kSft || !layout.sft_only) made.datasets.push_back(stored_dataset(file, layout.name));
  }
  return made;
}

const Sound& sound(TokenFileKind kind) {
  static const Sound pretrain = make_sound(TokenFileKind::kPretrain), sft = make_sound(TokenFileKind::kSft);
  return kind == TokenFileKind::kSft ? sft : pretrain;
}

void put_hash(std::string& file, size_t at, uint64_t hash) { std::memcpy(file.data() + at, &hash, sizeof hash); }

// The format's own hashes, as the writer makes them.
void repair_hashes(std::string& file, const Sound& sound) {
  for (const StoredDataset& dataset : sound.datasets)
    put_hash(file, dataset.hash_at, xxh3_64(std::string_view(file).substr(dataset.at, dataset.bytes)));
  Json attributes = Json::object();
  for (const StoredAttribute& attribute : sound.attributes) {
    int64_t number;
    std::memcpy(&number, file.data() + attribute.at, sizeof number);
    const char* text = file.data() + attribute.at;
    attributes[attribute.name] =
        attribute.text ? Json(std::string(text, strnlen(text, attribute.bytes))) : Json(number);
  }
  try {
    put_hash(file, sound.attributes_hash_at, xxh3_64(canonical_json(attributes)));
  } catch (const nlohmann::json::exception&) {  // a text that is not UTF-8 has no hash
  }
}

// A new file each time: libhdf5 takes one of the same inode for the one that it may still hold.
std::string fresh_file(std::string_view bytes) {
  ::unlink((scratch_folder() + "/fuzzed.h5").c_str());
  return scratch_file("fuzzed.h5", bytes);
}

}  // namespace

// The first byte: bit 0 a whole file, else changes, 3 bytes each: place, value; bit 1 kind; bit 2 also repairs hashes.
void token_file(std::string_view input) {
  const unsigned options = take_byte(input);
  if (options & 1) {
    const std::string path = fresh_file(input);
    accepts(path, [&] { token_file_contents(path); });
    return;
  }
  const Sound& base = sound(options & 2 ? TokenFileKind::kSft : TokenFileKind::kPretrain);
  std::string file = base.bytes;
  for (; input.size() >= 3; input.remove_prefix(3)) {
    const size_t place = static_cast<unsigned char>(input[0]) << 8 | static_cast<unsigned char>(input[1]);
    file[place % file.size()] = input[2];
  }
  if (options & 4) repair_hashes(file, base);
  repair_checksums(file, base.blocks);
  const std::string path = fresh_file(file);
  accepts(path, [&] {
    const std::string found = token_file_contents(path);
    DSLITE_FUZZ_CHECK(options & 4 || found == base.contents);
  });
}

}  // namespace dslite::fuzz
