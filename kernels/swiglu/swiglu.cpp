// Hands blocks of rows to the threads.
#include "kernels/swiglu/swiglu.h"

#include <algorithm>

#include "kernels/common/dispatch.h"

namespace dslite::kernels {

DSLITE_DECLARE_FOR_EACH_SET(void swiglu_forward_rows(int64_t first, int64_t last, int64_t intermediate, ConstMatrix z,
                                                     Matrix a);
                            void swiglu_backward_rows(int64_t first, int64_t last, const SwigluBackward& arguments);)

namespace {

// About 16K elements a task.
int64_t rows_per_task(int64_t intermediate) { return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, intermediate)); }

struct Forward {
  const Context* context;
  int64_t num_rows, intermediate;
  ConstMatrix z;
  Matrix a;
};
void forward_rows(const Forward& f, int64_t first, int64_t last) {
  DSLITE_DISPATCH(*f.context, swiglu_forward_rows(first, last, f.intermediate, f.z, f.a));
}

struct Backward {
  const Context* context;
  const SwigluBackward* arguments;
};
void backward_rows(const Backward& b, int64_t first, int64_t last) {
  DSLITE_DISPATCH(*b.context, swiglu_backward_rows(first, last, *b.arguments));
}

}  // namespace

void swiglu_forward(const Context& context, int64_t num_rows, int64_t intermediate, ConstMatrix z, Matrix a) {
  Forward forward{&context, num_rows, intermediate, z, a};
  const int64_t step = rows_per_task(intermediate);
  context.parallel_for((num_rows + step - 1) / step,
                       [](void* state, int64_t task, int) {
                         const Forward& f = *static_cast<Forward*>(state);
                         const int64_t rows = rows_per_task(f.intermediate);
                         forward_rows(f, task * rows, std::min(f.num_rows, (task + 1) * rows));
                       },
                       &forward);
}

void swiglu_backward(const Context& context, const SwigluBackward& arguments) {
  Backward backward{&context, &arguments};
  const int64_t step = rows_per_task(arguments.intermediate);
  context.parallel_for((arguments.num_rows + step - 1) / step,
                       [](void* state, int64_t task, int) {
                         const Backward& b = *static_cast<Backward*>(state);
                         const int64_t rows = rows_per_task(b.arguments->intermediate);
                         backward_rows(b, task * rows, std::min(b.arguments->num_rows, (task + 1) * rows));
                       },
                       &backward);
}

}  // namespace dslite::kernels
