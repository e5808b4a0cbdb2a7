// One step of a pre-tokenizer: finds places in a piece and cuts it there, as the `tokenizers` package does.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "src/base/json.h"
#include "src/text/pattern.h"

namespace dslite {

// What becomes of a match: a piece of its own, nothing, a part of the piece before or after it, or one piece with the
// matches next to it.
enum class SplitBehavior { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

class SplitStep {
 public:
  // A component of type Split or Digits.
  SplitStep(const Json& step, const std::string& where);
  explicit SplitStep(Pattern pattern) : pattern_(std::move(pattern)) {}

  // Calls emit(std::string_view) for the pieces of the text; some may be empty.
  template <class Emit>
  void apply(std::string_view text, Pattern::Scratch& scratch, Emit&& emit) const;
  // The same for the pieces that no further text can change; returns where they end. Only where can_settle().
  template <class Emit>
  size_t apply_settled(std::string_view text, Pattern::Scratch& scratch, Emit&& emit) const;
  bool can_settle() const { return behavior_ == SplitBehavior::kIsolated || behavior_ == SplitBehavior::kRemoved; }

 private:
  bool find(std::string_view text, size_t from, bool settled, Pattern::Scratch& scratch, Match& match) const;
  template <class Part>
  size_t for_each_part(std::string_view text, bool settled, Pattern::Scratch& scratch, Part&& part) const;

  std::optional<Pattern> pattern_;  // none: numeric characters
  SplitBehavior behavior_ = SplitBehavior::kIsolated;
  bool invert_ = false;  // what lies between the matches counts as matched
};

// Calls part(begin, end, matched) for the matches and what lies between them, in order; returns the end of the last.
template <class Part>
size_t SplitStep::for_each_part(std::string_view text, bool settled, Pattern::Scratch& scratch, Part&& part) const {
  size_t done = 0;
  for (Match match; find(text, done, settled, scratch, match); done = match.end) {
    if (match.begin > done) part(done, match.begin, invert_);
    part(match.begin, match.end, !invert_);
  }
  if (settled) return done;
  if (done < text.size()) part(done, text.size(), invert_);
  return text.size();
}

template <class Emit>
size_t SplitStep::apply_settled(std::string_view text, Pattern::Scratch& scratch, Emit&& emit) const {
  return for_each_part(text, true, scratch, [&](size_t begin, size_t end, bool matched) {
    if (behavior_ == SplitBehavior::kIsolated || !matched) emit(text.substr(begin, end - begin));
  });
}

template <class Emit>
void SplitStep::apply(std::string_view text, Pattern::Scratch& scratch, Emit&& emit) const {
  size_t begin = 0, end = 0;  // the piece that the next part may still join
  bool before = false;        // whether the part before was matched
  for_each_part(text, false, scratch, [&](size_t part_begin, size_t part_end, bool matched) {
    bool joins = false;
    if (behavior_ == SplitBehavior::kMergedWithPrevious) joins = matched && !before;
    if (behavior_ == SplitBehavior::kMergedWithNext) joins = !matched && before;
    if (behavior_ == SplitBehavior::kContiguous) joins = matched == before;
    if (!joins) {
      emit(text.substr(begin, end - begin));
      begin = part_begin;
    }
    end = part_end;
    before = matched;
    if (behavior_ == SplitBehavior::kRemoved && matched) begin = end;
  });
  emit(text.substr(begin, end - begin));
}

}  // namespace dslite
