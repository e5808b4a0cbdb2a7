// SHA-256 of published chat templates whose text differs from our own of the same format. What they print for messages
// with text is the same (but see DeepSeek-V2.5's note in chat_renderers.cpp); tools/check_chat_formats.py compares.
#include <array>

#include "src/text/chat_renderers.h"

namespace dslite {

std::span<const PublishedTemplate> published_templates() {
  static constexpr std::array<PublishedTemplate, 6> kPublished = {{
      // DeepSeek-V2.5, DeepSeek-Coder-V2-Instruct-0724
      {"cac8d3ea82bac9a92114e474c67bed1497208570426258f9c447a1b355322117", "deepseek-v2.5"},
      // The same without white space between its tags, DeepSeek-V3
      {"54d400beedcd17f464e10063e0577f6f798fa896266a912d8a366f8a2fcc0bca", "deepseek-v2.5"},
      // The common ChatML template, without and with a default for add_generation_prompt
      {"fcf7a096fe99a48fd9ad2b250bf9237e96e8f48bffec1c7ea4d3f225176cd40e", "chatml"},
      {"d7b5b8c7b58f7a6bf868aa46a5f73ee976d7292f40fcb9c3e7a1defd8d235cfb", "chatml"},
      // Meta-Llama-3-8B-Instruct, without and with that default
      {"4f46ecd43418f216df8c26936c60e5d04bcc81db47db5d86fbe889f64212dd4c", "llama3"},
      {"25d9364ce09288ed874ade392dfd082b81d3ea3b4d887f008fdcfd8427c7186b", "llama3"},
  }};
  return kPublished;
}

}  // namespace dslite
