// Building the table of whole pieces.
#include "src/text/piece_table.h"

#include <bit>

namespace dslite {

PieceTable::PieceTable(size_t num_pieces)
    : slots_(std::bit_ceil(2 * num_pieces + 2), Slot{0, 0, 0, -1}), mask_(slots_.size() - 1) {}

void PieceTable::insert(const PieceKey& key, int32_t id) {
  size_t slot = key.hash() & mask_;
  while (slots_[slot].id >= 0) slot = (slot + 1) & mask_;
  slots_[slot] = {key.head, key.tail, key.size, id};
}

}  // namespace dslite
