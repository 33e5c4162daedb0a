// Variance, standard deviation, log-sum-exp, and truth over dimensions.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "moka/graph/expr.h"
#include "moka/ops/complex/complex.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/kernels/differentiable.h"
#include "moka/ops/kernels/scratch.h"
#include "moka/ops/normalization/kernels.h"
#include "moka/ops/parts.h"
#include "moka/ops/reduction/support.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/tensor/meta.h"

namespace moka::ops {

namespace {
// None stands for the default, 1.
double correction_argument(const Frame& f, int i) { return f.has(i) ? f.number(i) : 1; }
void var_shape(Frame& f) {
  const Tensor& x = differentiable_argument(f, 0);
  DType type = x.dtype() == DType::C64 ? DType::F32 : x.dtype() == DType::C128 ? DType::F64 : x.dtype();
  f.output(0, reduced_sizes(x.sizes(), dims_argument(f, 1, x.dim()), f.flag(3)), type);
}
template <class T>
void moments(const Tensor& x, int64_t rows, int64_t n, double correction, T* mean, T* out) {
  reduce<T>(Reduce::Sum, rows, n, 1, x.data<T>(), mean);
  for (int64_t r = 0; r < rows; r++) mean[r] /= static_cast<T>(n);
  squared_deviations<T>(rows, n, x.data<T>(), mean, out);
  // Not positive: NaN or infinity, as in PyTorch.
  double divisor = static_cast<double>(n) - correction;
  for (int64_t r = 0; r < rows; r++) out[r] = static_cast<T>(out[r] / (divisor > 0 ? divisor : 0.0));
}
void var_kernel(Frame& f) {
  DimSet dims = dims_argument(f, 1, f.tensor(0).dim());
  int64_t n = reduced_count(f.tensor(0).sizes(), dims), rows = f.outs[0].numel();
  Tensor x = with_dims_last(in_kernel_dtype(f.tensor(0)), dims);
  KernelOutput out(f, 0);
  auto run = [&]<class T>(T* to) {
    Scratch<T> mean(rows);
    moments(x, rows, n, correction_argument(f, 2), mean.data(), to);
  };
  if (x.dtype() == DType::F64) run(out.data<double>());
  else run(out.data<float>());
  out.finish();
}
void var_mean_shape(Frame& f) {
  var_shape(f);
  f.output(1, f.outs[0].sizes(), f.tensor(0).dtype());
}
void var_mean_kernel(Frame& f) {
  DimSet dims = dims_argument(f, 1, f.tensor(0).dim());
  int64_t n = reduced_count(f.tensor(0).sizes(), dims), rows = f.outs[0].numel();
  Tensor x = with_dims_last(in_kernel_dtype(f.tensor(0)), dims);
  KernelOutput var(f, 0), mean(f, 1);
  if (x.dtype() == DType::F64)
    moments(x, rows, n, correction_argument(f, 2), mean.data<double>(), var.data<double>());
  else moments(x, rows, n, correction_argument(f, 2), mean.data<float>(), var.data<float>());
  var.finish();
  mean.finish();
}

void var_backward_shape(Frame& f) {
  floating_argument(f, 0);
  const Tensor& x = differentiable_argument(f, 1);
  if (!is_complex(x.dtype())) check_same_dtype(f, 0, 1);
  check_shape(f, 0, reduced_sizes(x.sizes(), dims_argument(f, 2, x.dim()), f.flag(4)));
  f.output(0, x.sizes(), x.dtype());
}
template <class T>
void variance_gradient(const Tensor& x, int64_t rows, int64_t n, double correction, const T* grad, T* out) {
  Scratch<T> mean(rows);
  reduce<T>(Reduce::Sum, rows, n, 1, x.data<T>(), mean.data());
  double divisor = static_cast<double>(n) - correction;
  const T* from = x.data<T>();
  for (int64_t r = 0; r < rows; r++) {
    T m = mean[r] / static_cast<T>(n), scale = static_cast<T>(2 * grad[r] / (divisor > 0 ? divisor : 0.0));
    for (int64_t i = 0; i < n; i++) out[r * n + i] = scale * (from[r * n + i] - m);
  }
}
void var_backward_kernel(Frame& f) {
  const Tensor& input = f.tensor(1);
  if (is_complex(input.dtype())) {  // the variance is that of the real parts and that of the imaginary parts
    for (const Op* part : {&real_op, &imag_op}) {
      ArgRoom args;
      std::copy(f.args, f.args + f.count, &args[0]);
      Tensor half = EagerReading::call(*part, input);
      args[1] = Arg(half);
      Frame frame(f.op, args, f.count);
      run_op(frame);
      copy_elements(frame.outs[0], EagerReading::call(*part, f.outs[0]));
    }
    return;
  }
  DimSet dims = dims_argument(f, 2, input.dim());
  int64_t n = reduced_count(input.sizes(), dims), rows = f.tensor(0).numel();
  Tensor x = with_dims_last(in_kernel_dtype(input), dims), grad = as_contiguous(in_kernel_dtype(f.tensor(0)));
  Tensor back = new_tensor(x.sizes(), x.dtype());
  if (x.dtype() == DType::F64)
    variance_gradient(x, rows, n, correction_argument(f, 3), grad.data<double>(), back.data<double>());
  else variance_gradient(x, rows, n, correction_argument(f, 3), grad.data<float>(), back.data<float>());
  Dims strides(static_cast<size_t>(input.dim()));
  int at = 0;
  for (int pass = 0; pass < 2; pass++)
    for (int d = 0; d < input.dim(); d++)
      if ((dims >> d & 1) == static_cast<DimSet>(pass)) strides[static_cast<size_t>(d)] = back.stride(at++);
  copy_elements(strided_view(back, input.sizes(), strides, 0), f.outs[0]);
}

// An empty list is no dimension here: each element is its own result.
DimSet truth_dims(const Frame& f, int ndim) {
  return !f.args[1].is_none() && ints_argument(f, 1).empty() ? 0 : dims_argument(f, 1, ndim);
}
void truth_shape(Frame& f) {
  const Tensor& x = tensor_argument(f, 0);
  // Bytes once stood for truth values, and still answer with bytes.
  const DType type = x.dtype() == DType::U8 ? DType::U8 : DType::Bool;
  if (f.given & 1) {
    const DType to = f.outs[0].dtype();
    MOKA_CHECK(to == DType::Bool || to == DType::U8, f.name(),
               " only supports bool tensor for result, got: ", to);
  }
  f.output(0, reduced_sizes(x.sizes(), truth_dims(f, x.dim()), f.flag(2)), type);
}
template <Reduce What>
void truth_kernel(Frame& f) {
  const Tensor& out = f.outs[0];
  const Tensor truth = out.dtype() == DType::Bool ? out : new_tensor(out.sizes(), DType::Bool);
  reduce_tensor(What, to_dtype(f.tensor(0), DType::Bool), truth_dims(f, f.tensor(0).dim()), truth);
  if (!(truth == out)) copy_elements(truth, out);
}
}  // namespace

constinit const Op var_op{
    .schema = "var(Tensor input, int[]? dim=None, Number? correction=1, bool keepdim=False) -> Tensor",
    .doc = "Variance over the dimensions `dim`, all when None: sum of (x - mean)^2 / (n - correction).",
    .shape = var_shape,
    .kernels = {KernelRow{.name = "two_passes", .run = var_kernel}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto dim, auto correction, auto keepdim) {
                         return var_backward(dy, input, dim, correction, keepdim);
                       })},
    .batch = over_dims("dim"),
    .onnx = none("written as ReduceMean, Sub, Mul and ReduceMean"),
    .netdef = none("Caffe2's ReduceBackVar and its like take trailing dimensions only"),
    .samples = {shape(3, 4), shape(2, 3, 4).with("dim", {0, 2}).with("correction", 0),
                shape(2, 5).with("dim", {1}).with("keepdim", true)},
};
// B(g, x) = 2 g (x - mean(x)) / (n - correction) is linear in both, and symmetric in x and the gradient of its result.
constinit const Op var_backward_op{
    .schema =
        "var_backward(Tensor grad, Tensor input, int[]? dim=None, Number? correction=1, bool keepdim=False) "
        "-> Tensor",
    .doc = "Gradient of var.",
    .method = "function",
    .shape = var_backward_shape,
    .kernels = {KernelRow{.name = "two_passes", .run = var_backward_kernel}},
    .derivative = {wrt("grad",
                       [](auto dy, auto grad, auto input, auto dim, auto correction, auto keepdim) {
                         return sum(mul(dy, var_backward(ones_like(grad), input, dim, correction, keepdim)),
                                    dim, keepdim);
                       }),
                   wrt("input",
                       [](auto dy, auto grad, auto, auto dim, auto correction, auto keepdim) {
                         return var_backward(grad, dy, dim, correction, keepdim);
                       })},
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shapes({2, 4}, {2, 3, 4}).with("dim", {1}), shapes({}, {5})},
};
constinit const Op var_mean_op{
    .schema =
        "var_mean(Tensor input, int[]? dim=None, Number? correction=1, bool keepdim=False) -> (Tensor var, "
        "Tensor mean)",
    .doc = "Variance and mean over the dimensions `dim`, all when None.",
    .shape = var_mean_shape,
    .kernels = {KernelRow{.name = "two_passes", .run = var_mean_kernel}},
    .derivative = {wrt<2>("input",
                          [](auto dvar, auto dmean, auto input, auto dim, auto correction, auto keepdim) {
                            return var_backward(dvar, input, dim, correction, keepdim) +
                                   mean_backward(dmean, shape_of(input), dim, keepdim);
                          })},
    .batch = over_dims("dim"),
    .onnx = none("written as ReduceMean, Sub, Mul and ReduceMean"),
    .netdef = none("Caffe2's Moments divides by n only"),
    .samples = {shape(3, 4), shape(2, 3, 4).with("dim", {0, 2}).with("correction", 0),
                shape(2, 5).with("dim", {1}).with("keepdim", true)},
};
namespace {
// The gradient of a variance from that of its square root y; 0 where y is 0.
constexpr auto over_root = [](auto dy, auto y) {
  return dy / where(eq(y, 0), std::numeric_limits<double>::infinity(), y * 2);
};
}  // namespace
constinit const Op std_mean_op{
    .schema =
        "std_mean(Tensor input, int[]? dim=None, Number? correction=1, bool keepdim=False) -> (Tensor std, "
        "Tensor mean)",
    .doc = "Standard deviation and mean over the dimensions `dim`, all when None.",
    .body = body([](auto input, auto dim, auto correction, auto keepdim) {
      auto both = op_results(var_mean, input, dim, correction, keepdim);
      return results(sqrt(both[0]), both[1]);
    }),
    .derivative = {wrt<2>(
        "input",
        [](auto dstd, auto dmean, auto input, auto dim, auto correction, auto keepdim, auto std) {
          return var_backward(over_root(dstd, std), input, dim, correction, keepdim) +
                 mean_backward(dmean, shape_of(input), dim, keepdim);
        })},
    .onnx = none("written as the operators of var_mean and Sqrt"),
    .netdef = none("Caffe2's Moments gives the variance"),
    .samples = {shape(3, 4), shape(2, 3, 4).with("dim", {1}).with("correction", 0)},
};
constinit const Op std_op{
    .schema = "std(Tensor input, int[]? dim=None, Number? correction=1, bool keepdim=False) -> Tensor",
    .doc =
        "Standard deviation over the dimensions `dim`: the square root of var. The gradient is 0 where it is "
        "0.",
    .body = body([](auto input, auto dim, auto correction, auto keepdim) {
      return sqrt(var(input, dim, correction, keepdim));
    }),
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto dim, auto correction, auto keepdim, auto y) {
                         return var_backward(over_root(dy, y), input, dim, correction, keepdim);
                       })},
    .onnx = none("written as the operators of var and Sqrt"),
    .netdef = none("Caffe2's ReduceBackStd and its like take trailing dimensions only"),
    .samples = {shape(3, 4), shape(2, 3, 4).with("dim", {1}).with("correction", 0)},
};

