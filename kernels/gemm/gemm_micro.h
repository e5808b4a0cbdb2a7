// The microkernel of gemm and its way through a sweep: packed rows of A against packed panels of B. For gemm_cpu.cpp
// only.
#pragma once
#include "kernels/gemm/gemm_pack.h"

namespace dslite::kernels::DSLITE_ISA {

// 6 x 4 zmm or 6 x 2 ymm accumulators; 2 x 4 xmm in the scalar build.
constexpr int kMicroRows = kPacketWidth == 4 ? 2 : 6;

enum class Store { kWrite, kAdd, kStream };  // kStream: past the caches

// What a microkernel multiplies: a [rows][a_stride], b [steps][kPanel], into c [rows][kPanel].
struct Micro {
  int64_t steps;
  const float *a, *b;
  int64_t a_stride;
  float* c;
  int64_t c_stride;
  Store store;
  const char* const* ahead;  // lines to be called into L2 on the way
  int64_t num_ahead, lines_at_once;
};
constexpr int64_t kStepsOfLine = 4;  // between two calls: more at once than the processor can have on the way stall it

// Unrolled, so that the sums stay in registers.
template <int Rows, class Put>
DSLITE_INLINE void put_sums(const Packet (&sum)[Rows][kVectors], float* c, int64_t stride, const Put& put) {
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) put(c + r * stride + v * kPacketWidth, sum[r][v]);
  }
}

template <class Multiply, int Rows>
void micro(const Micro& x) {
  Packet sum[Rows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[r][v] = packet_splat(0);
  for (int r = 0; x.store != Store::kStream && r < Rows; ++r)  // C may lie far away: it is on its way meanwhile
    for (int64_t c = 0; c < kPanel; c += 16) __builtin_prefetch(x.c + r * x.c_stride + c, 1);
  const float* __restrict a0 = x.a;
  const float* __restrict a3 = x.a + 3 * x.a_stride;  // two pointers and a stride reach six rows
  const float* __restrict b = x.b;
  int64_t line = 0;
  for (int64_t s = 0; s < x.steps;) {
    for (int64_t i = 0; i < x.lines_at_once && line < x.num_ahead; ++i) __builtin_prefetch(x.ahead[line++], 0, 2);
    for (const int64_t end = smaller(s + kStepsOfLine, x.steps); s < end; ++s) {
      Packet column[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) column[v] = packet_load(b + s * kPanel + v * kPacketWidth);
#pragma GCC unroll 8
      for (int r = 0; r < Rows; ++r) {
        const Packet value = packet_splat(r < 3 ? a0[r * x.a_stride + s] : a3[(r - 3) * x.a_stride + s]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sum[r][v] = Multiply::add(sum[r][v], value, column[v]);
      }
    }
  }
  switch (x.store) {
    case Store::kWrite:
      return put_sums<Rows>(sum, x.c, x.c_stride, [](float* place, Packet value) { packet_store(place, value); });
    case Store::kAdd:
      return put_sums<Rows>(sum, x.c, x.c_stride,
                            [](float* place, Packet value) { packet_store(place, packet_load(place) + value); });
    case Store::kStream:
      return put_sums<Rows>(sum, x.c, x.c_stride, [](float* place, Packet value) { packet_stream(place, value); });
  }
}

template <class Multiply>
void micro_rows(int64_t rows, const Micro& x) {
  switch (rows) {
    case 1:
      return micro<Multiply, 1>(x);
    case 2:
      return micro<Multiply, 2>(x);
    case 3:
      return micro<Multiply, 3>(x);
    case 4:
      return micro<Multiply, 4>(x);
    case 5:
      return micro<Multiply, 5>(x);
    default:
      return micro<Multiply, 6>(x);
  }
}

// The microkernels of a sweep: all row blocks of packed A against its packed panels, along the rows of C.
struct Sweep {
  int64_t rows, columns;
  Micro first;      // of row 0 and column 0
  int64_t b_panel;  // from one packed panel to the next
  bool far_c;       // C lies in memory, not in a cache
  LinesAhead* b;    // what is packed next, and how many lines of it a microkernel calls
  LinesAhead* a;
  int64_t lines_of_b, lines_of_a;
};

// The lines of C that the microkernel after the next one adds to: its own start would be too late for a short K. Those
// past the last column are harmless.
DSLITE_INLINE int64_t lines_of_c_ahead(const Sweep& sweep, int64_t r, int64_t n, const char** lines) {
  constexpr int64_t distance = 2, line = 64;
  for (n += distance * kPanel; n >= sweep.columns; r += kMicroRows) n = larger(0, n - round_up(sweep.columns, kPanel));
  const int64_t stride = sweep.first.c_stride * 4, rows = smaller(kMicroRows, sweep.rows - r);
  const char* c = reinterpret_cast<const char*>(sweep.first.c + n) + r * stride;
  int64_t count = 0;
  for (int64_t i = 0; i < rows; ++i, c += stride) {
#pragma GCC unroll 4
    for (int64_t j = 0; j < kPanel * 4; j += line) lines[count++] = c + j;
  }
  return count;
}

// Where C ends inside a panel: its sums by way of a whole one.
template <class Multiply>
void micro_at_edge(int64_t rows, int64_t columns, const Micro& x) {
  float edge[kMicroRows * kPanel];
  Micro whole = x;
  whole.c = edge, whole.c_stride = kPanel, whole.store = Store::kWrite;
  micro_rows<Multiply>(rows, whole);
  for (int64_t i = 0; i < rows; ++i) {
    float* line = x.c + i * x.c_stride;
    for (int64_t j = 0; j < columns; ++j)
      line[j] = x.store == Store::kAdd ? line[j] + edge[i * kPanel + j] : edge[i * kPanel + j];
  }
}

template <class Multiply>
void multiply_sweep(const Sweep& sweep) {
  constexpr int64_t most = kGemmBlockK / kStepsOfLine;
  const char* lines[2 * most + kMicroRows * kPanel / 16];
  for (int64_t r = 0; r < sweep.rows; r += kMicroRows) {
    const int64_t rows = smaller(kMicroRows, sweep.rows - r);
    for (int64_t n = 0; n < sweep.columns; n += kPanel) {
      Micro x = sweep.first;
      x.a += r * x.a_stride;
      x.b += n / kPanel * sweep.b_panel;
      x.c += r * x.c_stride + n;
      x.ahead = lines;
      x.num_ahead = sweep.far_c && x.store == Store::kAdd ? lines_of_c_ahead(sweep, r, n, lines) : 0;
      x.num_ahead += sweep.b->take(smaller(sweep.lines_of_b, most), lines + x.num_ahead);
      x.num_ahead += sweep.a->take(smaller(sweep.lines_of_a, most), lines + x.num_ahead);
      x.lines_at_once = x.num_ahead * kStepsOfLine / x.steps + 1;
      if (n + kPanel <= sweep.columns) {
        micro_rows<Multiply>(rows, x);
      } else {
        micro_at_edge<Multiply>(rows, sweep.columns - n, x);
      }
    }
  }
}

}  // namespace dslite::kernels::DSLITE_ISA
