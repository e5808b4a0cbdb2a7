// One regular expression of a tokenizer.json: the part of Oniguruma's syntax that is translated exactly to PCRE2,
// everything else refused. Supported: characters, classes [...] with ranges, \s (the 25 White_Space code points), \r \n
// \t, escaped punctuation, greedy ? * +, and $ (before a line feed or at the end).
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace dslite {

struct Match {
  size_t begin, end;
};

class Pattern {
 public:
  // What a search writes to; one per thread.
  class Scratch {
   public:
    Scratch();
    ~Scratch();
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

   private:
    friend class Pattern;
    struct State;
    std::unique_ptr<State> state_;
  };

  Pattern(std::string_view oniguruma, const std::string& where);
  ~Pattern();
  Pattern(Pattern&&) noexcept;

  // The first match that begins at `from` or later; false: none. Matches are never empty. The text is well-formed
  // UTF-8.
  bool find(std::string_view text, size_t from, Scratch& scratch, Match& match) const;

 private:
  struct Code;
  std::unique_ptr<Code> code_;
  bool trailing_space_;  // the pattern is \s+$, which a backtracking search would do in quadratic time
};

}  // namespace dslite
