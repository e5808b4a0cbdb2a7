// RAII around the HDF5 C API, with its error stack turned into exceptions instead of lines on stderr.
#pragma once
#include <hdf5.h>

#include <string>
#include <utility>

namespace dslite {

// An identifier and the function that closes it.
class Hdf5Handle {
 public:
  using Close = herr_t (*)(hid_t);
  Hdf5Handle() = default;
  Hdf5Handle(hid_t id, Close close) : id_(id), close_(close) {}
  Hdf5Handle(Hdf5Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Hdf5Handle() {
    if (id_ >= 0) close_(id_);
  }
  operator hid_t() const { return id_; }
  // Closes now and reports failure: what was still in HDF5's caches may not fit on the disk.
  bool close() { return id_ < 0 || close_(std::exchange(id_, -1)) >= 0; }

 private:
  hid_t id_ = -1;
  Close close_ = nullptr;
};

// From here on HDF5 prints nothing, at the end of the process neither (it complains there when a damaged file left
// identifiers open).
void silence_hdf5();

// The innermost line of HDF5's error stack: "truncated file: eof = 100, sblock->base_addr = 0, stored_eof = 2048".
std::string hdf5_problem();

}  // namespace dslite
