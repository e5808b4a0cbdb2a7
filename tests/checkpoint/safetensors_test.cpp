// The safetensors reader: every line of its list of refusals, legal oddities, round trips, truncation and damage.
#include "src/checkpoint/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <random>

#include "src/base/error.h"
#include "src/base/hash.h"
#include "src/checkpoint/safetensors_header.h"
#include "tests/support/temp_folder.h"

namespace dslite {
namespace {

using ::testing::HasSubstr;

std::string prefix(uint64_t length) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes;
}
std::string file_of(const std::string& header, size_t data_bytes) {
  return prefix(header.size()) + header + std::string(data_bytes, 'x');
}

// What the reader says of a file with these bytes; "accepted" when nothing.
std::string verdict(const std::string& bytes) {
  const TempFolder folder;
  const std::string path = folder / "a.safetensors";
  write_text(path, bytes);
  try {
    const SafetensorsFile file(path);
    for (const TensorInfo& info : file.tensors()) {
      EXPECT_EQ(static_cast<int64_t>(file.bytes(info).size()), info.num_elements() * tensor_type_bytes(info.type));
    }
    return "accepted";
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), HasSubstr(path));
    return error.what();
  }
}

// One tensor of 4 bytes, of which the test replaces a part.
std::string one(const std::string& entry) { return "{\"a\":{" + entry + "}}"; }
const std::string kGood = R"("dtype":"U8","shape":[4],"data_offsets":[0,4])";

struct Refused {
  const char* name;
  std::string bytes;
  const char* message;
};

const std::string kDeep(100000, '[');

