// p-norm distances between all pairs of rows, and their gradients.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>

#include "moka/ops/complex/complex.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/indexing/indexing.h"
#include "moka/ops/linalg/linalg.h"
#include "moka/ops/reduction/lines.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
constexpr Sample shapes4(Size a, Size b, Size c, Size d) {
  Sample s = shapes(a, b, c);
  s.tensors.add(sample_tensor(d));
  return s.in(Domain::Positive, 3).no_gradient();
}

enum class Norm { Count, One, Two, Largest, Power };
Norm norm_of(const Frame& f, double p) {
  MOKA_CHECK(p >= 0, f.name(), ": p must not be negative, got ", p);
  return p == 0          ? Norm::Count
         : p == 1        ? Norm::One
         : p == 2        ? Norm::Two
         : std::isinf(p) ? Norm::Largest
                         : Norm::Power;
}
template <class T>
T distance(Norm norm, double p, const T* a, const T* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) {
    double d = std::fabs(double(a[i]) - double(b[i]));
    switch (norm) {
      case Norm::Count: sum += d != 0; break;
      case Norm::One: sum += d; break;
      case Norm::Two: sum += d * d; break;
      case Norm::Largest: sum = d > sum || d != d ? d : sum; break;
      case Norm::Power: sum += std::pow(d, p); break;
    }
  }
  return static_cast<T>(norm == Norm::Two     ? std::sqrt(sum)
                        : norm == Norm::Power ? std::pow(sum, 1 / p)
                                              : sum);
}
// d(distance)/d(a[i]): sign(d) |d|^(p - 1) / distance^(p - 1); 0 where the distance is 0.
double slope(Norm norm, double p, double d, double distance) {
  double sign = d > 0 ? 1 : d < 0 ? -1 : 0, size = std::fabs(d);
  if (distance == 0 && norm != Norm::One) return 0;
  switch (norm) {
    case Norm::Count: return 0;
    case Norm::One: return sign;
    case Norm::Two: return d / distance;
    case Norm::Largest: return size == distance ? sign : 0;
    case Norm::Power: return size == 0 ? 0 : sign * std::pow(size / distance, p - 1);
  }
  return 0;
}

// x1 [..., rows, width], x2 [..., columns, width], both with the broadcast batch, contiguous.
struct Pairs {
  Dims batch;
  int64_t count = 1, rows = 0, columns = 0, width = 0;
  Dims result;
};
Pairs pairs_of(const Frame& f, int first) {
  const Tensor &a = floating_argument(f, first), &b = floating_argument(f, first + 1);
  MOKA_CHECK(a.dim() >= 2 && b.dim() >= 2, f.name(),
             ": x1 and x2 must have at least two dimensions, got shapes ", a.sizes(), " and ", b.sizes());
  check_same_dtype(f, first + 1, first);
  Pairs p;
  p.rows = a.size(a.dim() - 2);
  p.columns = b.size(b.dim() - 2);
  p.width = a.size(a.dim() - 1);
  MOKA_CHECK(b.size(b.dim() - 1) == p.width, f.name(),
             ": x1 and x2 must have the same number of columns, got shapes ", a.sizes(), " and ", b.sizes());
  p.batch = broadcast_shape(a.sizes().first(static_cast<size_t>(a.dim() - 2)),
                            b.sizes().first(static_cast<size_t>(b.dim() - 2)), f.name());
  p.count = checked_numel(p.batch, "cdist");
  p.result = p.batch;
  p.result.push_back(p.rows);
  p.result.push_back(p.columns);
  return p;
}
Tensor with_batch(const Tensor& x, const Pairs& p, int64_t rows) {
  Dims sizes = p.batch;
  sizes.push_back(rows);
  sizes.push_back(p.width);
  Tensor full = new_tensor(sizes, kernel_dtype(x.dtype()));
  copy_elements(x, full);
  return full;
}
void cdist_shape(Frame& f) {
  norm_of(f, f.number(2));
  f.output(0, pairs_of(f, 0).result, f.tensor(0).dtype());
}
template <class T>
void distances(const Frame& f, const Pairs& s, const T* a, const T* b, T* out) {
  double p = f.number(2);
  Norm norm = norm_of(f, p);
  parallel_for(0, s.count * s.rows, 4096 / (s.columns * s.width + 1) + 1, [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; r++) {
      const T *row = a + r * s.width, *others = b + r / s.rows * s.columns * s.width;
      T* to = out + r * s.columns;
      if (norm == Norm::One || norm == Norm::Two) {
        row_differences(norm == Norm::Two, s.columns, s.width, row, others, to);
        if (norm == Norm::Two)
          for (int64_t c = 0; c < s.columns; c++) to[c] = std::sqrt(to[c]);
        continue;
      }
      for (int64_t c = 0; c < s.columns; c++) to[c] = distance(norm, p, row, others + c * s.width, s.width);
    }
  });
}
void cdist_kernel(Frame& f) {
  Pairs s = pairs_of(f, 0);
  Tensor a = with_batch(f.tensor(0), s, s.rows), b = with_batch(f.tensor(1), s, s.columns);
  KernelOutput out(f, 0);
  if (a.dtype() == DType::F64) distances(f, s, a.data<double>(), b.data<double>(), out.data<double>());
  else distances(f, s, a.data<float>(), b.data<float>(), out.data<float>());
  out.finish();
}
// Gradient with respect to x1 [batch, rows, width].
void cdist_backward_shape(Frame& f) {
  floating_argument(f, 0);
  Pairs s = pairs_of(f, 1);
  check_shape(f, 0, s.result);
  check_shape(f, 3, s.result);
  Dims sizes = s.batch;
  sizes.push_back(s.rows);
  sizes.push_back(s.width);
  f.output(0, sizes, f.tensor(1).dtype());
}
template <class T>
void distances_gradient(const Frame& f, const Pairs& s, const T* dy, const T* a, const T* b, const T* y,
                        T* out) {
  double p = f.number(4);
  Norm norm = norm_of(f, p);
  parallel_for(0, s.count * s.rows, 4096 / (s.columns * s.width + 1) + 1, [&](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; r++)
      for (int64_t i = 0; i < s.width; i++) {
        double sum = 0;
        for (int64_t c = 0; c < s.columns; c++) {
          double d = double(a[r * s.width + i]) - double(b[(r / s.rows * s.columns + c) * s.width + i]);
          sum += double(dy[r * s.columns + c]) * slope(norm, p, d, double(y[r * s.columns + c]));
        }
        out[r * s.width + i] = static_cast<T>(sum);
      }
  });
}
void cdist_backward_kernel(Frame& f) {
  Pairs s = pairs_of(f, 1);
  Tensor a = with_batch(f.tensor(1), s, s.rows), b = with_batch(f.tensor(2), s, s.columns);
  Tensor dy = as_contiguous(to_dtype(f.tensor(0), a.dtype())),
         y = as_contiguous(to_dtype(f.tensor(3), a.dtype()));
  KernelOutput out(f, 0);
  if (a.dtype() == DType::F64)
    distances_gradient(f, s, dy.data<double>(), a.data<double>(), b.data<double>(), y.data<double>(),
                       out.data<double>());
  else
    distances_gradient(f, s, dy.data<float>(), a.data<float>(), b.data<float>(), y.data<float>(),
                       out.data<float>());
  out.finish();
}

