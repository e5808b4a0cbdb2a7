// The known chat formats: deepseek-v2, deepseek-v2.5, chatml, llama3, plain.
#pragma once
#include <span>
#include <string_view>

#include "src/text/chat_format.h"

namespace dslite {

std::span<const ChatFormat* const> chat_formats();

// A published template that differs from our own text of the format only in spelling.
struct PublishedTemplate {
  std::string_view sha256;  // of the text with every line feed written as \n
  std::string_view format;
};
std::span<const PublishedTemplate> published_templates();

}  // namespace dslite