namespace {
constexpr auto log_sum_exp = [](auto input, auto size, auto dim, auto keepdim) {
  // Infinite maxima are not subtracted: inf - inf would be NaN.
  auto high = detach(amax(size, dim, true));
  auto shift = masked_fill(high, logical_not(isfinite(high)), 0.0);
  return log(sum(exp(sub(input, shift)), dim, keepdim)) + sum(shift, dim, keepdim);
};
// One pass over rows where they lie together.
bool log_sum_exp_rows(const Tensor& x, const Any& dim, bool keepdim, Tensor& out) {
  if (dim.is_none() || x.numel() == 0 || !x.has_storage() || is_meta(x) || !x.is_contiguous()) return false;
  DimSet dims = 0;
  for (int64_t d : dim.ints()) dims |= DimSet(1) << wrap_dim(d, x.dim(), "logsumexp");
  auto stages = reduction_stages(x.sizes(), dims);
  if (dims == 0 || stages.size() != 1 || stages[0].inner != 1) return false;
  const Stage s = stages[0];
  out = new_tensor(reduced_sizes(x.sizes(), dims, keepdim), x.dtype());
  auto run = [&]<class T>(T* to) {
    const T* from = x.data<T>();
    row_logsumexp(s.outer, s.count, from, to);
    // The largest is infinite: the loop has subtracted it from itself.
    for (int64_t r = 0; r < s.outer; r++)
      if (to[r] != to[r]) {
        T high;
        reduce(Reduce::Maximum, 1, s.count, 1, from + r * s.count, &high);
        to[r] = high;
      }
  };
  x.dtype() == DType::F64 ? run(out.data<double>()) : run(out.data<float>());
  return true;
}
Tensor log_sum_exp_of(const Tensor& input, const Any& dim, const Any& keepdim) {
  const DType d = input.dtype();
  Tensor out;
  if (input.numel() == 0 && input.has_storage() && !is_meta(input)) {  // the sum of nothing is 0
    DimSet dims = 0;
    for (int64_t k : dim.ints()) dims |= DimSet(1) << wrap_dim(k, input.dim(), "logsumexp");
    const DType type = is_floating(d) || is_complex(d) ? d : default_float();
    return full(reduced_sizes(input.sizes(), dims ? dims : ~DimSet(0), keepdim.to_bool()), -__builtin_inf(),
                type);
  }
  if ((d == DType::F32 || d == DType::F64) && log_sum_exp_rows(input, dim, keepdim.to_bool(), out))
    return out;
  Any x(is_floating(d) || is_complex(d) ? input : Tensor(to(input, default_float())));
  return log_sum_exp(x, is_complex(d) ? Any(real(x)) : x, dim, keepdim).tensor();
}
// In graphs, tensors that are known to hold integers become floats; the logarithm of complex ones is for eager calls.
template <class X>
X as_floats(X x) {
  if constexpr (std::is_same_v<X, graph::Expr>) {
    const graph::Type& type = x.value->type;
    if (type.has_dtype && (is_integral(type.dtype) || type.dtype == DType::Bool))
      return to(x, default_float());
  }
  return x;
}
constexpr Body log_sum_exp_body = [] {
  Body b = body([](auto input, auto dim, auto keepdim) {
    auto x = as_floats(input);
    return log_sum_exp(x, x, dim, keepdim);
  });
  b.eager = parts<log_sum_exp_of>().eager;
  return b;
}();
}  // namespace

