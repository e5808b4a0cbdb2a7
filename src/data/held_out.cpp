// Hashes of documents, compared.
#include "src/data/held_out.h"

#include <algorithm>
#include <fstream>
#include <unordered_map>

#include "src/base/error.h"
#include "src/base/hash.h"
#include "src/data/conversation.h"
#include "src/data/readers.h"
#include "src/text/utf8.h"

namespace dslite {
namespace {

bool is_hdf5(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  char signature[4] = {};
  return file.read(signature, 4) && std::string_view(signature, 4) == "\x89HDF";
}

// As prepare hashes it. RejectError or UserError when the record holds no document.
uint64_t record_hash(const Input& input, const RawRecord& record) {
  if (record.too_large) reject(RejectReason::kTooLarge, "too large");
  check_utf8(record.bytes, input.path());
  if (input.whole_text()) return xxh3_64(record.bytes);
  const Json json = parse_json(record.bytes, input.path(), {}, record.line);
  std::set<std::string> unused;
  if (input.format() == RawFormat::kText) return xxh3_64(read_text_record(json, unused));
  return conversation_hash(read_conversation(json, input.format(), ToolPolicy::kJsonText).messages);
}

}  // namespace

HeldOut read_held_out(const std::string& path) {
  HeldOut held_out{path, {}, 0};
  if (is_hdf5(path)) {
    const TokenStore store(path);
    held_out.hashes.assign(store.document_hash().begin(), store.document_hash().end());
  } else {
    const auto input = open_input(path);
    for (RecordBatch batch; input->next(batch);) {
      for (const RawRecord& record : batch.records) {
        try {
          held_out.hashes.push_back(record_hash(*input, record));
        } catch (const RejectError&) {
          ++held_out.num_unreadable;
        } catch (const UserError&) {
          ++held_out.num_unreadable;
        }
      }
    }
  }
  std::sort(held_out.hashes.begin(), held_out.hashes.end());
  return held_out;
}

std::vector<uint64_t> overlapping(const TokenStore& store, const HeldOut& held_out) {
  std::vector<uint64_t> found;
  const auto hashes = store.document_hash();
  for (size_t d = 0; d < hashes.size(); ++d) {
    if (std::binary_search(held_out.hashes.begin(), held_out.hashes.end(), hashes[d])) found.push_back(d);
  }
  return found;
}

std::vector<std::pair<uint64_t, uint64_t>> duplicates(const TokenStore& store, size_t count) {
  std::unordered_map<uint64_t, uint64_t> first;
  std::vector<std::pair<uint64_t, uint64_t>> found;
  const auto hashes = store.document_hash();
  for (size_t d = 0; d < hashes.size() && found.size() < count; ++d) {
    const auto [known, added] = first.emplace(hashes[d], d);
    if (!added) found.emplace_back(known->second, d);
  }
  return found;
}

}  // namespace dslite