// The same in differentiable operators: a norm's gradient for every pair; all its largest elements get the whole.
Tensor pair_gradient(const Tensor& dy, const Tensor& d, const Tensor& y, double p) {
  if (!std::isinf(p)) return vector_norm_backward(dy, d, y, p, Dims{-1}, false);
  return sgn(d) * where(eq(abs(d), unsqueeze(y, -1)), unsqueeze(dy, -1), 0);
}
void cdist_gradient_parts(const Any* in, Any* out) {
  Tensor d = unsqueeze(in[1].tensor(), -2) - unsqueeze(in[2].tensor(), -3);
  Tensor each = pair_gradient(in[0].tensor(), d, in[3].tensor(), in[4].to_double());
  out[0] = Any(sum(each, Dims{-2}));
}

// ---- pdist: the upper triangle of cdist(x, x)
void pdist_shape(Frame& f) {
  const Tensor& x = floating_argument(f, 0);
  MOKA_CHECK(x.dim() == 2, f.name(), ": input must be a matrix, got shape ", x.sizes());
  norm_of(f, f.number(1));
  const int64_t sizes[] = {checked_mul(x.size(0), x.size(0) - (x.size(0) > 0), "pdist") / 2};
  f.output(0, sizes, x.dtype());
}
void pdist_kernel(Frame& f) {
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0)));
  double p = f.number(1);
  Norm norm = norm_of(f, p);
  KernelOutput out(f, 0);
  auto run = [&](auto zero) {
    using T = decltype(zero);
    int64_t n = x.size(0), width = x.size(1);
    parallel_for(0, n, 4096 / (n * width + 1) + 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; i++) {
        T* to = out.data<T>() + i * n - i * (i + 1) / 2;
        for (int64_t j = i + 1; j < n; j++)
          *to++ = distance(norm, p, x.data<T>() + i * width, x.data<T>() + j * width, width);
      }
    });
  };
  if (x.dtype() == DType::F64) run(double());
  else run(float());
  out.finish();
}
void pdist_backward_shape(Frame& f) {
  const Tensor &x = floating_argument(f, 1), &dy = floating_argument(f, 0);
  MOKA_CHECK(x.dim() == 2, f.name(), ": input must be a matrix, got shape ", x.sizes());
  const int64_t sizes[] = {checked_mul(x.size(0), x.size(0) - (x.size(0) > 0), "pdist") / 2};
  check_shape(f, 0, sizes);
  check_shape(f, 2, dy.sizes());
  norm_of(f, f.number(3));
  f.output(0, x.sizes(), x.dtype());
}
void pdist_backward_kernel(Frame& f) {
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(1)));
  Tensor dy = as_contiguous(to_dtype(f.tensor(0), x.dtype())),
         y = as_contiguous(to_dtype(f.tensor(2), x.dtype()));
  double p = f.number(3);
  Norm norm = norm_of(f, p);
  KernelOutput out(f, 0);
  auto run = [&](auto zero) {
    using T = decltype(zero);
    int64_t n = x.size(0), width = x.size(1), at = 0;
    T* to = out.data<T>();
    std::fill_n(to, n * width, T(0));
    for (int64_t i = 0; i < n; i++)
      for (int64_t j = i + 1; j < n; j++, at++)
        for (int64_t k = 0; k < width; k++) {
          double d = double(x.data<T>()[i * width + k]) - double(x.data<T>()[j * width + k]);
          T g = static_cast<T>(double(dy.data<T>()[at]) * slope(norm, p, d, double(y.data<T>()[at])));
          to[i * width + k] += g;
          to[j * width + k] -= g;
        }
  };
  if (x.dtype() == DType::F64) run(double());
  else run(float());
  out.finish();
}
void pdist_gradient_parts(const Any* in, Any* out) {
  const Tensor& x = in[1].tensor();
  const int64_t n = x.size(0);
  Tensor pairs = triu_indices(n, n, int64_t(1));
  Tensor i = select(pairs, 0, int64_t(0)), j = select(pairs, 0, int64_t(1));
  Tensor d = index_select(x, 0, i) - index_select(x, 0, j);
  Tensor each = pair_gradient(in[0].tensor(), d, in[2].tensor(), in[3].to_double());
  out[0] = Any(index_add_zeros(each, x.sizes(), 0, i) - index_add_zeros(each, x.sizes(), 0, j));
}
}  // namespace

