// Best-fit-decreasing packing in O(segments * log) with buckets of rows by free room; ESFT's packing in file order.
#include "src/data/packing.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "src/base/error.h"
#include "src/base/random.h"

namespace dslite {
namespace {

constexpr double kEsftDropShare = 0.2;  // random_concat_ratio of ESFT's configs/base.yaml

std::vector<Segment> cut_documents(std::span<const uint64_t> document_offsets, uint64_t length) {
  std::vector<Segment> segments;
  for (size_t d = 0; d + 1 < document_offsets.size(); ++d) {
    const uint64_t last_label = document_offsets[d + 1] - 1;
    for (uint64_t begin = document_offsets[d]; begin < last_label; begin += length) {
      segments.push_back({begin, static_cast<uint32_t>(std::min(length, last_label - begin))});
    }
  }
  return segments;
}

// Longest first, ties by a random key.
void sort_segments(std::vector<Segment>& segments, uint64_t seed) {
  struct Keyed {
    Segment segment;
    uint64_t key;
  };
  const RandomStream random(seed, RandomPurpose::kPacking);
  std::vector<Keyed> keyed(segments.size());
  for (size_t i = 0; i < segments.size(); ++i) keyed[i] = {segments[i], random.bits(i)};
  std::sort(keyed.begin(), keyed.end(), [](const Keyed& a, const Keyed& b) {
    if (a.segment.num_inputs != b.segment.num_inputs) return a.segment.num_inputs > b.segment.num_inputs;
    return a.key != b.key ? a.key < b.key : a.segment.begin < b.segment.begin;
  });
  for (size_t i = 0; i < segments.size(); ++i) segments[i] = keyed[i].segment;
}

// Open rows by their free room; the smallest room that suffices is found through a bit set of rooms with its summary.
class OpenRows {
 public:
  struct Row {
    uint64_t sum_squares, index;
    bool operator>(const Row& other) const {
      return sum_squares != other.sum_squares ? sum_squares > other.sum_squares : index > other.index;
    }
  };
  explicit OpenRows(uint64_t length) : buckets_(length + 1), bits_(length / 64 + 1), summary_(length / 4096 + 1) {}

  void add(uint64_t room, Row row) {
    std::vector<Row>& bucket = buckets_[room];
    bucket.push_back(row);
    std::push_heap(bucket.begin(), bucket.end(), std::greater<>());
    bits_[room / 64] |= uint64_t{1} << (room % 64);
    summary_[room / 4096] |= uint64_t{1} << (room / 64 % 64);
  }
  // Takes the best row with at least `room`; false when there is none.
  bool take(uint64_t room, uint64_t& found_room, Row& row) {
    found_room = next(room);
    if (found_room == kNone) return false;
    std::vector<Row>& bucket = buckets_[found_room];
    std::pop_heap(bucket.begin(), bucket.end(), std::greater<>());
    row = bucket.back();
    bucket.pop_back();
    if (bucket.empty()) {
      bits_[found_room / 64] &= ~(uint64_t{1} << (found_room % 64));
      if (bits_[found_room / 64] == 0) summary_[found_room / 4096] &= ~(uint64_t{1} << (found_room / 64 % 64));
    }
    return true;
  }

 private:
  static constexpr uint64_t kNone = UINT64_MAX;
  uint64_t next(uint64_t room) const {
    if (room >= buckets_.size()) return kNone;
    if (const uint64_t word = bits_[room / 64] & (~uint64_t{0} << (room % 64)))
      return room / 64 * 64 + static_cast<uint64_t>(std::countr_zero(word));
    const uint64_t from = room / 64 + 1;
    for (uint64_t i = from / 64; i < summary_.size(); ++i) {
      const uint64_t words = i == from / 64 ? summary_[i] & (~uint64_t{0} << (from % 64)) : summary_[i];
      if (words == 0) continue;
      const uint64_t word = i * 64 + static_cast<uint64_t>(std::countr_zero(words));
      return word * 64 + static_cast<uint64_t>(std::countr_zero(bits_[word]));
    }
    return kNone;
  }
  std::vector<std::vector<Row>> buckets_;
  std::vector<uint64_t> bits_, summary_;
};

Packing pack_best_fit(std::span<const uint64_t> document_offsets, uint64_t length, uint64_t seed) {
  std::vector<Segment> segments = cut_documents(document_offsets, length);
  sort_segments(segments, seed);
  OpenRows open(length);
  std::vector<uint64_t> row_of(segments.size());
  uint64_t num_rows = 0;
  for (size_t i = 0; i < segments.size(); ++i) {
    const uint64_t size = segments[i].num_inputs;
    uint64_t room = length;
    OpenRows::Row row{0, num_rows};
    if (!open.take(size, room, row)) {
      room = length;
      row = {0, num_rows++};
    }
    row_of[i] = row.index;
    if (room > size) open.add(room - size, {row.sum_squares + size * size, row.index});
  }
  Packing packing;
  packing.row_offsets.assign(num_rows + 1, 0);
  for (const uint64_t row : row_of) ++packing.row_offsets[row + 1];
  std::partial_sum(packing.row_offsets.begin(), packing.row_offsets.end(), packing.row_offsets.begin());
  packing.segments.resize(segments.size());
  std::vector<uint64_t> next(packing.row_offsets.begin(), packing.row_offsets.end() - 1);
  for (size_t i = 0; i < segments.size(); ++i) packing.segments[next[row_of[i]]++] = segments[i];
  return packing;
}

// Row after row in file order; what does not fit loses its front.
Packing pack_esft(std::span<const uint64_t> document_offsets, uint64_t length, uint64_t seed) {
  if (length < 2) fail_input("sequence_tokens: found {}, expected at least 2 for packing = \"esft\"", length);
  const RandomStream random(seed, RandomPurpose::kPacking, 2);
  Packing packing{.segments = {}, .row_offsets = {0}, .isolated = false};
  uint64_t filled = 0;
  for (size_t d = 0; d + 1 < document_offsets.size(); ++d) {
    const uint64_t end = document_offsets[d + 1], room = length - filled;
    uint64_t begin = std::max(document_offsets[d], end - std::min(end, room));
    if (filled > 0 && random.uniform(d) < kEsftDropShare) ++begin;
    if (begin < end) packing.segments.push_back({begin, static_cast<uint32_t>(end - begin)});
    filled += end - begin;
    if (filled < length) continue;
    packing.row_offsets.push_back(packing.segments.size());
    filled = 0;
  }
  if (filled > 1) {
    packing.row_offsets.push_back(packing.segments.size());
  } else {
    packing.segments.resize(packing.row_offsets.back());  // one token alone has no label
  }
  return packing;
}

}  // namespace

Packing pack_documents(std::span<const uint64_t> document_offsets, const PackingRule& rule) {
  if (rule.sequence_tokens < 1 || rule.sequence_tokens > kMaxSequenceTokens)
    fail_input("sequence_tokens: found {}, expected 1 to {}", rule.sequence_tokens, kMaxSequenceTokens);
  const auto length = static_cast<uint64_t>(rule.sequence_tokens);
  return rule.kind == PackingKind::kEsft ? pack_esft(document_offsets, length, rule.seed)
                                         : pack_best_fit(document_offsets, length, rule.seed);
}

}  // namespace dslite
