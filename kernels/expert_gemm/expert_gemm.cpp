// The experts as lists of products for gemm_many: one parallel sweep per step, gathered rows read while packing, empty
// experts left out.
#include "kernels/expert_gemm/expert_gemm.h"

#include "kernels/common/contract.h"
#include "kernels/gemm/gemm_many.h"

namespace dslite::kernels {
namespace {

// A list of at most `capacity` products at the start of the scratch; gemm_many's scratch follows.
class ProductList {
 public:
  static int64_t bytes(int64_t capacity) {
    return (capacity * static_cast<int64_t>(sizeof(GemmProduct)) + 63) / 64 * 64;
  }
  ProductList(const Context& context, int64_t capacity)
      : context_(context), products_(static_cast<GemmProduct*>(context.scratch)) {
    context_.scratch = static_cast<char*>(context.scratch) + bytes(capacity);
    context_.scratch_bytes = context.scratch_bytes - bytes(capacity);
  }
  void add(const GemmProduct& product) { products_[count_++] = product; }
  void run() { gemm_many(context_, products_, count_); }

 private:
  Context context_;
  GemmProduct* products_;
  int64_t count_ = 0;
};

int64_t element_bytes(DType dtype) { return dtype == DType::kFloat32 ? 4 : 2; }

// The part of a matrix that begins at (row, column), as it lies or transposed.
PanelSource source(ConstMatrix matrix, int64_t row, int64_t column = 0, bool transposed = false) {
  return {
      .data = static_cast<const char*>(matrix.data) + (row * matrix.row_stride + column) * element_bytes(matrix.dtype),
      .dtype = matrix.dtype,
      .row_stride = matrix.row_stride,
      .row_index = nullptr,
      .transposed = transposed};
}
Matrix block(Matrix matrix, int64_t row, int64_t column = 0) {
  matrix.data = static_cast<char*>(matrix.data) + (row * matrix.row_stride + column) * element_bytes(matrix.dtype);
  return matrix;
}
ConstMatrix block(ConstMatrix matrix, int64_t row) {
  matrix.data = static_cast<const char*>(matrix.data) + row * matrix.row_stride * element_bytes(matrix.dtype);
  return matrix;
}
ConstMatrix read_only(Matrix matrix) { return {matrix.data, matrix.dtype, matrix.row_stride}; }
PanelSource as_transposed(PanelSource source) {
  source.transposed = true;
  return source;
}

[[maybe_unused]] bool is_shape(const ExpertShape& s) {
  return s.num_tokens >= 0 && s.num_rows >= 0 && s.num_experts >= 0 && s.hidden >= 0 && s.intermediate >= 0 &&
         is_ascending(s.offsets, s.num_experts, s.num_rows) &&
         (s.row_token ? are_below(s.row_token, s.num_rows, s.num_tokens) : s.num_rows <= s.num_tokens);
}

struct Expert {
  int64_t index, first_row, num_rows;
  const int32_t* row_token;  // or null
};
// Rows of a token matrix [T, D] in the order of an expert's rows.
PanelSource gathered(ConstMatrix matrix, const Expert& e, bool transposed = false) {
  if (!e.row_token) return source(matrix, e.first_row, 0, transposed);
  PanelSource rows = source(matrix, 0, 0, transposed);
  rows.row_index = e.row_token;
  return rows;
}
template <class Body>
void for_each_used_expert(const ExpertShape& shape, const Body& body) {
  for (int64_t e = 0; e < shape.num_experts; ++e) {
    const int64_t first = shape.offsets[e], rows = shape.offsets[e + 1] - first;
    const int32_t* tokens = shape.row_token ? shape.row_token + first : nullptr;
    if (rows > 0) body(Expert{.index = e, .first_row = first, .num_rows = rows, .row_token = tokens});
  }
}

GemmProduct product(int64_t m, int64_t n, int64_t k, PanelSource a, PanelSource b, Matrix c) {
  return {.m = m,
          .n = n,
          .num_parts = 1,
          .accumulate = false,
          .stream = false,
          .parts = {{.a = a, .b = b, .k = k}, {}},
          .c = c};
}

int64_t list_scratch_bytes(int64_t products_per_expert, const ExpertShape& shape, int num_threads) {
  return ProductList::bytes(products_per_expert * shape.num_experts) + gemm_many_scratch_bytes(num_threads);
}

}  // namespace

int64_t expert_forward_scratch_bytes(const ExpertShape& shape, int num_threads) {
  return list_scratch_bytes(1, shape, num_threads);
}

void expert_forward(const Context& context, const ExpertForward& f) {
  DSLITE_CONTRACT(is_shape(f.shape) && is_given(f.weights, f.shape.num_experts));
  DSLITE_CONTRACT(is_usable(context, expert_forward_scratch_bytes(f.shape, context.num_threads)));
  DSLITE_CONTRACT(is_matrix(f.x, f.shape.num_tokens, f.shape.hidden));
  DSLITE_CONTRACT(is_matrix(f.z, f.shape.num_rows, 2 * f.shape.intermediate));
  DSLITE_CONTRACT(!f.y.data || (is_matrix(f.a, f.shape.num_rows, f.shape.intermediate) &&
                                is_matrix(f.y, f.shape.num_rows, f.shape.hidden)));
  const int64_t hidden = f.shape.hidden, width = f.shape.intermediate;
  ProductList first(context, f.shape.num_experts);
  for_each_used_expert(f.shape, [&](const Expert& e) {
    const PanelSource x = gathered(f.x, e);
    const ExpertWeights& w = f.weights[e.index];
    first.add(
        {.m = e.num_rows,
         .n = width,
         .num_parts = 2,
         .accumulate = false,
         .stream = false,
         .parts = {{.a = x, .b = as_transposed(w.gate), .k = hidden}, {.a = x, .b = as_transposed(w.up), .k = hidden}},
         .c = block(f.z, e.first_row),
         .epilogue = {.kind = EpilogueKind::kSwiglu, .a = f.y.data ? block(f.a, e.first_row) : Matrix{}}});
  });
  first.run();
  if (!f.y.data) return;
  ProductList second(context, f.shape.num_experts);
  for_each_used_expert(f.shape, [&](const Expert& e) {
    second.add(product(e.num_rows, hidden, width, source(read_only(f.a), e.first_row),
                       as_transposed(f.weights[e.index].down), block(f.y, e.first_row)));
  });
  second.run();
}

namespace {

int64_t num_ds_panels(const ExpertShape& shape) { return (shape.intermediate + kEpiloguePanel - 1) / kEpiloguePanel; }
int64_t ds_parts_bytes(const ExpertShape& shape) { return (shape.num_rows * num_ds_panels(shape) * 4 + 63) / 64 * 64; }

// ds of each row: its panels' parts in ascending order.
void sum_ds_parts(const ExpertShape& shape, const float* parts, float* ds) {
  const int64_t panels = num_ds_panels(shape);
  for (int64_t r = 0; r < shape.num_rows; ++r) {
    ds[r] = 0;
    for (int64_t p = 0; p < panels; ++p) ds[r] += parts[r * panels + p];
  }
}

}  // namespace

int64_t expert_input_gradient_scratch_bytes(const ExpertShape& shape, int num_threads) {
  return ds_parts_bytes(shape) + list_scratch_bytes(1, shape, num_threads);
}

void expert_input_gradient(const Context& whole_context, const ExpertInputGradient& g) {
  DSLITE_CONTRACT(is_shape(g.shape) && is_given(g.weights, g.shape.num_experts));
  DSLITE_CONTRACT(is_usable(whole_context, expert_input_gradient_scratch_bytes(g.shape, whole_context.num_threads)));
  DSLITE_CONTRACT(is_matrix(g.d_out, g.shape.num_tokens, g.shape.hidden));
  DSLITE_CONTRACT(is_matrix(g.z, g.shape.num_rows, 2 * g.shape.intermediate));
  DSLITE_CONTRACT(is_matrix(g.dz, g.shape.num_rows, 2 * g.shape.intermediate));
  DSLITE_CONTRACT(!g.scaled_a.data || is_matrix(g.scaled_a, g.shape.num_rows, g.shape.intermediate));
  DSLITE_CONTRACT(is_matrix(g.dx_rows, g.shape.num_rows, g.shape.hidden));
  DSLITE_CONTRACT(!g.accumulate || g.dx_rows.dtype == DType::kFloat32);
  const int64_t hidden = g.shape.hidden, width = g.shape.intermediate;
  float* ds_parts = static_cast<float*>(whole_context.scratch);
  Context context = whole_context;
  context.scratch = static_cast<char*>(context.scratch) + ds_parts_bytes(g.shape);
  context.scratch_bytes -= ds_parts_bytes(g.shape);
  ProductList first(context, g.shape.num_experts);
  for_each_used_expert(g.shape, [&](const Expert& e) {
    GemmProduct da =
        product(e.num_rows, width, hidden, gathered(g.d_out, e), g.weights[e.index].down, block(g.dz, e.first_row));
    da.epilogue = {.kind = EpilogueKind::kSwigluBackward,
                   .a = g.scaled_a.data ? block(g.scaled_a, e.first_row) : Matrix{},
                   .z = block(g.z, e.first_row),
                   .row_scale = g.row_weights ? g.row_weights + e.first_row : nullptr,
                   .ds_parts = g.ds ? ds_parts + e.first_row * num_ds_panels(g.shape) : nullptr};
    first.add(da);
  });
  first.run();
  if (g.ds) sum_ds_parts(g.shape, ds_parts, g.ds);
  ProductList second(context, g.shape.num_experts);
  for_each_used_expert(g.shape, [&](const Expert& e) {
    const ExpertWeights& w = g.weights[e.index];
    const ConstMatrix dz = read_only(g.dz);
    second.add({.m = e.num_rows,
                .n = hidden,
                .num_parts = 2,
                .accumulate = g.accumulate,
                .stream = false,
                .parts = {{.a = source(dz, e.first_row), .b = w.gate, .k = width},
                          {.a = source(dz, e.first_row, width), .b = w.up, .k = width}},
                .c = block(g.dx_rows, e.first_row)});
  });
  second.run();
}

int64_t expert_weight_gradient_scratch_bytes(const ExpertShape& shape, int num_threads) {
  return list_scratch_bytes(3, shape, num_threads);
}

void expert_weight_gradient(const Context& context, const ExpertWeightGradient& g) {
  DSLITE_CONTRACT(is_shape(g.shape) && is_given(g.gradients, g.shape.num_experts));
  DSLITE_CONTRACT(is_usable(context, expert_weight_gradient_scratch_bytes(g.shape, context.num_threads)));
  DSLITE_CONTRACT(is_matrix(g.x, g.shape.num_tokens, g.shape.hidden));
  DSLITE_CONTRACT(is_matrix(g.d_out, g.shape.num_tokens, g.shape.hidden));
  DSLITE_CONTRACT(is_matrix(g.dz, g.shape.num_rows, 2 * g.shape.intermediate));
  DSLITE_CONTRACT(is_matrix(g.scaled_a, g.shape.num_rows, g.shape.intermediate));
  const int64_t hidden = g.shape.hidden, width = g.shape.intermediate;
  ProductList list(context, 3 * g.shape.num_experts);
  for_each_used_expert(g.shape, [&](const Expert& e) {
    const ExpertGradients& to = g.gradients[e.index];
    const PanelSource x = gathered(g.x, e);
    const auto add = [&](float* gradient, int64_t m, int64_t n, PanelSource a, PanelSource b) {
      if (!gradient) return;
      GemmProduct whole =
          product(m, n, e.num_rows, a, b, {.data = gradient, .dtype = DType::kFloat32, .row_stride = n});
      whole.accumulate = to.accumulate;
      whole.stream = true;  // read again by the optimizer alone
      list.add(whole);
    };
    add(to.gate, width, hidden, source(g.dz, e.first_row, 0, true), x);
    add(to.up, width, hidden, source(g.dz, e.first_row, width, true), x);
    add(to.down, hidden, width, gathered(g.d_out, e, true), source(g.scaled_a, e.first_row));
  });
  list.run();
}

}  // namespace dslite::kernels
