// Hashes on xxHash and OpenSSL.
#include "src/base/hash.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <xxhash.h>

#include "src/base/error.h"

namespace dslite {

uint64_t xxh3_64(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }
uint64_t xxh3_64(std::string_view text) { return XXH3_64bits(text.data(), text.size()); }

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};
Sha256::Sha256() : state_(std::make_unique<State>()) { DSLITE_ASSERT(state_->context && EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1); }
Sha256::~Sha256() = default;
void Sha256::add(std::span<const std::byte> bytes) { DSLITE_ASSERT(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1); }
void Sha256::add(std::string_view text) { add(std::as_bytes(std::span(text))); }
std::string Sha256::hex() const {
  State copy;
  unsigned char digest[32];
  DSLITE_ASSERT(EVP_MD_CTX_copy_ex(copy.context, state_->context) == 1 && EVP_DigestFinal_ex(copy.context, digest, nullptr) == 1);
  std::string text;
  for (const unsigned char byte : digest) text += fmt::format("{:02x}", byte);
  return text;
}
std::string sha256_hex(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.add(bytes);
  return hash.hex();
}
std::string sha256_hex(std::string_view text) { return sha256_hex(std::as_bytes(std::span(text))); }

}  // namespace dslite
