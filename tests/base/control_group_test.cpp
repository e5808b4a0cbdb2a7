// Memory limits of containers, from trees of files as the kernel shows them.
#include "src/base/control_group.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/temp_folder.h"

namespace dslite {
namespace {

class ControlGroup : public ::testing::Test {
 protected:
  void put(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root() + "/" + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  // A group of version 2; the file pages are given up at once.
  void group(const std::string& path, const std::string& limit, const std::string& usage, const std::string& pages) {
    put(path + "/memory.max", limit + "\n");
    put(path + "/memory.current", usage + "\n");
    put(path + "/memory.stat", "anon 17\ninactive_file " + pages + "\nactive_file 5\n");
  }
  std::string root() const { return folder_.path(); }

 private:
  TempFolder folder_;
};

TEST_F(ControlGroup, TheNarrowestGroupDecides) {
  group("user", "1000", "300", "0");
  group("user/job", "800", "300", "50");
  group("user/job/step", "max", "300", "50");
  EXPECT_EQ(control_group_memory_left("0::/user/job/step\n", root()), 550);
  EXPECT_EQ(control_group_memory_left("0::/user\n", root()), 700);
  put("user/memory.current", "990");  // a neighbour took the rest
  EXPECT_EQ(control_group_memory_left("0::/user/job/step\n", root()), 10);
  put("user/memory.current", "1010");
  EXPECT_EQ(control_group_memory_left("0::/user/job/step\n", root()), 0);
}

TEST_F(ControlGroup, AContainerSeesItsOwnGroupAtTheRoot) {
  group("", "4000", "1000", "100");
  EXPECT_EQ(control_group_memory_left("0::/\n", root()), 3100);
  EXPECT_EQ(control_group_memory_left("0::/docker/0123abc\n", root()), 3100);  // named as outside, mounted as inside
}

TEST_F(ControlGroup, VersionOneHasAFolderForEachController) {
  put("memory/box/memory.limit_in_bytes", "2000\n");
  put("memory/box/memory.usage_in_bytes", "500\n");
  put("memory/box/memory.stat", "cache 3\ninactive_file 1\ntotal_inactive_file 20\n");
  put("memory/memory.limit_in_bytes", "9223372036854771712\n");
  put("memory/memory.usage_in_bytes", "600\n");
  const std::string both = "5:cpu,cpuacct:/other\n4:memory:/box\n1:name=systemd:/box\n0::/box\n";
  EXPECT_EQ(control_group_memory_left(both, root()), 1520);
  group("box", "1300", "0", "0");  // and a limit of version 2 beside it
  EXPECT_EQ(control_group_memory_left(both, root()), 1300);
  EXPECT_EQ(control_group_memory_left("4:memory:/\n", root()), std::nullopt);
}

TEST_F(ControlGroup, WithoutALimitThereIsNone) {
  group("free", "max", "300", "0");
  EXPECT_EQ(control_group_memory_left("0::/free\n", root()), std::nullopt);
  EXPECT_EQ(control_group_memory_left("0::/free\n", root() + "/absent"), std::nullopt);
  put("broken/memory.max", "many\n");
  put("half/memory.max", "100\n");  // no usage
  for (const std::string text : {"", "\n", "nonsense", "0:", "0::", "0::/broken", "0::/half", "::", "x:memory"})
    EXPECT_EQ(control_group_memory_left(text, root()), std::nullopt) << text;
}

}  // namespace
}  // namespace dslite
