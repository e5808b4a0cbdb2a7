// Durable writes, atomic replacement, maps, locks.
#include "src/base/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/error.h"
#include "tests/support/temp_folder.h"

namespace dslite {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

template <class Action>
std::string message_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing";
}

TEST(Files, DurableFileIsNewAndWhole) {
  const TempFolder folder;
  const std::string path = folder / "file";
  {
    DurableFile file(path);
    file.write("abc");
    file.write(std::as_bytes(std::span("de", 2)));
    EXPECT_EQ(file.size_bytes(), 5);
    file.sync_and_close();
  }
  EXPECT_EQ(read_file(path), "abcde");
  EXPECT_THAT(message_of([&] { DurableFile again(path); }), HasSubstr("cannot create " + path + ": File exists"));
  EXPECT_THAT(message_of([&] { DurableFile again(folder / "absent/file"); }), HasSubstr("No such file"));
  EXPECT_EQ(read_file(path), "abcde");
}

TEST(Files, AFullDeviceIsAnError) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  const TempFolder folder;
  fs::create_symlink("/dev/full", folder / "full");
  EXPECT_THAT(message_of([&] {
                DurableFile file(folder / "full");
                file.write("abc");
              }),
              HasSubstr("File exists"));  // exclusive: a link is never followed
}

TEST(Files, AtomicReplacement) {
  const TempFolder folder;
  const std::string path = folder / "state.json";
  write_file_atomically(path, "first");
  write_file_atomically(path, "second");
  EXPECT_EQ(read_file(path), "second");
  fs::create_directories(folder / "in_the_way/child");
  EXPECT_NE(message_of([&] { write_file_atomically(folder / "in_the_way", "text"); }), "nothing");
  EXPECT_TRUE(fs::exists(folder / "in_the_way/child"));
  size_t entries = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(folder.path())) ++entries;
  EXPECT_EQ(entries, 2u);  // no temporary file is left
}

TEST(Files, ReadingRefusesWhatIsNoFile) {
  const TempFolder folder;
  EXPECT_THROW(read_file(folder / "absent"), UserError);
  EXPECT_THAT(message_of([&] { read_file(folder.path()); }), HasSubstr("found a folder, expected a regular file"));
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(message_of([&] { read_file(folder / "pipe"); }),
              HasSubstr("expected a regular file"));  // and does not wait for a writer
  EXPECT_THAT(message_of([] { read_file("/dev/zero"); }), HasSubstr("expected a regular file"));
}

TEST(Files, MapsNoticeChanges) {
  const TempFolder folder;
  const std::string path = folder / "file";
  write_text(path, "");
  EXPECT_EQ(MappedFile(path).bytes().size(), 0u);
  write_text(path, std::string(100000, 'x'));
  const MappedFile file(path);
  file.check_unchanged();
  file.release(file.bytes());
  EXPECT_EQ(std::to_integer<char>(file.bytes()[99999]), 'x');
  std::ofstream(path, std::ios::app) << "y";
  EXPECT_THAT(message_of([&] { file.check_unchanged(); }), HasSubstr("changed while it was read"));
}

TEST(Files, ALockHasOneHolder) {
  const TempFolder folder;
  const std::string path = folder / "lock";
  const auto held_elsewhere = [&] {
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        FileLock lock(path, "the run");
        ::_exit(0);
      } catch (const UserError&) {
        ::_exit(3);
      }
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WEXITSTATUS(status) == 3;
  };
  {
    FileLock lock(path, "the run");
    EXPECT_TRUE(held_elsewhere());
    EXPECT_THAT(message_of([&] { FileLock second(path, "the run"); }),
                HasSubstr("the run is in use by another process"));
  }
  EXPECT_FALSE(held_elsewhere());
}

TEST(Files, ExchangeSwapsNames) {
  const TempFolder folder;
  fs::create_directories(folder / "a/of_a");
  fs::create_directories(folder / "b/of_b");
  if (!exchange_durably(folder / "a", folder / "b")) GTEST_SKIP() << "the file system cannot exchange names";
  EXPECT_TRUE(fs::exists(folder / "a/of_b"));
  EXPECT_TRUE(fs::exists(folder / "b/of_a"));
  EXPECT_THROW(exchange_durably(folder / "a", folder / "absent"), Error);
}

TEST(Files, Folders) {
  const TempFolder folder;
  make_directories(folder / "a/b/c");
  make_directories(folder / "a/b/c");
  EXPECT_TRUE(fs::is_directory(folder / "a/b/c"));
  write_text(folder / "file", "");
  EXPECT_THROW(make_directories(folder / "file"), Error);
  EXPECT_THROW(make_directories(folder / "file/below"), Error);
  EXPECT_GT(free_space_bytes(folder.path()), 0);
  EXPECT_THROW(free_space_bytes(folder / "absent"), Error);
  EXPECT_THROW(rename_durably(folder / "absent", folder / "x"), Error);
  EXPECT_THROW(sync_directory(folder / "absent"), Error);
}

}  // namespace
}  // namespace dslite
