// Running the stages of a reduction.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/reduction/support.h"

#include <cstring>

#include "moka/ops/kernels/scratch.h"

namespace moka {

namespace {
template <class T>
void run_stages(Reduce what, const Tensor& x, DimSet dims, T* out) {
  SmallVector<Stage, 4> stages = reduction_stages(x.sizes(), dims);
  const T* in = x.data<T>();
  if (x.numel() == 0) {
    int64_t results = 1;
    for (int d = 0; d < x.dim(); d++)
      if (!(dims >> d & 1)) results *= x.size(d);
    return reduce<T>(what, results, 0, 1, in, out);
  }
  if (stages.empty()) {
    std::memcpy(out, in, static_cast<size_t>(x.numel()) * sizeof(T));
    return;
  }
  if (stages.size() == 1) return reduce<T>(what, stages[0].outer, stages[0].count, stages[0].inner, in, out);
  // Two buffers take turns until the last stage.
  Scratch<T> even(stages[0].outer * stages[0].inner), odd(stages[1].outer * stages[1].inner);
  for (size_t i = 0; i < stages.size(); i++) {
    T* to = i + 1 == stages.size() ? out : i % 2 ? odd.data() : even.data();
    reduce<T>(what, stages[i].outer, stages[i].count, stages[i].inner, in, to);
    in = to;
  }
}
}  // namespace

void reduce_tensor(Reduce what, const Tensor& input, DimSet dims, const Tensor& out) {
  Tensor x = as_contiguous(input);
  switch (x.dtype()) {
    case DType::F32: return run_stages(what, x, dims, out.data<float>());
    case DType::F64: return run_stages(what, x, dims, out.data<double>());
    case DType::I64: return run_stages(what, x, dims, out.data<int64_t>());
    case DType::Bool: return run_stages(what, x, dims, out.data<uint8_t>());
    default: MOKA_ASSERT(!"a reduction of this type");
  }
}

void check_not_empty(const Frame& f, std::span<const int64_t> sizes, DimSet dims) {
  for (size_t d = 0; d < sizes.size(); d++)
    MOKA_CHECK_KIND(Index, !(dims >> d & 1) || sizes[d] != 0, f.name(), "(): Expected reduction dim ", d,
                    " to have non-zero size: there is no result for no elements (shape ", sizes, ")");
}

}  // namespace moka
