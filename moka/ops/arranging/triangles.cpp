// Lower and upper triangles of matrices.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "moka/base/parallel.h"
#include "moka/ops/arranging/arranging.h"
#include "moka/ops/define.h"
#include "moka/ops/kernels/given_output.h"

namespace moka::ops {

namespace {
void shape_triangle(Frame& f) {
  const Tensor& x = f.tensor(0);
  MOKA_CHECK(x.dim() >= 2, f.name(), ": expected at least 2 dimensions, got shape ", x.sizes());
  exact_output(f, 0, x.sizes(), x.dtype());
}
// Row r keeps the columns up to r + diagonal, or from there on.
template <bool Lower>
void run_triangle(Frame& f) {
  Tensor x = as_contiguous(f.tensor(0));
  const Tensor& out = f.outs[0];
  if (x.numel() == 0) return;
  int64_t columns = x.size(-1), rows = x.size(-2), diagonal = f.integer(1);
  size_t item = item_size(x.dtype());
  const char* from = x.data<char>();
  char* to = out.data<char>();
  // Clamped, so that the sum with a row stays in range.
  diagonal = std::clamp(diagonal, -rows - 1, columns + 1);
  parallel_for(0, x.numel() / columns, 16384 / columns + 1, [&](int64_t first, int64_t last) {
    for (int64_t line = first; line < last; line++) {
      int64_t edge = std::clamp<int64_t>(line % rows + diagonal + (Lower ? 1 : 0), 0, columns);
      size_t at = static_cast<size_t>(line * columns) * item, left = static_cast<size_t>(edge) * item,
             all = static_cast<size_t>(columns) * item;
      if (Lower) {
        std::memcpy(to + at, from + at, left);
        std::memset(to + at + left, 0, all - left);
      } else {
        std::memset(to + at, 0, left);
        std::memcpy(to + at + left, from + at + left, all - left);
      }
    }
  });
}
}  // namespace

constinit const Op tril_op{
    .schema = "tril(Tensor input, int diagonal=0) -> Tensor",
    .doc = "The matrices of the last two dimensions with zeros above the given diagonal.",
    .shape = shape_triangle,
    .kernels = {KernelRow{"rows", run_triangle<true>}},
    .derivative = {wrt("input", [](auto dy, auto, auto diagonal) { return tril(dy, diagonal); })},
    .onnx = Format{{.map = "Trilu(input, diagonal, upper=0)", .since = 14}},
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shape(3, 4), shape(2, 3, 3).with("diagonal", -1), shape(0, 3)},
};
constinit const Op triu_op{
    .schema = "triu(Tensor input, int diagonal=0) -> Tensor",
    .doc = "The matrices of the last two dimensions with zeros below the given diagonal.",
    .shape = shape_triangle,
    .kernels = {KernelRow{"rows", run_triangle<false>}},
    .derivative = {wrt("input", [](auto dy, auto, auto diagonal) { return triu(dy, diagonal); })},
    .onnx = Format{{.map = "Trilu(input, diagonal, upper=1)", .since = 14}},
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shape(3, 4), shape(2, 3, 3).with("diagonal", 1), shape(0, 3)},
};

}  // namespace moka::ops