// clang-format off
const Refused kRefused[] = {
    {"empty file", "", "found a file of 0 bytes"},
    {"file of 7 bytes", std::string(7, '\0'), "found a file of 7 bytes"},
    {"header length 0", prefix(0) + "{}", "found a header of 0 bytes"},
    {"header length 1", prefix(1) + "{}", "found a header of 1 bytes"},
    {"header above 16 MiB", prefix((16 << 20) + 1) + "{}", "expected at most 16777216"},
    {"header longer than the file", prefix(3) + "{}", "cut short"},
    {"header length that wraps", prefix(UINT64_MAX) + "{}", "expected at most"},
    {"header length that wraps with the prefix", prefix(UINT64_MAX - 7) + "{}", "expected at most"},
    {"first byte not {", file_of(" {}", 0), "begin with '{'"},
    {"an array", file_of("[]", 0), "begin with '{'"},
    {"not UTF-8", file_of("{\"\xff\":{" + kGood + "}}", 4), "not UTF-8"},
    {"overlong UTF-8", file_of("{\"\xc0\xaf\":{" + kGood + "}}", 4), "not UTF-8"},
    {"surrogate in UTF-8", file_of("{\"\xed\xa0\x80\":{" + kGood + "}}", 4), "not UTF-8"},
    {"beyond U+10FFFF", file_of("{\"\xf4\x90\x80\x80\":{" + kGood + "}}", 4), "not UTF-8"},
    {"cut UTF-8", file_of("{\"\xe2\x82\":{" + kGood + "}}", 4), "not UTF-8"},
    {"lone surrogate escape", file_of(R"({"\ud800":{)" + kGood + "}}", 4), "surrogate"},
    {"NUL in a name", file_of(R"({"a\u0000b":{)" + kGood + "}}", 4), "control character"},
    {"control character in a name", file_of(R"({"a\nb":{)" + kGood + "}}", 4), "control character"},
    {"raw control character", file_of("{\"a\nb\":{" + kGood + "}}", 4), "control character"},
    {"raw NUL", file_of(std::string("{\"a\0b\":{", 9) + kGood + "}}", 4), "control character"},
    {"delete character in a name", file_of("{\"a\x7f\":{" + kGood + "}}", 4), "control character"},
    {"truncated JSON", file_of("{\"a\":{" + kGood + "}", 4), "the header ends early"},
    {"truncated in a string", file_of("{\"abc", 4), "the header ends inside a string"},
    {"bad escape", file_of(R"({"\x41":{)" + kGood + "}}", 4), "unknown escape"},
    {"bad unicode escape", file_of(R"({"\u12g4":{)" + kGood + "}}", 4), "four hexadecimal digits"},
    {"trailing comma", file_of("{\"a\":{" + kGood + "},}", 4), "expected a string"},
    {"comment", file_of("{/**/\"a\":{" + kGood + "}}", 4), "expected a string"},
    {"single quotes", file_of("{'a':{" + kGood + "}}", 4), "expected a string"},
    {"junk after the object", file_of("{\"a\":{" + kGood + "}} x", 4), "expected only spaces"},
    {"NUL padding", file_of("{\"a\":{" + kGood + "}}" + std::string(3, '\0'), 4), "expected only spaces"},
    {"newline padding", file_of("{\"a\":{" + kGood + "}}\n", 4), "expected only spaces"},
    {"second object", file_of("{}{}", 0), "expected only spaces"},
    {"nesting", file_of(one(R"("dtype":"U8","shape":[[4]],"data_offsets":[0,4])"), 4), "whole number"},
    {"deep nesting", file_of("{\"a\":" + kDeep + "}", 4), "expected '{'"},
    {"deep nesting in the shape", file_of(one("\"shape\":" + kDeep), 4), "whole number"},
    {"tensor is a number", file_of("{\"a\":4}", 4), "expected '{'"},
    {"tensor is null", file_of("{\"a\":null}", 4), "expected '{'"},
    {"dtype is a number", file_of(one(R"("dtype":8,"shape":[4],"data_offsets":[0,4])"), 4), "expected a string"},
    {"shape is a number", file_of(one(R"("dtype":"U8","shape":4,"data_offsets":[0,4])"), 4), "expected '['"},
    {"shape of strings", file_of(one(R"("dtype":"U8","shape":["4"],"data_offsets":[0,4])"), 4), "whole number"},
    {"duplicate tensor", file_of("{\"a\":{" + kGood + "},\"a\":{" + kGood + "}}", 4), "duplicate tensor \"a\""},
    {"duplicate tensor by escape", file_of("{\"a\":{" + kGood + "},\"\\u0061\":{" + kGood + "}}", 4), "duplicate tensor \"a\""},
    {"duplicate metadata key", file_of(R"({"__metadata__":{"k":"1","k":"2"}})", 0), "duplicate key \"k\""},
    {"duplicate metadata", file_of(R"({"__metadata__":{},"__metadata__":{}})", 0), "duplicate key \"__metadata__\""},
    {"metadata value not a string", file_of(R"({"__metadata__":{"k":1}})", 0), "expected a string"},
    {"metadata not an object", file_of(R"({"__metadata__":"pt"})", 0), "expected '{'"},
    {"missing dtype", file_of(one(R"("shape":[4],"data_offsets":[0,4])"), 4), "field \"dtype\" is missing"},
    {"missing shape", file_of(one(R"("dtype":"U8","data_offsets":[0,4])"), 4), "field \"shape\" is missing"},
    {"missing offsets", file_of(one(R"("dtype":"U8","shape":[4])"), 4), "field \"data_offsets\" is missing"},
    {"unknown field", file_of(one(kGood + R"(,"stride":[1])"), 4), "unknown field \"stride\""},
    {"duplicate field", file_of(one(kGood + R"(,"shape":[4])"), 4), "duplicate field \"shape\""},
    {"unknown dtype", file_of(one(R"("dtype":"U7","shape":[4],"data_offsets":[0,4])"), 4), "unknown dtype \"U7\""},
    {"lower-case dtype", file_of(one(R"("dtype":"u8","shape":[4],"data_offsets":[0,4])"), 4), "unknown dtype \"u8\""},
    {"negative number", file_of(one(R"("dtype":"U8","shape":[-4],"data_offsets":[0,4])"), 4), "whole number that is not negative"},
    {"negative zero", file_of(one(R"("dtype":"U8","shape":[4],"data_offsets":[-0,4])"), 4), "whole number"},
    {"fraction", file_of(one(R"("dtype":"U8","shape":[4.0],"data_offsets":[0,4])"), 4), "whole number"},
    {"exponent", file_of(one(R"("dtype":"U8","shape":[4e0],"data_offsets":[0,4])"), 4), "whole number"},
    {"leading zero", file_of(one(R"("dtype":"U8","shape":[04],"data_offsets":[0,4])"), 4), "leading zero"},
    {"above 2^53", file_of(one(R"("dtype":"U8","shape":[9007199254740993],"data_offsets":[0,4])"), 4), "above 2^53"},
    {"number of 40 digits", file_of(one(R"("dtype":"U8","shape":[1000000000000000000000000000000000000000],"data_offsets":[0,4])"), 4), "above 2^53"},
    {"rank 9", file_of(one(R"("dtype":"U8","shape":[1,1,1,1,1,1,1,1,4],"data_offsets":[0,4])"), 4), "more than 8 dimensions"},
    {"shape overflows", file_of(one(R"("dtype":"U8","shape":[9007199254740992,9007199254740992],"data_offsets":[0,4])"), 4), "overflows"},
    {"shape overflows to 0", file_of(one(R"("dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0])"), 0), "overflows"},
    {"shape overflows to 4", file_of(one(R"("dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4])"), 4), "above 2^53"},
    {"bytes too few for the shape", file_of(one(R"("dtype":"U8","shape":[5],"data_offsets":[0,4])"), 4), "hold 4 bytes, its shape and dtype need 5"},
    {"bytes wrong for the dtype", file_of(one(R"("dtype":"F32","shape":[4],"data_offsets":[0,4])"), 4), "hold 4 bytes, its shape and dtype need 16"},
    {"end before begin", file_of(one(R"("dtype":"U8","shape":[4],"data_offsets":[4,0])"), 4), "before they begin"},
    {"one offset", file_of(one(R"("dtype":"U8","shape":[4],"data_offsets":[4])"), 4), "found 1 data_offsets"},
    {"three offsets", file_of(one(R"("dtype":"U8","shape":[4],"data_offsets":[0,4,4])"), 4), "more than 2 data_offsets"},
    {"overlap", file_of("{\"a\":{" + kGood + R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})", 6), "overlaps"},
    {"same range twice", file_of("{\"a\":{" + kGood + R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 4), "overlaps"},
    {"empty tensor inside another", file_of("{\"a\":{" + kGood + R"(},"b":{"dtype":"U8","shape":[0],"data_offsets":[2,2]}})", 4), "overlaps"},
    {"hole", file_of("{\"a\":{" + kGood + R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":[6,10]}})", 10), "belong to no tensor"},
    {"hole at the start", file_of(one(R"("dtype":"U8","shape":[4],"data_offsets":[2,6])"), 6), "belong to no tensor"},
    {"empty tensor beyond the end", file_of(one(R"("dtype":"U8","shape":[0],"data_offsets":[9,9])"), 0), "belong to no tensor"},
    {"end beyond the file", file_of(one(kGood), 3), "the file is cut short"},
    {"trailing bytes", file_of(one(kGood), 5), "1 bytes follow the last tensor"},
    {"trailing bytes without tensors", file_of("{}", 1), "1 bytes follow the last tensor"},
    {"name of 1025 bytes", file_of("{\"" + std::string(1025, 'n') + "\":{" + kGood + "}}", 4), "a tensor name of 1025 bytes"},
};
// clang-format on

TEST(Safetensors, RefusesEveryLineOfTheList) {
  for (const Refused& refused : kRefused) {
    SCOPED_TRACE(refused.name);
    EXPECT_THAT(verdict(refused.bytes), HasSubstr(refused.message));
  }
}

TEST(Safetensors, RefusesMoreThanAMillionTensors) {
  std::string header = "{";
  for (int i = 0; i <= 1000000; ++i)
    header += fmt::format("{}\"{}\":{{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", i ? "," : "", i);
  header += "}";
  const TempFolder folder;
  write_text(folder / "a.safetensors", file_of(header, 0));
  EXPECT_THROW(
      {
        try {
          SafetensorsFile(folder / "a.safetensors", {.max_header_bytes = 100'000'000});
        } catch (const UserError& error) {
          EXPECT_THAT(error.what(), HasSubstr("more than 1000000 tensors"));
          throw;
        }
      },
      UserError);
}

TEST(Safetensors, RefusesWhatIsNoRegularFile) {
  const TempFolder folder;
  EXPECT_THROW(SafetensorsFile{folder.path()}, UserError);
  EXPECT_THROW(SafetensorsFile{folder / "absent"}, UserError);
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THROW(SafetensorsFile{folder / "pipe"}, UserError);
  EXPECT_THROW(SafetensorsFile{"/dev/null"}, UserError);
}

TEST(Safetensors, NoticesAChangedFile) {
  const TempFolder folder;
  const std::string path = folder / "a.safetensors";
  write_text(path, file_of(one(kGood), 4));
  const SafetensorsFile file(path);
  file.check_unchanged();
  std::ofstream(path, std::ios::app) << "more";
  EXPECT_THROW(file.check_unchanged(), UserError);
}

TEST(Safetensors, AcceptsLegalOddities) {
  EXPECT_EQ(verdict(file_of("{}", 0)), "accepted");
  EXPECT_EQ(verdict(file_of(one(kGood) + "   ", 4)), "accepted");
  EXPECT_EQ(verdict(file_of("{ \"a\" :\n{\t" + kGood + " } }", 4)), "accepted");
  EXPECT_EQ(verdict(file_of(one(R"("data_offsets":[0,4],"shape":[],"dtype":"F32")"), 4)), "accepted");  // rank 0
  EXPECT_EQ(verdict(file_of(one(R"("dtype":"F32","shape":[0,9007199254740992],"data_offsets":[0,0])"), 0)),
            "accepted");  // no elements
  EXPECT_EQ(verdict(file_of(one(R"("dtype":"U8","shape":[1,1,1,1,1,1,1,4],"data_offsets":[0,4])"), 4)), "accepted");
  EXPECT_EQ(verdict(file_of("{\"" + std::string(1024, 'n') + "\":{" + kGood + "}}", 4)), "accepted");
  EXPECT_EQ(verdict(file_of(R"({"\u00e4\ud83d\ude00/é":{)" + kGood + "}}", 4)), "accepted");
  EXPECT_EQ(
      verdict(file_of(
          R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]},"e":{"dtype":"U8","shape":[0],"data_offsets":[2,2]},)"
          R"("a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
          4)),
      "accepted");
}

