// Checkpoints of a run: round trips in slices, damage of every kind, what is kept.
#include "src/checkpoint/run_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/checkpoint/saved_content.h"
#include "tests/support/temp_folder.h"

namespace dslite {
namespace {

using ::testing::HasSubstr;

TEST(RunCheckpoint, RestoresEveryBit) {
  const TempFolder run;
  save(run.path(), 10);
  const auto newest = newest_sound_checkpoint(run.path(), nullptr);
  ASSERT_TRUE(newest);
  EXPECT_EQ(newest->step, 10);
  const Checkpoint checkpoint(newest->folder);
  EXPECT_EQ(checkpoint.step(), 10);
  Content(10).expect_in(checkpoint);
  EXPECT_GE(files_of(newest->folder).size(), 4u);
  EXPECT_FALSE(checkpoint.contains("absent"));
  EXPECT_THROW(checkpoint.info("absent"), UserError);
}

TEST(RunCheckpoint, AnEmptyRunHasNone) {
  const TempFolder run;
  EXPECT_FALSE(newest_sound_checkpoint(run.path(), nullptr));
  fs::create_directories(run / "checkpoints/step-07");  // not a name that we write
  fs::create_directories(run / "checkpoints/step-7.tmp-12");
  EXPECT_FALSE(newest_sound_checkpoint(run.path(), nullptr));
}

// Any number of ranks may have saved, any other number may load.
TEST(RunCheckpoint, SlicesAreGlobal) {
  std::mt19937_64 random(5);
  const Content content(3);
  for (int round = 0; round < 20; ++round) {
    const TempFolder run;
    std::vector<TensorSlice> slices;
    for (const TensorSlice& whole : content.slices()) {
      const int64_t size = tensor_type_bytes(whole.type);
      int64_t begin = 0;
      do {
        const int64_t end = std::min<int64_t>(whole.flat_end, begin + 1 + static_cast<int64_t>(random() % 60));
        TensorSlice slice = whole;
        slice.flat_begin = begin;
        slice.flat_end = end;
        slice.bytes = whole.bytes.subspan(static_cast<size_t>(begin * size), static_cast<size_t>((end - begin) * size));
        slices.push_back(slice);
        begin = end;
      } while (begin < whole.flat_end);
    }
    std::ranges::shuffle(slices, random);
    save_checkpoint(run.path(), 1, slices, content.state, kSmallFiles);
    const Checkpoint checkpoint(run / "checkpoints/step-1");
    for (size_t i = 0; i < content.infos.size(); ++i) {
      const int64_t elements = content.infos[i].num_elements(), size = tensor_type_bytes(content.infos[i].type);
      for (int part = 0; part < 10; ++part) {
        const int64_t a = static_cast<int64_t>(random() % static_cast<uint64_t>(elements + 1)),
                      b = static_cast<int64_t>(random() % static_cast<uint64_t>(elements + 1));
        const int64_t begin = std::min(a, b), end = std::max(a, b);
        std::vector<std::byte> out(static_cast<size_t>((end - begin) * size));
        checkpoint.read(content.infos[i].name, begin, end, out);
        EXPECT_TRUE(std::equal(out.begin(), out.end(), content.bytes[i].begin() + begin * size));
      }
    }
  }
}

TEST(RunCheckpoint, AHoleBetweenSlicesIsOurBug) {
  const TempFolder run;
  const Content content(1);
  std::vector<TensorSlice> slices = content.slices();
  slices[1].flat_begin = 1;
  slices[1].bytes = slices[1].bytes.subspan(2);
  EXPECT_THROW(save_checkpoint(run.path(), 1, slices, content.state, {}), std::logic_error);
  EXPECT_TRUE(steps_of(run.path()).empty());
  EXPECT_TRUE(files_of(run / "checkpoints").empty());
}

class Damage : public ::testing::Test {
 protected:
  Damage() {
    save(run.path(), 10);
    save(run.path(), 20);
  }
  // The newest checkpoint is refused, with a reason that names it, and the older one is used.
  void expect_fallback(const std::string& reason = {}) {
    EXPECT_NE(verdict(newest), "sound");
    std::vector<std::string> rejected;
    const auto found = newest_sound_checkpoint(run.path(), [&](const std::string& folder, const std::string& why) {
      rejected.push_back(folder);
      EXPECT_THAT(why, HasSubstr(newest));
      EXPECT_THAT(why, HasSubstr(reason));
    });
    ASSERT_TRUE(found);
    EXPECT_EQ(found->step, 10);
    EXPECT_EQ(rejected, std::vector<std::string>{newest});
    Content(10).expect_in(Checkpoint(found->folder));
  }
  TempFolder run;
  std::string newest = run / "checkpoints/step-20";
};

TEST_F(Damage, BitFlips) {
  std::mt19937_64 random(1);
  for (const std::string& path : files_of(newest)) {
    const std::string whole = read_text(path);
    for (int i = 0; i < 60; ++i) {
      std::string damaged = whole;
      damaged[random() % whole.size()] ^= static_cast<char>(1 << (random() % 8));
      std::fstream(path, std::ios::in | std::ios::out | std::ios::binary)
          .write(damaged.data(), static_cast<std::streamsize>(damaged.size()));
      EXPECT_NE(verdict(newest), "sound");
    }
    expect_fallback();
    std::fstream(path, std::ios::in | std::ios::out | std::ios::binary)
        .write(whole.data(), static_cast<std::streamsize>(whole.size()));
    EXPECT_EQ(verdict(newest), "sound");
  }
}

TEST_F(Damage, ADamagedTensorIsNamedAndNeverRead) {
  const std::string path = newest + "/tensors-00002.safetensors";
  std::string bytes = read_text(path);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_text(path, bytes);
  expect_fallback("tensor \"model.layers.0.mlp.down_proj.weight\" is damaged");
  const Checkpoint unchecked(newest, /*hashes=*/false);
  std::vector<std::byte> out(16 * 9 * 2);
  EXPECT_THROW(unchecked.read("model.layers.0.mlp.down_proj.weight", 0, 16 * 9, out), UserError);
  EXPECT_THROW(unchecked.verify_tensors(), UserError);
}

TEST_F(Damage, Truncations) {
  std::mt19937_64 random(2);
  for (const std::string& path : files_of(newest)) {
    const std::string whole = read_text(path);
    for (const size_t size : {size_t{0}, size_t{1}, whole.size() / 2, whole.size() - 2}) {
      ASSERT_EQ(::truncate(path.c_str(), static_cast<off_t>(size)), 0);
      expect_fallback();
      write_text(path, whole);
    }
    std::ofstream(path, std::ios::app) << "more";
    expect_fallback();
    write_text(path, whole);
    EXPECT_EQ(verdict(newest), "sound");
  }
}

TEST_F(Damage, MissingFiles) {
  for (const std::string& path : files_of(newest)) {
    fs::rename(path, run / "aside");
    expect_fallback();
    fs::rename(run / "aside", path);
  }
  EXPECT_EQ(verdict(newest), "sound");
}

TEST_F(Damage, SwappedFiles) {
  fs::rename(newest + "/tensors-00001.safetensors", run / "aside");
  fs::rename(newest + "/tensors-00002.safetensors", newest + "/tensors-00001.safetensors");
  fs::rename(run / "aside", newest + "/tensors-00002.safetensors");
  expect_fallback();
}

TEST_F(Damage, AFileOfAnotherCheckpoint) {
  fs::copy_file(run / "checkpoints/step-10/tensors-00001.safetensors", newest + "/tensors-00001.safetensors",
                fs::copy_options::overwrite_existing);
  expect_fallback("is damaged");
}

TEST_F(Damage, AnotherStepsFolder) {
  fs::remove_all(newest);
  fs::copy(run / "checkpoints/step-10", newest);
  std::string reason;
  EXPECT_EQ(
      newest_sound_checkpoint(run.path(), [&](const std::string&, const std::string& why) { reason = why; })->step, 10);
  EXPECT_THAT(reason, HasSubstr("its manifest is of step 10"));
}

TEST_F(Damage, EditedManifest) {
  const std::string path = newest + "/manifest.json";
  const std::string whole = read_text(path);
  const auto edited = [&](const std::string& from, const std::string& to) {
    std::string text = whole;
    text.replace(text.find(from), from.size(), to);
    write_text(path, text);
  };
  edited("\"epoch\": 1", "\"epoch\": 2");
  expect_fallback("damaged or edited");
  edited("\"version\": 1", "\"version\": 2");
  expect_fallback("key \"version\": found 2, expected 1");
  edited("dslite checkpoint", "other checkpoint");
  expect_fallback("key \"format\"");
  write_text(path, "{}");
  expect_fallback("key \"format\" is missing");
  write_text(path, "[]");
  expect_fallback();
  write_text(path, std::string(100000, '['));
  expect_fallback();
}

TEST_F(Damage, NothingSoundIsAnError) {
  for (const char* step : {"step-10", "step-20"})
    fs::remove(run / (std::string("checkpoints/") + step + "/manifest.json"));
  int rejected = 0;
  EXPECT_THROW(newest_sound_checkpoint(run.path(), [&](const std::string&, const std::string&) { ++rejected; }),
               UserError);
  EXPECT_EQ(rejected, 2);
}

TEST(RunCheckpoint, KeepsTheNewestAndTheNamed) {
  const TempFolder run;
  for (int64_t step = 1; step <= 6; ++step) save(run.path(), step, {.keep = 3, .keep_steps = {2}});
  EXPECT_EQ(steps_of(run.path()), (std::vector<int64_t>{6, 5, 4, 2}));
  save(run.path(), 7, {.keep = 0, .keep_steps = {}});
  EXPECT_EQ(steps_of(run.path()), (std::vector<int64_t>{7, 6}));
}

TEST(RunCheckpoint, DamagedOnesDoNotCountAsKept) {
  const TempFolder run;
  for (int64_t step = 1; step <= 3; ++step) save(run.path(), step, {.keep = 3, .keep_steps = {}});
  fs::remove(run / "checkpoints/step-3/manifest.json");
  save(run.path(), 4, {.keep = 2, .keep_steps = {}});
  EXPECT_EQ(steps_of(run.path()), (std::vector<int64_t>{4, 3, 2}));  // 4 and 2 are sound; 1 went
}

TEST(RunCheckpoint, ADamagedStepIsReplaced) {
  const TempFolder run;
  save(run.path(), 1);
  save(run.path(), 2);
  write_text(run / "checkpoints/step-2/manifest.json", "damaged");
  EXPECT_EQ(newest_sound_checkpoint(run.path(), nullptr)->step, 1);
  save(run.path(), 2);
  EXPECT_EQ(newest_sound_checkpoint(run.path(), nullptr)->step, 2);
  EXPECT_EQ(files_of(run / "checkpoints").size(), 2u);
}

TEST(RunCheckpoint, LeftoversGoAtTheNextSave) {
  const TempFolder run;
  fs::create_directories(run / "checkpoints/step-9.tmp-77/deep");
  fs::create_directories(run / "checkpoints/trash-step-1");
  fs::create_directories(run / "checkpoints/notes.tmp-1");  // not ours
  save(run.path(), 1);
  EXPECT_EQ(files_of(run / "checkpoints"),
            (std::vector<std::string>{run / "checkpoints/notes.tmp-1", run / "checkpoints/step-1"}));
}

TEST(RunCheckpoint, AFileSizeLimitLeavesTheLastOne) {
  const TempFolder run;
  save(run.path(), 1);
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 500, .rlim_max = old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_THROW(save(run.path(), 2), Error);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(files_of(run / "checkpoints"), std::vector<std::string>{run / "checkpoints/step-1"});
  EXPECT_EQ(newest_sound_checkpoint(run.path(), nullptr)->step, 1);
}

// 0 when a save into a folder without write permission fails and leaves the last checkpoint; called as an ordinary
// user.
int save_into_unwritable_folder() {
  const TempFolder run;
  save(run.path(), 1);
  fs::permissions(run / "checkpoints", fs::perms::owner_read | fs::perms::owner_exec);
  bool failed = false;
  try {
    save(run.path(), 2);
  } catch (const Error&) {
    failed = true;
  }
  fs::permissions(run / "checkpoints", fs::perms::owner_all);
  return failed && newest_sound_checkpoint(run.path(), nullptr)->step == 1 ? 0 : 1;
}

TEST(RunCheckpoint, AnUnwritableFolderIsAnError) {
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr uid_t kNobody = 65534;
    const bool ordinary =
        ::geteuid() != 0 || ::setresuid(kNobody, kNobody, kNobody) == 0;  // the superuser may write everywhere
    ::_exit(ordinary ? save_into_unwritable_folder() : 77);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "cannot become an ordinary user";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace dslite
