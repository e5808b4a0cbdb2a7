// The readers of bytes that nobody vouches for, each as one function of an input. Whatever the input, it returns:
// UserError is the only way in which a reader may refuse, and what is accepted must hold together. Any other exception,
// a failed CHECK, a sanitizer's report or too much time or memory is a bug.
//   engine/main.cpp    libFuzzer on one of them (preset `fuzz`, tools/fuzz.sh)
//   replay_test.cpp    all inputs of corpus/READER, in every build
#pragma once
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "src/base/error.h"

namespace dslite::fuzz {

void json_lines(std::string_view input);      // chat and text records, one a line
void json_array(std::string_view input);      // the same as a stream of elements
void gzip(std::string_view input);            // bytes of a packed file of records
void plain_text(std::string_view input);      // a text file
void tokenizer_json(std::string_view input);  // tokenizer.json, then NUL and tokenizer_config.json
void encoding(std::string_view input);        // text to ids and back
void chat_template(std::string_view input);   // recognition, and rendering of made-up conversations
void token_file(std::string_view input);      // HDF5
void safetensors(std::string_view input);     // one file
void model_folder(std::string_view input);    // config.json, index or a shard (by the first byte) of a sound folder
void manifest(std::string_view input);        // a checkpoint's manifest.json beside sound tensors
void recipe(std::string_view input);          // TOML, then NUL and a command line's `section.key=value`

struct Reader {
  const char* name;  // of its corpus
  void (*run)(std::string_view input);
};
inline constexpr Reader kReaders[] = {
    {"json_lines", json_lines},
    {"json_array", json_array},
    {"gzip", gzip},
    {"plain_text", plain_text},
    {"tokenizer_json", tokenizer_json},
    {"encoding", encoding},
    {"chat_template", chat_template},
    {"token_file", token_file},
    {"safetensors", safetensors},
    {"model_folder", model_folder},
    {"manifest", manifest},
    {"recipe", recipe},
};

// A condition that no input may break.
#define DSLITE_FUZZ_CHECK(condition)                                                      \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                       \
    }                                                                                     \
  } while (false)

// A folder in memory of this process, made at the first call and removed at the end.
const std::string& scratch_folder();
// FOLDER/name with these bytes, in place of an older one.
std::string scratch_file(const std::string& name, std::string_view bytes);
// A file of the repository.
std::string repository_file(const std::string& path);

// Runs `read`; false where it refuses, with a message that holds `named`.
template <class Read>
bool accepts(const std::string& named, Read&& read) {
  try {
    read();
    return true;
  } catch (const UserError& error) {
    DSLITE_FUZZ_CHECK(std::string_view(error.what()).find(named) != std::string_view::npos);
    return false;
  }
}

// The first byte of the input, taken off; 0 where there is none.
inline unsigned take_byte(std::string_view& input) {
  if (input.empty()) return 0;
  const auto byte = static_cast<unsigned char>(input[0]);
  input.remove_prefix(1);
  return byte;
}
// What stands before the first NUL, and behind it.
inline std::string_view take_until_nul(std::string_view& input) {
  const size_t end = input.find('\0');
  const std::string_view part = input.substr(0, end);
  input = end == std::string_view::npos ? std::string_view() : input.substr(end + 1);
  return part;
}

}  // namespace dslite::fuzz
