// Every point at which a save can fail or die: what was there before, or the new step with all its bits.
#include <sys/wait.h>
#include <unistd.h>

#include "tests/checkpoint/faults.h"
#include "tests/checkpoint/saved_content.h"
#include "tests/support/temp_folder.h"

namespace dslite {
namespace {

// A run with steps 10 and 20, and a save of step 30 that meets one fault.
class Faults : public ::testing::Test {
 protected:
  Faults() {
    save(run.path(), 10);
    save(run.path(), 20);
  }
  void restore() {
    fs::remove_all(work);
    fs::copy(run.path(), work, fs::copy_options::recursive);
  }
  // Two sound checkpoints, the newest of them the old or the new one with all its bits; and the next save leaves
  // nothing behind.
  void expect_old_or_new(bool must_be_new) {
    const auto newest = newest_sound_checkpoint(work, nullptr);
    ASSERT_TRUE(newest);
    EXPECT_TRUE(newest->step == 30 || (newest->step == 20 && !must_be_new)) << newest->step;
    Content(static_cast<uint64_t>(newest->step)).expect_in(Checkpoint(newest->folder));
    int sound = 0;
    for (const CheckpointInfo& info : list_checkpoints(work)) sound += verdict(info.folder) == "sound";
    EXPECT_GE(sound, 2);
    save(work, 40);
    EXPECT_EQ(newest_sound_checkpoint(work, nullptr)->step, 40);
    EXPECT_EQ(files_of(work + "/checkpoints").size(), 2u);
  }
  void die_everywhere(faults::Kind kind) {
    for (int64_t operation = 1;; ++operation) {
      SCOPED_TRACE(operation);
      restore();
      const pid_t child = ::fork();
      if (child == 0) {
        faults::arm(work, operation, kind);
        save(work, 30);
        ::_exit(0);
      }
      int status = 0;
      ASSERT_EQ(::waitpid(child, &status, 0), child);
      ASSERT_TRUE(WIFEXITED(status));
      expect_old_or_new(WEXITSTATUS(status) == 0);
      if (WEXITSTATUS(status) == 0) {
        EXPECT_GT(operation, 40);
        return;
      }
      ASSERT_EQ(WEXITSTATUS(status), faults::kCrashExitCode);
    }
  }
  void fail_everywhere(faults::Kind kind, bool must_succeed) {
    for (int64_t operation = 1;; ++operation) {
      SCOPED_TRACE(operation);
      restore();
      faults::arm(work, operation, kind);
      bool failed = false;
      try {
        save(work, 30);
      } catch (const Error&) {
        failed = true;
      }
      const int64_t count = faults::disarm();
      EXPECT_FALSE(failed && must_succeed);
      expect_old_or_new(!failed);
      if (operation > count) return;
    }
  }
  TempFolder run{TempFolder::memory()}, other{TempFolder::memory()};
  std::string work = other / "run";
};

TEST_F(Faults, DeathAtEveryOperation) { die_everywhere(faults::Kind::kCrash); }
TEST_F(Faults, DeathAtEveryOperationLosingWhatWasNotSynced) { die_everywhere(faults::Kind::kCrashLosing); }
TEST_F(Faults, NoSpaceAtEveryOperation) { fail_everywhere(faults::Kind::kNoSpace, false); }
TEST_F(Faults, IoErrorAtEveryOperation) { fail_everywhere(faults::Kind::kIo, false); }
TEST_F(Faults, InterruptedAtEveryOperation) { fail_everywhere(faults::Kind::kInterrupted, true); }
TEST_F(Faults, ShortWriteAtEveryOperation) { fail_everywhere(faults::Kind::kShortWrite, true); }

}  // namespace
}  // namespace dslite
