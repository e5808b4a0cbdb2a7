// Strict JSON: places of errors, duplicates, depth, UTF-8, typed access, canonical text.
#include "src/base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "src/base/error.h"

namespace dslite {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string refusal(std::string_view text, const JsonLimits& limits = {}, int64_t first_line = 1) {
  try {
    parse_json(text, "file", limits, first_line);
  } catch (const UserError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Json, ErrorsHaveLineAndColumn) {
  EXPECT_THAT(refusal("{\"a\": 1,\n  \"b\": x}"), StartsWith("file:2:8: not valid JSON"));
  EXPECT_THAT(refusal("[1,\n2,\n3"), StartsWith("file:3:"));
  EXPECT_THAT(refusal(""), StartsWith("file:1:1:"));
  EXPECT_THAT(refusal("[1] 2"), StartsWith("file:1:5:"));
  EXPECT_THAT(refusal("[1\n,]", {}, 41), StartsWith("file:42:2:"));
  EXPECT_THAT(refusal("{\"a\": 1,\n\"a\": 2}"), StartsWith("file:2:"));
}

TEST(Json, RefusesWhatIsNotJson) {
  for (const char* text : {"nul", "{a: 1}", "{'a': 1}", "[1,]", "{\"a\":1,}", "01", "1.", ".5", "+1", "NaN", "Infinity",
                           "0x10", "\"\t\"", "\"\\x\"", "// c\n1", "[1 2]", "\"\\ud800\"", "1e999", "\xEF\xBB\xBF"}) {
    EXPECT_NE(refusal(text), "accepted") << text;
  }
  for (const char* text : {"null", "-0", "1e-7", "\"\\ud83d\\ude00\"", " [ ] ", "{}", "123456789012345678901234567890"})
    EXPECT_EQ(refusal(text), "accepted") << text;
}

TEST(Json, RefusesDuplicateKeysAtAnyDepth) {
  EXPECT_THAT(refusal(R"({"a": 1, "a": 2})"), HasSubstr("duplicate key \"a\""));
  EXPECT_THAT(refusal(R"([{"x": {"a": 1, "b": 2, "\u0061": 3}}])"), HasSubstr("duplicate key \"a\""));
  EXPECT_EQ(refusal(R"({"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]})"), "accepted");
}

TEST(Json, BoundsTheDepth) {
  const auto nested = [](int depth) {
    return std::string(static_cast<size_t>(depth), '[') + std::string(static_cast<size_t>(depth), ']');
  };
  EXPECT_EQ(refusal(nested(64)), "accepted");
  EXPECT_THAT(refusal(nested(65)), HasSubstr("nesting deeper than 64"));
  EXPECT_THAT(refusal(nested(4), {.max_depth = 3}), HasSubstr("nesting deeper than 3"));
  EXPECT_THAT(refusal(std::string(10'000'000, '[')), HasSubstr("nesting deeper"));
}

TEST(Json, RefusesWhatIsNotUtf8) {
  for (const char* text :
       {"\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\xe2\x82\"", "{\"\x80\": 1}", "\"\xf4\x90\x80\x80\""})
    EXPECT_NE(refusal(text), "accepted");
  EXPECT_EQ(parse_json("\"é😀\"", "file").get<std::string>(), "é😀");
}

TEST(Json, KeepsTheOrderOfKeys) {
  EXPECT_EQ(parse_json(R"({"z": 1, "a": {"y": 2, "b": 3}})", "file").dump(), R"({"z":1,"a":{"y":2,"b":3}})");
}

TEST(Json, TypedAccessNamesTheKey) {
  const Json json =
      parse_json(R"({"s": "text", "i": 3, "n": -1.5, "b": true, "big": 18446744073709551615, "f": 3.0})", "file");
  EXPECT_EQ(json_string(json, "s", "file"), "text");
  EXPECT_EQ(json_integer(json, "i", "file"), 3);
  EXPECT_EQ(json_number(json, "n", "file"), -1.5);
  EXPECT_EQ(json_number(json, "i", "file"), 3);
  EXPECT_TRUE(json_bool(json, "b", "file"));
  const auto message = [&](const auto& access) {
    try {
      access();
    } catch (const UserError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(message([&] { json_string(json, "i", "file"); }),
              HasSubstr("file: key \"i\": found number \"3\", expected a string"));
  EXPECT_THAT(message([&] { json_integer(json, "f", "file"); }), HasSubstr("expected an integer"));
  EXPECT_THAT(message([&] { json_integer(json, "big", "file"); }), HasSubstr("below 2^63"));
  EXPECT_THAT(message([&] { json_bool(json, "i", "file"); }), HasSubstr("true or false"));
  EXPECT_THAT(message([&] { json_number(json, "s", "file"); }), HasSubstr("expected a number"));
  EXPECT_THAT(message([&] { json_string(json, "absent", "file"); }), HasSubstr("key \"absent\" is missing"));
  EXPECT_THAT(message([&] { json_string(Json::array(), "s", "file"); }), HasSubstr("found array, expected an object"));
}

TEST(Json, CanonicalTextIsIndependentOfOrderAndSpaces) {
  EXPECT_EQ(canonical_json(parse_json("{\"b\": [1, 2.0], \"a\": \"\\u00e9\"}", "x")), "{\"a\":\"é\",\"b\":[1,2.0]}");
  EXPECT_EQ(canonical_json(parse_json("{\"b\":{\"d\":1,\"c\":2}}", "x")),
            canonical_json(parse_json("{ \"b\" : {\"c\" : 2, \"d\" : 1}}", "x")));
}

// What was written is read back equal, and cut or damaged text never crashes.
TEST(Json, RandomDamageNeverCrashes) {
  std::mt19937_64 random(1);
  const std::string text =
      R"({"name": "é\n\u00e9\ud83d\ude00", "list": [1, -2.5e3, true, null, {"deep": [[[]]]}], "n": 18446744073709551615})";
  for (size_t size = 0; size < text.size(); ++size) EXPECT_NE(refusal(text.substr(0, size)), "accepted");
  for (int i = 0; i < 20000; ++i) {
    std::string damaged = text;
    for (uint64_t flips = 1 + random() % 3; flips > 0; --flips)
      damaged[random() % text.size()] ^= static_cast<char>(1 << (random() % 8));
    try {
      const Json json = parse_json(damaged, "file");
      EXPECT_EQ(parse_json(json.dump(), "file"), json);
    } catch (const UserError&) {
    }
  }
}

}  // namespace
}  // namespace dslite
