// Collectives over a group of processes. Every rank of a group calls the same collectives in the same order, on the
// thread that computes; a rank's failure ends the program. Sums give the same bits on every rank.
#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace dslite {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;  // 0 .. size() - 1
  virtual int size() const = 0;
  // In place: values[i] becomes the sum of all ranks' values[i]. Spans are equally long on all ranks.
  virtual void sum(std::span<float> values) = 0;
  virtual void sum(std::span<double> values) = 0;
  // Every rank's bytes, by rank; lengths may differ.
  virtual std::vector<std::vector<std::byte>> all_gather(std::span<const std::byte> bytes) = 0;
  virtual void barrier() = 0;
};

// A group of one.
std::unique_ptr<Communicator> make_single_process_communicator();

}  // namespace dslite
