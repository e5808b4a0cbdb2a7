// What an X.h demands of its caller. src/ops has checked it, so that kernels do not check again: builds without NDEBUG
// (presets debug, asan, tsan) assert it at the entry, others do nothing. For X.cpp alone.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "kernels/common/context.h"

#ifdef NDEBUG
#define DSLITE_CONTRACT(condition) static_cast<void>(sizeof(condition))
#else
#define DSLITE_CONTRACT(condition)                                                               \
  do {                                                                                           \
    if (!(condition)) {                                                                          \
      std::fprintf(stderr, "%s:%d: contract of a kernel: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                              \
    }                                                                                            \
  } while (false)
#endif

namespace dslite::kernels {

#ifdef NDEBUG
constexpr bool kContractsAreAsserted = false;
#else
constexpr bool kContractsAreAsserted = true;
#endif

inline bool is_given(const void* p, int64_t count) { return count >= 0 && (count == 0 || p); }
// A matrix of `rows` x `columns`; the stride of a lone row means nothing.
inline bool is_matrix(ConstMatrix x, int64_t rows, int64_t columns) {
  return rows >= 0 && is_given(x.data, rows * columns) && (rows <= 1 || columns == 0 || x.row_stride >= columns);
}
inline bool is_matrix(Matrix x, int64_t rows, int64_t columns) {
  return is_matrix(ConstMatrix{x.data, x.dtype, x.row_stride}, rows, columns);
}
inline bool is_ascending(const int64_t* offsets, int64_t count, int64_t last) {  // [count + 1] from 0 to `last`
  if (!offsets || offsets[0] != 0 || offsets[count] != last) return false;
  for (int64_t i = 0; i < count; ++i)
    if (offsets[i + 1] < offsets[i]) return false;
  return true;
}
inline bool are_below(const int32_t* indices, int64_t count, int64_t bound) {  // each in [0, bound)
  for (int64_t i = 0; i < count; ++i)
    if (indices[i] < 0 || indices[i] >= bound) return false;
  return true;
}
inline bool is_usable(const Context& context, int64_t scratch_bytes = 0) {
  return context.parallel_for && context.num_threads >= 1 && context.scratch_bytes >= scratch_bytes &&
         is_given(context.scratch, scratch_bytes) && reinterpret_cast<uintptr_t>(context.scratch) % 64 == 0;
}

}  // namespace dslite::kernels
