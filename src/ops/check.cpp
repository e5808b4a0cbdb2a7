#include "src/ops/check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <stdexcept>

namespace dslite::ops {

void check_tensor(const char* name, const at::Tensor& tensor, at::ScalarType dtype,
                  std::initializer_list<int64_t> shape, bool dense, const char* file, int line) {
  const bool same_shape = tensor.defined() && tensor.sizes().equals(at::IntArrayRef(shape.begin(), shape.size()));
  const bool rows = tensor.defined() && (tensor.numel() == 0 || tensor.is_contiguous() ||
                                         (!dense && tensor.dim() == 2 && tensor.stride(1) == 1));
  if (same_shape && rows && tensor.scalar_type() == dtype) return;
  const std::string expected = fmt::format("{} [{}]", c10::toString(dtype), fmt::join(shape, ", "));
  const std::string found = !tensor.defined()
                                ? "nothing"
                                : fmt::format("{} [{}] with strides [{}]", c10::toString(tensor.scalar_type()),
                                              fmt::join(tensor.sizes(), ", "), fmt::join(tensor.strides(), ", "));
  throw std::logic_error(fmt::format("{}: expected {}{}, found {} ({}:{})", name, expected,
                                     dense ? " contiguous" : " with contiguous rows", found, file, line));
}

}  // namespace dslite::ops
