// Reductions written with others: moments in pairs, sums that pass over NaN, traces.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "moka/ops/creation/creation.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/kernels/differentiable.h"
#include "moka/ops/linalg/linalg.h"
#include "moka/ops/reduction/lines.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
void trace_shape(Frame& f) {
  const Tensor& x = tensor_argument(f, 0);
  MOKA_CHECK(x.dim() == 2, f.name(), ": expected a matrix, got shape ", x.sizes());
  f.output(0, Dims(), is_floating(x.dtype()) || is_complex(x.dtype()) ? x.dtype() : DType::I64);
}
Tensor diagonal_of(const Tensor& x) {
  const int64_t sizes[] = {std::min(x.size(0), x.size(1))}, strides[] = {x.stride(0) + x.stride(1)};
  return strided_view(x, sizes, strides, x.impl()->offset);
}
void trace_kernel(Frame& f) { copy_elements(sum(diagonal_of(f.tensor(0))), f.outs[0]); }
void trace_backward_shape(Frame& f) {
  const Tensor& grad = differentiable_argument(f, 0);
  check_shape(f, 0, Dims());
  Dims sizes = ints_argument(f, 1);
  checked_numel(sizes, "trace_backward");
  MOKA_CHECK(sizes.size() == 2, f.name(), ": sizes must be those of a matrix, got ", sizes);
  f.output(0, sizes, grad.dtype());
}
void trace_backward_kernel(Frame& f) {
  const Tensor& out = f.outs[0];
  std::memset(out.raw_data(), 0, out.bytes());
  if (out.numel()) copy_elements(f.tensor(0), diagonal_of(out));
}
}  // namespace

constinit const Op trace_op{
    .schema = "trace(Tensor input) -> Tensor",
    .doc = "The sum of the diagonal of a matrix.",
    .shape = trace_shape,
    .kernels = {KernelRow{.name = "sum", .run = trace_kernel}},
    .derivative = {wrt("input", [](auto dy, auto x) { return trace_backward(dy, shape_of(x)); })},
    .onnx = none("written as EyeLike, Mul and ReduceSum"),
    .netdef = none("Caffe2 has no diagonals"),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 4), shape(0, 2)},
};
constinit const Op trace_backward_op{
    .schema = "trace_backward(Tensor grad, int[] sizes) -> Tensor",
    .doc = "Gradient of trace: grad on the diagonal of zeros.",
    .method = "function",
    .shape = trace_backward_shape,
    .kernels = {KernelRow{.name = "copy", .run = trace_backward_kernel}},
    .derivative = {wrt("grad", [](auto dy) { return trace(dy); })},
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shape().with("sizes", {3, 4}), shape().with("sizes", {0, 2})},
};

constinit const Op nansum_op{
    .schema = "nansum(Tensor input, int[]? dim=None, bool keepdim=False, *, DType? dtype=None) -> Tensor",
    .doc = "The sum of the elements that are not NaN.",
    .body = body([](auto x, auto dim, auto keepdim, auto dtype) {
      return sum(where(isnan(x), 0, x), dim, keepdim, dtype);
    }),
    .onnx = none("written as IsNaN, Where and ReduceSum"),
    .netdef = none("written as ReplaceNaN and ReduceSum"),
    .samples = {shape(3, 4), shape(2, 3).with("dim", {1}), shape(0)},
};
constinit const Op nanmean_op{
    .schema = "nanmean(Tensor input, int[]? dim=None, bool keepdim=False, *, DType? dtype=None) -> Tensor",
    .doc = "The mean of the elements that are not NaN.",
    .body = body([](auto x, auto dim, auto keepdim, auto dtype) {
      return nansum(x, dim, keepdim, dtype) / sum(logical_not(isnan(x)), dim, keepdim);
    }),
    .onnx = none("written as IsNaN, Where and ReduceSum"),
    .netdef = none("written as ReplaceNaN and ReduceSum"),
    .samples = {shape(3, 4), shape(2, 3).with("dim", {1})},
};
constinit const Op count_nonzero_op{
    .schema = "count_nonzero(Tensor input, int[]? dim=None) -> Tensor",
    .doc = "The number of elements that are not zero.",
    .body = body([](auto x, auto dim) { return sum(ne(x, 0), dim); }),
    .derivative = none("counts do not change continuously"),
    .onnx = none("written as Equal, Not and ReduceSum"),
    .netdef = none("written as NE and ReduceSum"),
    .samples = {shape(3, 4).in(Domain::Integer).no_gradient(), shape(2, 3).with("dim", {1}).no_gradient()},
};
constinit const Op aminmax_op{
    .schema = "aminmax(Tensor input, *, int[]? dim=None, bool keepdim=False) -> (Tensor min, Tensor max)",
    .doc = "The smallest and the largest element.",
    .body = body(
        [](auto x, auto dim, auto keepdim) { return results(amin(x, dim, keepdim), amax(x, dim, keepdim)); }),
    .onnx = none("written as ReduceMin and ReduceMax"),
    .netdef = none("written as ReduceMin and ReduceMax"),
    .samples = {shape(3, 4).in(Domain::Distinct), shape(2, 3).in(Domain::Distinct).with("dim", {1})},
};

