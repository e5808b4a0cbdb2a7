// Token files: HDF5, format "dslite-tokens", version 1 -- contiguous little-endian datasets, hashed in blocks, written
// once, read by mmap.
//   /tokens uint32[N]  /document_offsets uint64[D+1]  /document_source uint16[D]  /document_hash uint64[D]  /sources
//   and for kind "sft" /loss_weight float32[N] (of the token as a label)  /turns {document, begin, end, role, weight}
//   (begin and end count from the document's first token) /check/X uint64[]: XXH3-64 per 2^20 elements of dataset X;
//   the root attribute attributes_xxh3 hashes the other attributes but `complete`.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "src/base/json.h"
#include "src/text/chat_format.h"

namespace dslite {

enum class TokenFileKind { kPretrain, kSft };

struct TokenFileInfo {
  TokenFileKind kind = TokenFileKind::kPretrain;
  std::string tokenizer_sha256;
  std::string chat_format;  // empty for pretrain
  int64_t vocab_size = 0, bos = 0, eos = 0;
  int64_t num_tokens = 0, num_documents = 0, num_trained_tokens = 0, max_document_tokens = 0;
  Json dropped = Json::object();  // rejected records by reason
  Json checked = Json::object();  // {"passed": bool, "problems": [...], counts} (checks.h)
};

struct TokenSource {
  std::string name, sha256;  // of the input file
  uint64_t bytes = 0, num_documents = 0, num_tokens = 0;
};

struct StoredTurn {
  uint64_t document, begin, end;  // [begin, end) within the document
  Role role;
  float weight;
};

struct TokenDocument {
  uint64_t hash = 0;  // XXH3-64 of the source text, independent of the tokenizer
  std::span<const int32_t> tokens;
  std::span<const float> loss_weight;  // empty for pretrain
  std::span<const RenderedChat::Turn> turns;
};

// Told the bytes that were written or verified since it was last called: files of gigabytes take a while.
using BytesDone = std::function<void(uint64_t bytes)>;

// Documents are spilled to unnamed files in the output's folder, so memory does not grow with the data; finish() lays
// them into PATH.tmp, which is closed, reopened and verified; commit() renames it to PATH. Whatever fails before, an
// old PATH stays as it was.
class TokenStoreWriter {
 public:
  TokenStoreWriter(std::string path, TokenFileInfo info);  // counts and verdict of `info` are ignored
  ~TokenStoreWriter();                                     // removes PATH.tmp when commit() was not reached
  void begin_source(const std::string& name);              // later documents belong to it
  void add(const TokenDocument& document);
  void end_source(const std::string& sha256, uint64_t bytes);
  int64_t num_documents() const;
  uint64_t bytes_to_finish() const;  // what finish() will have reported
  void finish(const Json& dropped, const Json& checked, const BytesDone& report = {});
  void commit();
  const TokenFileInfo& info() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Opening checks structure, attributes and the document index; blocks of the large datasets are hashed when they are
// first read. Reading is const and may run on several threads.
class TokenStore {
 public:
  explicit TokenStore(const std::string& path);  // UserError names the file and what is wrong with it
  ~TokenStore();
  const std::string& path() const;
  const TokenFileInfo& info() const;
  const std::vector<TokenSource>& sources() const;
  std::span<const uint64_t> document_offsets() const;  // [D + 1]
  std::span<const uint16_t> document_source() const;   // [D]
  std::span<const uint64_t> document_hash() const;     // [D]
  // Elements [begin, end); ids are below vocab_size, weights finite and >= 0.
  std::span<const uint32_t> tokens(uint64_t begin, uint64_t end) const;
  std::span<const float> loss_weight(uint64_t begin, uint64_t end) const;  // sft only
  uint64_t num_turns() const;
  StoredTurn turn(uint64_t index) const;
  // Hashes and values of every block, and the counts in the attributes.
  void verify(const BytesDone& report = {}) const;
  // Takes what was read of the file out of this process's memory; reading it again brings it back. For passes over
  // files larger than the memory.
  void forget_pages() const;
  // The end of file text for `inspect`: attributes, sources, datasets.
  Json describe() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// For `verify` and `inspect`: all that is wrong with a token file (empty: sound), and what it holds.
std::vector<std::string> verify_token_file(const std::string& path);
Json describe_token_file(const std::string& path);

}  // namespace dslite