constinit const Op cdist_op{
    .schema = "cdist(Tensor x1, Tensor x2, float p=2.0, str? compute_mode=None) -> Tensor",
    .doc = "p-norm distances between the rows of x1 [..., n, width] and x2 [..., m, width].",
    .method = "function",
    .shape = cdist_shape,
    .kernels = {KernelRow{.name = "loop", .run = cdist_kernel}},
    .derivative = {wrt("x1", [](auto dy, auto x1, auto x2, auto p, auto,
                                auto y) { return cdist_backward(dy, x1, x2, y, p); }),
                   wrt("x2",
                       [](auto dy, auto x1, auto x2, auto p, auto, auto y) {
                         return cdist_backward(transpose(dy, -1, -2), x2, x1, transpose(y, -1, -2), p);
                       })},
    .onnx = none("an operator of a contributed domain"),
    .netdef = none("Caffe2 has no such operator"),
    .autocast = Autocast::Float32,
    .samples = {shapes({3, 4}, {2, 4}), shapes({2, 3, 4}, {1, 2, 4}).with("p", 1.0), shapes({0, 4}, {2, 4})},
};
constinit const Op cdist_backward_op{
    .schema = "cdist_backward(Tensor grad, Tensor x1, Tensor x2, Tensor result, float p) -> Tensor",
    .doc = "Gradient of cdist with respect to x1, in the broadcast batch.",
    .method = "function",
    .shape = cdist_backward_shape,
    .kernels = {KernelRow{.name = "loop", .run = cdist_backward_kernel}},
    .body = eager_body(cdist_gradient_parts),
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shapes4({3, 2}, {3, 4}, {2, 4}, {3, 2}).with("p", 2.0),
                shapes4({1, 1}, {1, 4}, {1, 4}, {1, 1}).with("p", 1.0)},
};
constinit const Op pdist_op{
    .schema = "pdist(Tensor input, float p=2.0) -> Tensor",
    .doc = "p-norm distances of all pairs of rows, in the order of the upper triangle.",
    .method = "function",
    .shape = pdist_shape,
    .kernels = {KernelRow{.name = "loop", .run = pdist_kernel}},
    .derivative = {wrt("input", [](auto dy, auto x, auto p, auto y) { return pdist_backward(dy, x, y, p); })},
    .onnx = none("an operator of a contributed domain"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shape(3, 4), shape(4, 2).with("p", 1.0), shape(1, 2)},
};
constinit const Op pdist_backward_op{
    .schema = "pdist_backward(Tensor grad, Tensor input, Tensor result, float p) -> Tensor",
    .doc = "Gradient of pdist.",
    .method = "function",
    .shape = pdist_backward_shape,
    .kernels = {KernelRow{.name = "loop", .run = pdist_backward_kernel}},
    .body = eager_body(pdist_gradient_parts),
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shapes({3}, {3, 4}, {3}).in(Domain::Positive, 2).with("p", 2.0),
                shapes({1}, {2, 2}, {1}).with("p", 1.0)},
};

}  // namespace moka::ops