TEST(Safetensors, DecodesNames) {
  const SafetensorsHeader header = parse_safetensors_header(R"({"\u00e4\ud83d\ude00\/":{)" + kGood + "}}", "file");
  EXPECT_EQ(header.tensors.at(0).name, "ä😀/");
}

struct Sample {
  std::vector<TensorInfo> tensors;
  std::map<std::string, std::string> metadata;
  std::vector<std::string> bytes;
};

Sample random_sample(std::mt19937_64& random) {
  const auto below = [&](uint64_t bound) { return static_cast<int64_t>(random() % bound); };
  Sample sample;
  for (int64_t i = below(8); i > 0; --i)
    sample.metadata["key\t" + std::to_string(i)] = "value\n\"\\ü " + std::to_string(random());
  const int64_t count = below(12);
  for (int64_t i = 0; i < count; ++i) {
    TensorInfo info{.name = fmt::format("layer.{}.\"ü\"/\\{}", i, std::string(static_cast<size_t>(below(20)), 'z')),
                    .type = static_cast<TensorType>(below(15)),
                    .shape = {}};
    for (int64_t rank = below(5); rank > 0; --rank) info.shape.push_back(below(6));
    std::string bytes(static_cast<size_t>(info.num_elements() * tensor_type_bytes(info.type)), '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    sample.tensors.push_back(std::move(info));
    sample.bytes.push_back(std::move(bytes));
  }
  return sample;
}

std::string write_sample(const Sample& sample, const std::string& path) {
  SafetensorsWriter writer(path, sample.tensors, sample.metadata);
  for (const std::string& bytes : sample.bytes) {
    const auto span = std::as_bytes(std::span(bytes));
    writer.write(span.first(span.size() / 3));
    writer.write(span.subspan(span.size() / 3));
  }
  return writer.finish();
}

TEST(Safetensors, RandomFilesRoundTrip) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 200; ++round) {
    const TempFolder folder;
    const std::string path = folder / "a.safetensors";
    const Sample sample = random_sample(random);
    const std::string sha256 = write_sample(sample, path);
    EXPECT_EQ(sha256, sha256_hex(read_text(path)));
    const SafetensorsFile file(path);
    EXPECT_EQ(file.metadata(), sample.metadata);
    ASSERT_EQ(file.tensors().size(), sample.tensors.size());
    for (size_t i = 0; i < sample.tensors.size(); ++i) {
      const TensorInfo* info = file.find(sample.tensors[i].name);
      ASSERT_NE(info, nullptr);
      EXPECT_EQ(info->type, sample.tensors[i].type);
      EXPECT_EQ(info->shape, sample.tensors[i].shape);
      const auto bytes = file.bytes(*info);
      EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()), sample.bytes[i]);
      file.release(bytes);
      EXPECT_EQ(std::memcmp(file.bytes(*info).data(), sample.bytes[i].data(), bytes.size()), 0);
    }
    EXPECT_EQ(file.find("absent"), nullptr);
  }
}

