// The contract of a Communicator, written for any size and checked for the group of one.
#include "src/parallel/communicator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "src/parallel/mesh.h"

namespace dslite {
namespace {

// What every implementation keeps, seen from one rank. Terms are whole numbers, so that sums are exact.
void check_contract(Communicator& group) {
  const int rank = group.rank(), size = group.size();
  ASSERT_GE(rank, 0);
  ASSERT_LT(rank, size);
  const int ranks_sum = size * (size - 1) / 2;

  std::vector<float> floats{1.0f, static_cast<float>(rank), -2.0f};
  group.sum(std::span(floats));
  EXPECT_EQ(floats, (std::vector<float>{static_cast<float>(size), static_cast<float>(ranks_sum), -2.0f * size}));

  std::vector<double> doubles{0x1p40 * (rank + 1), std::numeric_limits<double>::quiet_NaN()};
  group.sum(std::span(doubles));
  EXPECT_EQ(doubles[0], 0x1p40 * (ranks_sum + size));
  EXPECT_TRUE(std::isnan(doubles[1])) << "damage on one rank is seen on all";
  group.sum(std::span<float>());

  const std::vector<std::byte> mine(rank + 3, static_cast<std::byte>(rank));
  const auto all = group.all_gather(mine);
  ASSERT_EQ(all.size(), static_cast<size_t>(size));
  for (int r = 0; r < size; ++r) EXPECT_EQ(all[r], std::vector<std::byte>(r + 3, static_cast<std::byte>(r)));
  EXPECT_EQ(group.all_gather({}), std::vector<std::vector<std::byte>>(size));
  group.barrier();
}

TEST(SingleProcess, KeepsTheContract) {
  const auto group = make_single_process_communicator();
  EXPECT_EQ(group->size(), 1);
  check_contract(*group);
}

TEST(Mesh, OfOneProcess) {
  const Mesh mesh = make_single_process_mesh();
  EXPECT_EQ(mesh.data_rank(), 0);
  EXPECT_EQ(mesh.data_size(), 1);
  EXPECT_TRUE(mesh.is_writer());
  check_contract(mesh.data());
}

}  // namespace
}  // namespace dslite
