// Reads token files: structure and data from one memory map, hashes on first touch.
#include "src/data/token_store.h"

#include <atomic>
#include <cmath>
#include <cstring>

#include "src/base/error.h"
#include "src/base/files.h"
#include "src/base/hash.h"
#include "src/data/hdf5_structure.h"
#include "src/data/token_layout.h"
#include "src/text/utf8.h"

namespace dslite {
namespace {

struct MappedDataset {
  const std::byte* data = nullptr;
  uint64_t num_elements = 0;
  std::vector<uint64_t> hashes;
  mutable std::vector<std::atomic<bool>> verified;  // one per block
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

  void open_datasets(const Hdf5Structure& structure, const Hdf5Object& root);
  void check_index();
};

void TokenStore::State::open_datasets(const Hdf5Structure& structure, const Hdf5Object& root) {
  const std::string& path = file.path();
  const bool sft = info.kind == TokenFileKind::kSft;
  std::vector<std::string> expected;
  for (const TokenDatasetLayout& layout : kTokenDatasets) {
    if (sft || !layout.sft_only) expected.emplace_back(layout.name);
  }
  const auto demand_members = [&](const Hdf5Object& group, std::vector<std::string> names, const std::string& what) {
    std::sort(names.begin(), names.end());
    std::vector<std::string> found;
    for (const auto& [name, address] : group.members) found.push_back(name);
    if (found != names)
      fail_input("{}: {} holds {}, expected {}", path, what, fmt::join(found, " "), fmt::join(names, " "));
  };
  std::vector<std::string> root_names = expected;
  root_names.emplace_back("check");
  demand_members(root, root_names, "the root group");
  const Hdf5Object check_group = structure.group(root.members.at("check"), "group /check");
  demand_members(check_group, expected, "group /check");
  const auto open = [&](uint64_t address, const std::string& name, std::string_view type) {
    const Hdf5Dataset dataset = structure.dataset(address, "dataset " + name, type);
    if (reinterpret_cast<uintptr_t>(dataset.bytes.data()) % 8 != 0)
      fail_input("{}: dataset {} is not aligned to 8 bytes", path, name);
    return dataset;
  };
  for (size_t i = 0; i < kNumTokenDatasets; ++i) {
    const TokenDatasetLayout& layout = kTokenDatasets[i];
    if (!sft && layout.sft_only) continue;
    const std::string name = layout.name;
    const Hdf5Dataset elements = open(root.members.at(name), name, layout.type);
    const Hdf5Dataset hashes = open(check_group.members.at(name), "/check/" + name, "u64");
    MappedDataset& dataset = datasets[i];
    dataset.data = elements.bytes.data();
    dataset.num_elements = elements.num_elements;
    const uint64_t num_blocks = (dataset.num_elements + kCheckBlockElements - 1) / kCheckBlockElements;
    if (hashes.num_elements != num_blocks) {
      fail_input("{}: /check/{} has {} elements, expected {} for {} elements of {}", path, name, hashes.num_elements,
                 num_blocks, dataset.num_elements, name);
    }
    const auto* first = reinterpret_cast<const uint64_t*>(hashes.bytes.data());
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
  for (uint64_t i = 0; i < datasets[kSources].num_elements; ++i) {
    sources.push_back(unpack_source(datasets[kSources].data + i * kSourceBytes));
    check_utf8(sources.back().name + sources.back().sha256, fmt::format("{}: source {}", path, i));
  }
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
  const Hdf5Structure structure(state_->file.bytes(), path);
  const Hdf5Object root = structure.root();
  state_->info = checked_info(root.attributes, path);
  state_->open_datasets(structure, root);
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
