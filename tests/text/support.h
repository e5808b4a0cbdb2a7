// What the tests of text share: random text, small tokenizers trained on the spot.
#pragma once
#include <memory>
#include <string>

#include "src/base/random.h"
#include "src/text/bpe_trainer.h"
#include "src/text/tokenizer.h"
#include "src/text/tokenizer_files.h"
#include "src/text/utf8.h"

namespace dslite::testing {

// Characters from runs of several scripts, white space of every kind, digits, punctuation.
inline std::string random_text(uint64_t seed, int max_characters) {
  const RandomStream random(seed, RandomPurpose::kTest);
  uint64_t draw = 0;
  const auto below = [&](uint64_t bound) { return random.below(draw++, bound); };
  static constexpr uint32_t kSpaces[] = {' ', ' ', ' ', '\n', '\r', '\t', 0x85, 0xA0, 0x180E, 0x2003, 0x2028, 0x3000};
  static constexpr uint32_t kDigits[] = {'0', '7', 0xBD, 0x663, 0x2167, 0x4E00, 0x1D7D8, 0x11DA0};
  std::string text;
  for (uint64_t left = below(max_characters + 1); left > 0;) {
    const uint64_t kind = below(8), run = std::min<uint64_t>(left, 1 + below(12));
    for (uint64_t i = 0; i < run; ++i) {
      uint32_t c = 0;
      if (kind == 0) c = kSpaces[below(std::size(kSpaces))];
      if (kind == 1) c = kDigits[below(std::size(kDigits))];
      if (kind == 2) c = 0x4E00 + below(40);
      if (kind == 3) c = below(0x250);
      if (kind == 4) c = 0x21 + below(15);
      if (kind >= 5 && kind <= 6) c = 'a' + below(6);
      if (kind == 7) {
        do c = below(0x110000);
        while (c >= 0xD800 && c < 0xE000);
      }
      append_utf8(text, c);
    }
    left -= run;
  }
  return text;
}

// What a corpus of random text trains; the same for the same arguments.
inline TrainedBpe small_bpe(int64_t num_tokens = 700, uint64_t seed = 1) {
  BpeTrainer trainer;
  for (uint64_t i = 0; i < 200; ++i) trainer.add_text(random_text(seed * 1000 + i, 200));
  return trainer.train(num_tokens);
}

inline std::shared_ptr<const Tokenizer> small_tokenizer() {
  static const auto tokenizer =
      std::make_shared<const Tokenizer>(tokenizer_json(small_bpe()), tokenizer_config_json(), "small");
  return tokenizer;
}

}  // namespace dslite::testing