TEST(Safetensors, EveryTruncationIsRefused) {
  std::mt19937_64 random(2);
  const TempFolder folder;
  for (int round = 0; round < 4; ++round) {
    const std::string path = folder / ("a" + std::to_string(round));
    Sample sample = random_sample(random);
    sample.tensors.push_back(
        {.name = "last", .type = TensorType::kI16, .shape = {3}});  // so that some data is there to lose
    sample.bytes.push_back("abcdef");
    write_sample(sample, path);
    const std::string whole = read_text(path);
    for (size_t size = whole.size(); size-- > 0;) {
      ASSERT_EQ(::truncate(path.c_str(), static_cast<off_t>(size)), 0);
      EXPECT_THROW(SafetensorsFile{path}, UserError) << size << " of " << whole.size();
    }
  }
}

// Damage in the header either is refused or leaves a file whose ranges all lie inside the data.
TEST(Safetensors, DamagedHeadersNeverCrash) {
  std::mt19937_64 random(3);
  int accepted = 0;
  for (int round = 0; round < 20; ++round) {
    const TempFolder folder;
    const std::string path = folder / "a";
    const Sample sample = random_sample(random);
    write_sample(sample, path);
    const std::string whole = read_text(path);
    uint64_t header_bytes = 0;
    std::memcpy(&header_bytes, whole.data(), 8);
    for (int i = 0; i < 500; ++i) {
      std::fstream file_bytes(path,
                              std::ios::in | std::ios::out | std::ios::binary);  // in place: quicker than a new file
      file_bytes.write(whole.data(), static_cast<std::streamsize>(8 + header_bytes));
      for (uint64_t flips = 1 + random() % 3; flips > 0; --flips) {
        const uint64_t at = random() % (8 + header_bytes);
        file_bytes.seekp(static_cast<std::streamoff>(at));
        file_bytes.put(static_cast<char>(whole[at] ^ (1 << (random() % 8))));
      }
      file_bytes.close();
      try {
        const SafetensorsFile file(path);
        for (const TensorInfo& info : file.tensors()) ASSERT_LE(file.bytes(info).size(), whole.size());
        ++accepted;
      } catch (const UserError&) {
      }
    }
  }
  EXPECT_GT(accepted, 0);  // a flipped bit in a name or in metadata is legal
}

TEST(Safetensors, WriterRefusesWhatItsReaderWould) {
  const TempFolder folder;
  EXPECT_THROW(SafetensorsWriter(folder / "a", {{.name = "x", .type = TensorType::kU8, .shape = {1}},
                                                {.name = "x", .type = TensorType::kU8, .shape = {1}}}),
               UserError);
  SafetensorsWriter writer(folder / "b", {{.name = "x", .type = TensorType::kU8, .shape = {2}}});
  EXPECT_THROW(writer.finish(), std::logic_error);
  EXPECT_THROW(SafetensorsWriter(folder / "b", {}), Error);  // exists
}

}  // namespace
}  // namespace dslite
