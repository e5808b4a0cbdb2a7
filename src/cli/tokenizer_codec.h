// dslite tokenizer encode | decode: stdin to stdout, ids as JSON lists.
#pragma once
#include <string>

namespace dslite {

struct CodecOptions {
  std::string tokenizer;  // folder
  bool lines = false, parse_special = false, add_special = false, skip_special = false;
};
int encode_stdin(const CodecOptions& options);  // in bounded memory: in blocks of lines, or as one stream
int decode_stdin(const CodecOptions& options);

}  // namespace dslite
