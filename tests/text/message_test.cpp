// Stripping as Python does it, and what it does to weighted parts.
#include "src/text/message.h"

#include <gtest/gtest.h>

#include <vector>

#include "src/text/strip.h"
#include "src/text/utf8.h"

namespace dslite {
namespace {

TEST(Message, StripsWhatPythonStrips) {
  std::string spaces;
  size_t count = 0;
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_utf8(text, c);
    if (!stripped(text).empty()) continue;
    spaces += text;
    ++count;
  }
  EXPECT_EQ(count, 29u);  // sum(chr(c).isspace() for c in range(0x110000))
  EXPECT_EQ(stripped(spaces), "");
  EXPECT_EQ(stripped(spaces + "a" + spaces + "你" + spaces), "a" + spaces + "你");
  EXPECT_EQ(stripped("\u200Bx\uFEFF"), "\u200Bx\uFEFF");
  EXPECT_EQ(stripped(""), "");
}

// Callers strip before anything has looked at the bytes; `text` ends where its memory ends, so that a read behind it
// is seen by AddressSanitizer.
TEST(Message, StrippingLeavesCutCharactersAlone) {
  for (const std::string_view cut : {"\xC2", "\xE2\x80", "\xE3", "\xF0\x9F\x98", "\xFF", "\x80\x80\x80"}) {
    for (const std::string& text : {std::string(cut), "  a" + std::string(cut), std::string(cut) + "a "}) {
      const std::vector<char> exact(text.begin(), text.end());
      const std::string_view left = stripped({exact.data(), exact.size()});
      EXPECT_NE(left.find(cut), std::string_view::npos);
    }
  }
}

TEST(Message, PartsFollowTheirText) {
  Message message{Role::kAssistant, " \n ab\u3000cd  ", 1.0f, {{2, 1.0f}, {3, 0.5f}, {4, 2.0f}, {2, 0.0f}, {1, 3.0f}}};
  message.strip();
  EXPECT_EQ(message.text, "ab\u3000cd");
  ASSERT_EQ(message.parts.size(), 3u);
  EXPECT_EQ(message.parts[0].size_bytes, 2u);
  EXPECT_EQ(message.parts[0].weight, 0.5f);
  EXPECT_EQ(message.parts[1].size_bytes, 4u);
  EXPECT_EQ(message.parts[1].weight, 2.0f);
  EXPECT_EQ(message.parts[2].size_bytes, 1u);
  EXPECT_EQ(message.turn_weight(), 2.0f);
  Message blank{Role::kAssistant, "  ", 1.0f, {{2, 0.5f}}};
  blank.strip();
  EXPECT_EQ(blank.text, "");
  EXPECT_TRUE(blank.parts.empty());
}

}  // namespace
}  // namespace dslite