constinit const Op logsumexp_op{
    .schema = "logsumexp(Tensor input, int[] dim, bool keepdim=False) -> Tensor",
    .doc = "log(sum(exp(x))) over the dimensions `dim`, without overflow.",
    .body = log_sum_exp_body,
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto dim, auto keepdim, auto y) {
                         // Lines of -inf alone have slope 0.
                         auto height = masked_fill(y, eq(y, -__builtin_inf()), 0.0);
                         auto wide = reduction_expand(height, shape_of(input), dim, keepdim);
                         return reduction_expand(dy, shape_of(input), dim, keepdim) * conj(exp(input - wide));
                       })},
    .onnx = "ReduceLogSumExp(input, axes=dim, keepdims=keepdim)",
    .netdef = none("written as ReduceMax, Exp, ReduceSum and Log"),
    .samples = {shape(3, 4).with("dim", {1}), shape(2, 3, 4).with("dim", {0, 2}).with("keepdim", true)},
};

constinit const Op any_op{
    .schema = "any(Tensor input, int[]? dim=None, bool keepdim=False) -> Tensor",
    .doc = "Whether an element is not zero, over the dimensions `dim`, all when None; false of no elements.",
    .shape = truth_shape,
    .kernels = {KernelRow{.name = "vector", .run = truth_kernel<Reduce::Any>}},
    .derivative = none("the result is bool"),
    .batch = over_dims("dim"),
    .onnx = none("written as Cast, ReduceMax and Cast"),
    .netdef = none("Caffe2 has no truth over dimensions"),
    .samples = {shape(3, 4).in(Domain::Boolean).no_gradient(),
                shape(2, 3).in(Domain::Integer).with("dim", {1}).no_gradient(),
                shape(0, 3).with("dim", {0}).no_gradient()},
};
constinit const Op all_op{
    .schema = "all(Tensor input, int[]? dim=None, bool keepdim=False) -> Tensor",
    .doc =
        "Whether all elements are not zero, over the dimensions `dim`, all when None; true of no elements.",
    .shape = truth_shape,
    .kernels = {KernelRow{.name = "vector", .run = truth_kernel<Reduce::All>}},
    .derivative = none("the result is bool"),
    .batch = over_dims("dim"),
    .onnx = none("written as Cast, ReduceMin and Cast"),
    .netdef = none("Caffe2 has no truth over dimensions"),
    .samples = {shape(3, 4).in(Domain::Boolean).no_gradient(),
                shape(2, 3).in(Domain::Integer).with("dim", {1}).no_gradient(),
                shape(0, 3).with("dim", {0}).no_gradient()},
};

}  // namespace moka::ops
