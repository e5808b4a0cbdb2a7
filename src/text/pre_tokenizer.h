// Cuts text into the pieces that BPE works on: the pre_tokenizer of a tokenizer.json. Steps apply in order, each to the
// pieces that the one before left. Supported: Split, Digits, and ByteLevel as the last. DeepSeek-V2's sequence is done
// by a scanner, all others by PCRE2.
#pragma once
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "src/base/json.h"
#include "src/text/pattern.h"
#include "src/text/split_step.h"
#include "src/text/v2_scanner.h"

namespace dslite {

class PreTokenizer {
 public:
  PreTokenizer(const Json& pre_tokenizer, const std::string& where);

  // Calls each(std::string_view piece) for the pieces of the text, which is well-formed UTF-8; none is empty. A piece
  // is only valid during the call: where a space is put in front, it is no part of the text.
  template <class Each>
  void split(std::string_view text, Pattern::Scratch& scratch, Each&& each) const {
    if (scanner_) return scan(text, text.size(), each);
    split_from(0, text, scratch, sink_of(each));
  }

  // The same for the pieces that no further text behind this one can change; returns where they end. Such pieces may
  // be far behind the text, or none where the steps give no hold.
  template <class Each>
  size_t split_settled(std::string_view text, Pattern::Scratch& scratch, Each&& each) const {
    if (!scanner_) return split_settled_steps(text, scratch, sink_of(each));
    size_t end = 0;
    scan(text, V2Scanner::settled_bytes(text), [&](std::string_view piece) {
      each(piece);
      end += piece.size();
    });
    return end;
  }

  // Whether every text may be cut behind any line feed without changing its pieces.
  bool cuts_at_line_feeds() const { return scanner_ != nullptr; }

 private:
  struct Sink {
    void (*call)(void* state, std::string_view piece);
    void* state;
  };
  template <class Each>
  static Sink sink_of(Each& each) {
    using Plain = std::remove_reference_t<Each>;
    return {[](void* state, std::string_view piece) { (*static_cast<Plain*>(state))(piece); },
            const_cast<void*>(static_cast<const void*>(&each))};
  }
  // Pieces that end at `last` or before.
  template <class Each>
  void scan(std::string_view text, size_t last, Each&& each) const {
    for (size_t begin = 0, end; begin < text.size(); begin = end) {
      end = scanner_->piece_end(text, begin);
      if (end > last) return;
      each(text.substr(begin, end - begin));
    }
  }
  void add_step(const Json& step, const std::string& where, bool last);
  void add_byte_level(const Json& step, const std::string& where);
  void split_from(size_t step, std::string_view text, Pattern::Scratch& scratch, const Sink& sink) const;
  size_t split_settled_steps(std::string_view text, Pattern::Scratch& scratch, const Sink& sink) const;

  const V2Scanner* scanner_ = nullptr;  // for DeepSeek-V2's sequence
  std::vector<SplitStep> steps_;        // for any other
  size_t prefix_step_ = SIZE_MAX;       // before this step each piece gets a space in front, unless it has one
};

}  // namespace dslite
