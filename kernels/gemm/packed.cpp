// Hands panels to the threads.
#include "kernels/gemm/packed.h"

#include "kernels/common/contract.h"
#include "kernels/common/dispatch.h"

namespace dslite::kernels {

DSLITE_DECLARE_FOR_EACH_SET(void pack_panel(const PackMatrix& arguments, int64_t panel);)

namespace {

int64_t num_panels(int64_t rows) { return (rows + kPairPanelRows - 1) / kPairPanelRows; }
int64_t panel_elements(int64_t cols) { return (cols + 1) / 2 * 2 * kPairPanelRows; }

struct Packing {
  const Context* context;
  const PackMatrix* arguments;
};
void run_panel(const Packing& packing, int64_t panel) {
  DSLITE_DISPATCH(*packing.context, pack_panel(*packing.arguments, panel));
}

}  // namespace

int64_t packed_bytes(int64_t rows, int64_t cols) { return num_panels(rows) * panel_elements(cols) * 2; }

PanelSource pack_matrix(const Context& context, const PackMatrix& arguments) {
  DSLITE_CONTRACT(is_usable(context) && arguments.rows >= 0 && arguments.cols >= 0);
  DSLITE_CONTRACT(arguments.x.dtype == DType::kBFloat16 && arguments.x.layout == PanelLayout::kRowMajor);
  DSLITE_CONTRACT(is_given(arguments.x.data, arguments.rows * arguments.cols));
  DSLITE_CONTRACT(is_given(arguments.out, packed_bytes(arguments.rows, arguments.cols)));
  DSLITE_CONTRACT(reinterpret_cast<uintptr_t>(arguments.out) % 64 == 0);
  Packing packing{.context = &context, .arguments = &arguments};
  context.parallel_for(
      num_panels(arguments.rows),
      [](void* state, int64_t panel, int) { run_panel(*static_cast<Packing*>(state), panel); }, &packing);
  return {.data = arguments.out,
          .dtype = DType::kBFloat16,
          .row_stride = panel_elements(arguments.cols),
          .row_index = nullptr,
          .transposed = true,
          .layout = PanelLayout::kPairPanels};
}

}  // namespace dslite::kernels
