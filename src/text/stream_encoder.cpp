// Text gathers in a buffer; its settled front is encoded and dropped.
#include "src/text/stream_encoder.h"

#include "src/base/error.h"
#include "src/text/utf8.h"

namespace dslite {

void StreamEncoder::check(std::string_view text) {
  if (const size_t bad = find_invalid_utf8(text.substr(checked_bytes_)); bad != std::string_view::npos) {
    fail_input("{}: not UTF-8 at byte {}: found 0x{:02X}", where_, offset_ + checked_bytes_ + bad,
               static_cast<uint8_t>(text[checked_bytes_ + bad]));
  }
  checked_bytes_ = text.size();
}

void StreamEncoder::begin(std::vector<int32_t>& ids) {
  if (!options_.add_special) return;
  const std::vector<int32_t> bos = tokenizer_.encode("", options_);
  ids.insert(ids.end(), bos.begin(), bos.end());
  options_.add_special = false;
}

void StreamEncoder::push(std::string_view part, std::vector<int32_t>& ids) {
  held_ += part;
  if (held_.size() < next_try_) return;
  const std::string_view whole = std::string_view(held_).substr(0, held_.size() - unfinished_utf8_bytes(held_));
  check(whole);
  begin(ids);
  const size_t settled = tokenizer_.encode_settled(whole, options_, ids);
  held_.erase(0, settled);
  offset_ += settled;
  checked_bytes_ -= settled;
  next_try_ = std::max(kBlockBytes, 2 * held_.size());  // so that the work stays linear where nothing settles
}

void StreamEncoder::finish(std::vector<int32_t>& ids) {
  check(held_);
  begin(ids);
  const std::vector<int32_t> last = tokenizer_.encode(held_, options_);
  ids.insert(ids.end(), last.begin(), last.end());
  held_.clear();
}

}  // namespace dslite
