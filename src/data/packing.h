// Documents become segments, segments become rows of at most L inputs: a pure function of (document offsets, L, seed).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace dslite {

// best-fit: a document of n tokens has n - 1 labels (token 0 is never one); it is cut every L labels, and consecutive
// segments share one token (last label of one, first input of the next), so every other token is a label exactly once.
// Segments are placed longest first, ties in an order drawn from the seed, each into the row that it fills best; of
// rows with equal room, into the one with the smallest sum of squared lengths, so that rows cost attention alike.
//
// esft: for reproducing "Expert-specialized fine-tuning" (arXiv:2407.01906) with what its public code does. Documents
// stand in file order and a row is one segment: they attend to each other, and positions run on. A document that does
// not fit into its row loses its front; one that does not begin a row loses its first token (bos, unless it was cut)
// with probability 0.2. Every token of a row is an input; a kept bos is a label of weight 1.
enum class PackingKind { kBestFit, kEsft };

struct Segment {
  uint64_t begin;  // first input: an index into the file's tokens
  uint32_t num_inputs;
};

struct Packing {
  std::vector<Segment> segments;      // row after row
  std::vector<uint64_t> row_offsets;  // [R + 1] into segments
  bool isolated = true;               // segments have labels of their own; false: of esft, a row is one text
  int64_t num_rows() const { return static_cast<int64_t>(row_offsets.size()) - 1; }
  std::span<const Segment> row(int64_t index) const {
    return std::span(segments).subspan(row_offsets[index], row_offsets[index + 1] - row_offsets[index]);
  }
};

constexpr int64_t kMaxSequenceTokens = int64_t{1} << 24;

struct PackingRule {
  PackingKind kind = PackingKind::kBestFit;
  int64_t sequence_tokens = 0;  // L
  uint64_t seed = 0;
};
Packing pack_documents(std::span<const uint64_t> document_offsets, const PackingRule& rule);

}  // namespace dslite