// PyTorch's older forms say unbiased where the newer ones say correction=1; a bool is that number.
#define MOKA_UNBIASED(name, outs)                                                                        \
  constinit const Op name##_unbiased_op{                                                                 \
      .schema = #name ".unbiased(Tensor input, int[]? dim, bool unbiased, bool keepdim=False) -> " outs, \
      .doc = #name " with correction 1 where unbiased, else 0.",                                         \
      .body = body([](auto x, auto dim, auto unbiased, auto keepdim) {                                   \
        return MOKA_MOMENT_##name(x, dim, unbiased, keepdim);                                            \
      }),                                                                                                \
      .onnx = none("see " #name),                                                                        \
      .netdef = none("see " #name),                                                                      \
      .samples = {shape(3, 4).with("dim", {1}).with("unbiased", true),                                   \
                  shape(2, 3).with("dim", {0}).with("unbiased", false)},                                 \
  };                                                                                                     \
  constinit const Op name##_all_unbiased_op {                                                            \
    .schema = #name ".all_unbiased(Tensor input, bool unbiased) -> " outs,                               \
    .doc = #name " of all elements with correction 1 where unbiased, else 0.",                           \
    .body = body([](auto x, auto unbiased) { return MOKA_MOMENT_##name(x, nullptr, unbiased, false); }), \
    .onnx = none("see " #name), .netdef = none("see " #name),                                            \
    .samples = {shape(3, 4).with("unbiased", true), shape(2, 3).with("unbiased", false)},                \
  }
#define MOKA_MOMENT_var(x, dim, correction, keepdim) var(x, dim, correction, keepdim)
#define MOKA_MOMENT_std(x, dim, correction, keepdim) std(x, dim, correction, keepdim)
#define MOKA_MOMENT_var_mean(x, dim, correction, keepdim) \
  results(var(x, dim, correction, keepdim), mean(x, dim, keepdim))
#define MOKA_MOMENT_std_mean(x, dim, correction, keepdim) \
  results(std(x, dim, correction, keepdim), mean(x, dim, keepdim))
MOKA_UNBIASED(var, "Tensor");
MOKA_UNBIASED(std, "Tensor");
MOKA_UNBIASED(var_mean, "(Tensor var, Tensor mean)");
MOKA_UNBIASED(std_mean, "(Tensor std, Tensor mean)");
#undef MOKA_UNBIASED

constinit const Op cosine_similarity_op{
    .schema = "cosine_similarity(Tensor x1, Tensor x2, int[1] dim=1, float eps=1e-08) -> Tensor",
    .doc = "The sum along `dim` of the products of x1 and x2, each by its length there, at least eps.",
    .method = "function",
    .body = eager_body([](const Any* in, Any* out) {
      // Both in the broadcast shape, in which `dim` is counted.
      const Tensor zero = zeros_like(mul(in[0].tensor(), in[1].tensor()));
      const auto along = [&](const Any& x) -> Tensor {
        const Tensor whole = add(x.tensor(), zero);
        return whole / clamp_min(linalg_vector_norm(whole, 2, in[2], true), in[3]).tensor();
      };
      out[0] = sum(along(in[0]) * along(in[1]), in[2]);
    }),
    .onnx = none("written by its parts"),
    .netdef = none("Caffe2's takes matrices and has a fixed eps"),
    .samples = {shapes({3, 4}, {3, 4}), shapes({2, 3, 4}, {2, 3, 1}).with("dim", -1)},
};

}  // namespace moka::ops
