// tokenizer.json as untrusted text, and texts of any bytes through a sound tokenizer.
#include <algorithm>
#include <vector>

#include "src/text/stream_encoder.h"
#include "src/text/utf8.h"
#include "tests/fuzz/readers.h"
#include "tests/fuzz/tokenizers.h"

namespace dslite::fuzz {
namespace {

constexpr std::string_view kTexts[] = {"", "The text 12,  \n and <|eot_id|> it's",
                                       "\u4f60\u597d\u3000caf\u00e9 e\u0301 \U0001f600"};

std::vector<int32_t> streamed(const Tokenizer& tokenizer, std::string_view text, const EncodeOptions& options,
                              size_t step) {
  StreamEncoder encoder(tokenizer, options);
  std::vector<int32_t> ids;
  for (size_t at = 0; at < text.size(); at += step) encoder.push(text.substr(at, step), ids);
  encoder.finish(ids);
  return ids;
}

void check_decoding(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  const std::string text = tokenizer.decode(ids);
  DSLITE_FUZZ_CHECK(find_invalid_utf8(text) == std::string_view::npos);
  StreamDecoder decoder(tokenizer);
  std::string pieces;
  for (const int32_t id : ids) pieces += decoder.push(id);
  pieces += decoder.finish();
  DSLITE_FUZZ_CHECK(find_invalid_utf8(pieces) == std::string_view::npos);
  DSLITE_FUZZ_CHECK(pieces == tokenizer.decode(ids, /*skip_special=*/true));
}

// `exact`: neither a normalizer nor a space in front changes the text.
void check_text(const Tokenizer& tokenizer, std::string_view text, bool exact) {
  const std::vector<int32_t> ids = tokenizer.encode(text);
  for (const int32_t id : ids) DSLITE_FUZZ_CHECK(id >= 0 && id < tokenizer.vocab_size());
  if (exact) DSLITE_FUZZ_CHECK(tokenizer.decode(ids) == text);
  const EncodeOptions special{.parse_special = true, .add_special = true};
  const std::vector<int32_t> with_special = tokenizer.encode(text, special);
  if (exact) DSLITE_FUZZ_CHECK(tokenizer.decode(with_special).ends_with(text));
  for (const size_t step : {size_t{1}, size_t{7}, text.size() + 1}) {
    DSLITE_FUZZ_CHECK(streamed(tokenizer, text, {}, step) == ids);
    DSLITE_FUZZ_CHECK(streamed(tokenizer, text, special, step) == with_special);
  }
  std::vector<int32_t> settled;
  const size_t size = tokenizer.encode_settled(text, {}, settled);
  DSLITE_FUZZ_CHECK(size <= text.size());
  const std::vector<int32_t> rest = tokenizer.encode(text.substr(size));
  if (size > 0) {
    settled.insert(settled.end(), rest.begin(), rest.end());
    DSLITE_FUZZ_CHECK(settled == ids);
  }
  check_decoding(tokenizer, with_special);
}

}  // namespace

void tokenizer_json(std::string_view input) {
  const std::string_view file = take_until_nul(input), config = input;
  accepts("fuzzed/tokenizer", [&] {
    const Json config_json = config.empty() ? Json::object() : parse_json(config, "fuzzed/tokenizer_config.json");
    const Tokenizer tokenizer(parse_json(file, "fuzzed/tokenizer.json"), config_json, "fuzzed");
    for (const std::string_view text : kTexts) {
      for (const bool parse_special : {false, true}) {
        const std::vector<int32_t> ids = tokenizer.encode(text, {.parse_special = parse_special});
        DSLITE_FUZZ_CHECK(ids == streamed(tokenizer, text, {.parse_special = parse_special}, 3));
        check_decoding(tokenizer, ids);
      }
    }
    DSLITE_FUZZ_CHECK(!tokenizer.bos_id() || tokenizer.is_special(*tokenizer.bos_id()));
  });
}

void encoding(std::string_view input) {
  const bool steps = take_byte(input) & 1;
  const Tokenizer& tokenizer = steps ? steps_tokenizer() : chat_tokenizer();
  const size_t bad = find_invalid_utf8(input);
  if (bad == std::string_view::npos) {
    check_text(tokenizer, input, !steps);
  } else {
    DSLITE_FUZZ_CHECK(!accepts(std::to_string(bad), [&] { tokenizer.encode(input); }));
    DSLITE_FUZZ_CHECK(!accepts(std::to_string(bad), [&] { streamed(tokenizer, input, {}, 5); }));
    check_text(tokenizer, input.substr(0, bad), !steps);
  }
  std::vector<int32_t> ids;  // any two bytes as an id
  for (size_t i = 0; i + 1 < input.size(); i += 2) {
    const auto pair = static_cast<unsigned char>(input[i]) << 8 | static_cast<unsigned char>(input[i + 1]);
    ids.push_back(static_cast<int32_t>(pair % tokenizer.vocab_size()));
  }
  check_decoding(tokenizer, ids);
}

}  // namespace dslite::fuzz
