// A conversation's message: who says what, and how much of it is learned.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace dslite {

enum class Role : uint8_t { kSystem = 0, kUser = 1, kAssistant = 2, kTool = 3, kDeveloper = 4 };  // as in token files
const char* role_name(Role role);

struct TextPart {
  size_t size_bytes;
  float weight;
};

struct Message {
  Role role;
  std::string text;
  float weight = 1.0f;               // of an assistant's tokens; others are never trained
  std::vector<TextPart> parts = {};  // the text cut into parts with weights of their own; empty: all has `weight`

  // Of the turn's end: the largest weight of the text.
  float turn_weight() const;
  // Removes white space at both ends.
  void strip();
};

}  // namespace dslite
