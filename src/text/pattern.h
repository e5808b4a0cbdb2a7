// One regular expression of a tokenizer.json, searched by PCRE2 (pattern_translator.h says which are supported).
#pragma once
#include <cstddef>
#include <cstdint>
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

  // UserError naming `where` for an expression that is not supported or that matches the empty text.
  Pattern(std::string_view oniguruma, const std::string& where);
  ~Pattern();
  Pattern(Pattern&&) noexcept;

  // The first match that begins at `from` or later; false: none. Matches are never empty. The text is well-formed
  // UTF-8.
  bool find(std::string_view text, size_t from, Scratch& scratch, Match& match) const;
  // The same, but only a match that no further text behind this one could change.
  bool find_settled(std::string_view text, size_t from, Scratch& scratch, Match& match) const;

 private:
  bool search(std::string_view text, size_t from, uint32_t options, Scratch& scratch, Match& match) const;
  struct Code;
  std::unique_ptr<Code> code_;
  bool trailing_space_;  // the pattern is \s+$, which a backtracking search would do in quadratic time
};

}  // namespace dslite
