// How the processes of a run share its work. One axis so far: data, whose ranks hold the same weights, train on
// different rows and sum their gradients.
#pragma once
#include <memory>
#include <utility>

#include "src/parallel/communicator.h"

namespace dslite {

class Mesh {
 public:
  explicit Mesh(std::unique_ptr<Communicator> data) : data_(std::move(data)) {}
  Communicator& data() const { return *data_; }
  int data_rank() const { return data_->rank(); }
  int data_size() const { return data_->size(); }
  // The one process that writes what exists once: metrics, manifest, progress.
  bool is_writer() const { return data_->rank() == 0; }

 private:
  std::unique_ptr<Communicator> data_;
};

// The mesh of a program that was started alone.
inline Mesh make_single_process_mesh() { return Mesh(make_single_process_communicator()); }

}  // namespace dslite
