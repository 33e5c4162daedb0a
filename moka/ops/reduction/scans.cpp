// Running products, extrema and log-sum-exp along a dimension.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/reduction/scans.h"

#include <array>
#include <cmath>

#include "moka/ops/complex/complex.h"
#include "moka/ops/kernels/differentiable.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/pointwise/unsigned.h"
#include "moka/ops/reduction/lines.h"
#include "moka/ops/reduction/scan_derivatives.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
// ---- cumprod
void cumprod_shape(Frame& f) {
  const Tensor& x = is_complex(tensor_argument(f, 0).dtype()) ? f.tensor(0) : ordered_argument(f, 0);
  dim_argument(f, 1, x.dim());
  f.output(0, x.sizes(), named_type(f, 2, is_differentiable(x.dtype()) ? x.dtype() : DType::I64));
}
void cumprod_kernel(Frame& f) {
  Tensor x = f.tensor(0);
  DType type = f.outs[0].dtype();
  if (kernel_dtype(type) != kernel_dtype(x.dtype())) x = to_dtype(x, type);
  x = as_contiguous(in_kernel_dtype(x));
  Stage s = lines_along(x.sizes(), dim_argument(f, 1, x.dim()));
  KernelOutput out(f, 0);
  with_kernel_type(x, [&](auto zero) {
    using T = decltype(zero);
    using W = std::conditional_t<std::is_same_v<T, int64_t>, uint64_t, double>;
    const T* in = x.data<T>();
    T* to = out.data<T>();
    if (x.numel())
      each_line(s, [&](int64_t at) {
        W product = 1;
        for (int64_t k = 0; k < s.count; k++, at += s.inner) {
          product *= static_cast<W>(in[at]);
          to[at] = static_cast<T>(product);
        }
      });
  });
  out.finish();
}
// d(loss)/d(x[i]) = sum over k >= i of dy[k] times the product of all x[j], j <= k, but x[i]. Before the first zero that is
// the sum of dy y divided by x[i]; at the first zero the products skip it; behind it they are all zero.
template <class T>
void product_line(const T* dy, const T* x, T* out, int64_t at, const Stage& s) {
  int64_t zero = 0;
  while (zero < s.count && x[at + zero * s.inner] != 0) zero++;
  double product = 1;
  Scratch<double> tail(zero + 1);  // products up to each place
  for (int64_t k = 0; k < zero; k++) tail[k] = product *= double(x[at + k * s.inner]);
  double sum = 0;
  if (zero < s.count) {
    double others = product, total = 0;
    for (int64_t k = zero; k < s.count; k++) {
      if (k > zero) others *= double(x[at + k * s.inner]);
      total += double(dy[at + k * s.inner]) * others;
      out[at + k * s.inner] = T(0);
    }
    out[at + zero * s.inner] = static_cast<T>(total);
  }
  for (int64_t k = zero; k-- > 0;) {
    sum += double(dy[at + k * s.inner]) * tail[k];
    out[at + k * s.inner] = static_cast<T>(sum / double(x[at + k * s.inner]));
  }
}
void cumprod_backward_shape(Frame& f) {
  const Tensor& grad = differentiable_argument(f, 0);
  check_shape(f, 1, grad.sizes());
  dim_argument(f, 2, grad.dim());
  f.output(0, grad.sizes(), grad.dtype());
}
void cumprod_backward_kernel(Frame& f) {
  Tensor dy = as_contiguous(in_kernel_dtype(f.tensor(0))),
         x = as_contiguous(to_dtype(f.tensor(1), dy.dtype()));
  Stage s = lines_along(x.sizes(), dim_argument(f, 2, x.dim()));
  KernelOutput out(f, 0);
  if (x.numel())
    each_line(s, [&](int64_t at) {
      if (dy.dtype() == DType::F64)
        product_line(dy.data<double>(), x.data<double>(), out.data<double>(), at, s);
      else product_line(dy.data<float>(), x.data<float>(), out.data<float>(), at, s);
    });
  out.finish();
}
// Runs work<T>(tensors, out, at, stage) for the lines of tensors of one shape in one type.
template <size_t N, class F>
void run_lines(Frame& f, int dim, F work) {
  std::array<Tensor, N> in;
  in[0] = as_contiguous(in_kernel_dtype(f.tensor(0)));
  for (size_t i = 1; i < N; i++)
    in[i] = as_contiguous(to_dtype(f.tensor(static_cast<int>(i)), in[0].dtype()));
  const Stage s = lines_along(in[0].sizes(), dim_argument(f, dim, in[0].dim()));
  KernelOutput out(f, 0);
  auto run = [&]<class T>(T* to) {
    std::array<const T*, N> from;
    for (size_t i = 0; i < N; i++) from[i] = in[i].template data<T>();
    each_line(s, [&](int64_t at) { work(from, to, at, s); });
  };
  if (in[0].numel() && in[0].dtype() == DType::F64) run(out.data<double>());
  else if (in[0].numel()) run(out.data<float>());
  out.finish();
}
template <int N>
void alike_shape(Frame& f) {
  const Tensor& first = differentiable_argument(f, 0);
  for (int i = 1; i < N; i++) check_shape(f, i, first.sizes());
  dim_argument(f, N, first.dim());
  f.output(0, first.sizes(), first.dtype());
}
// With products p[k] = p[k - 1] x[k]: t[k] = t[k - 1] x[k] + p[k - 1] dx[k].
void cumprod_forward_kernel(Frame& f) {
  run_lines<2>(f, 2, [](const auto& in, auto* to, int64_t at, const Stage& s) {
    double product = 1, tangent = 0;
    for (int64_t k = 0; k < s.count; k++, at += s.inner) {
      const double x = in[1][at];
      tangent = tangent * x + product * double(in[0][at]);
      product *= x;
      to[at] = static_cast<std::remove_reference_t<decltype(*to)>>(tangent);
    }
  });
}
// Back through the recurrence of cumprod_forward, whose results are weighted by grad.
void cumprod_backward_input_kernel(Frame& f) {
  run_lines<3>(f, 3, [](const auto& in, auto* to, int64_t at, const Stage& s) {
    Scratch<double> product(s.count + 1), tangent(s.count + 1);
    product.data()[0] = 1;
    tangent.data()[0] = 0;
    for (int64_t k = 0; k < s.count; k++) {
      const double x = in[2][at + k * s.inner], dx = in[0][at + k * s.inner];
      tangent.data()[k + 1] = tangent.data()[k] * x + product.data()[k] * dx;
      product.data()[k + 1] = product.data()[k] * x;
    }
    double of_tangent = 0, of_product = 0;
    for (int64_t k = s.count; k-- > 0;) {
      const int64_t i = at + k * s.inner;
      of_tangent += double(in[1][i]);
      to[i] = static_cast<std::remove_reference_t<decltype(*to)>>(tangent.data()[k] * of_tangent +
                                                                  product.data()[k] * of_product);
      of_product = double(in[2][i]) * of_product + double(in[0][i]) * of_tangent;
      of_tangent *= double(in[2][i]);
    }
  });
}

// ---- cummax and cummin: of equal elements the last place; NaN stays once it is met
void extremum_scan_shape(Frame& f) {
  const Tensor& x = ordered_argument(f, 0);
  dim_argument(f, 1, x.dim());
  exact_output(f, 0, x.sizes(), x.dtype());
  exact_output(f, 1, x.sizes(), DType::I64);
}
template <bool Largest>
void extremum_scan(Frame& f) {
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0)));
  Stage s = lines_along(x.sizes(), dim_argument(f, 1, x.dim()));
  KernelOutput values(f, 0);
  int64_t* places = f.outs[1].data<int64_t>();
  with_kernel_type(x, [&](auto zero) {
    using T = decltype(zero);
    const T* in = x.data<T>();
    T* to = values.data<T>();
    if (x.numel())
      each_line(s, [&](int64_t at) {
        T best = in[at];
        int64_t place = 0;
        for (int64_t k = 0; k < s.count; k++, at += s.inner) {
          T v = in[at];
          if (v != v || (best == best && (Largest ? v >= best : v <= best))) {
            best = v;
            place = k;
          }
          to[at] = best;
          places[at] = place;
        }
      });
  });
  values.finish();
}

// ---- logcumsumexp
void floating_scan_shape(Frame& f) {
  const Tensor& x = floating_argument(f, 0);
  dim_argument(f, 1, x.dim());
  exact_output(f, 0, x.sizes(), x.dtype());
}
void logcumsumexp_kernel(Frame& f) {
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0)));
  Stage s = lines_along(x.sizes(), dim_argument(f, 1, x.dim()));
  KernelOutput out(f, 0);
  auto run = [&](auto zero) {
    using T = decltype(zero);
    const T* in = x.data<T>();
    T* to = out.data<T>();
    each_line(s, [&](int64_t at) {
      double high = double(in[at]), sum = 1;  // log of the sum: high + log(sum)
      to[at] = in[at];
      for (int64_t k = 1; k < s.count; k++) {
        at += s.inner;
        double v = double(in[at]);
        if (v == high) sum += 1;
        else if (v > high) {
          sum = sum * std::exp(high - v) + 1;
          high = v;
        } else {
          sum += std::exp(v - high);
        }
        to[at] = static_cast<T>(high + std::log(sum));
      }
    });
  };
  if (x.numel()) {
    if (x.dtype() == DType::F64) run(double());
    else run(float());
  }
  out.finish();
}
void logcumsumexp_forward_shape(Frame& f) {
  floating_argument(f, 0);
  alike_shape<3>(f);
}
// t[k] = sum over i <= k of dx[i] exp(x[i] - y[k]).
void logcumsumexp_forward_kernel(Frame& f) {
  run_lines<3>(f, 3, [](const auto& in, auto* to, int64_t at, const Stage& s) {
    double tangent = 0, before = 0;
    for (int64_t k = 0; k < s.count; k++, at += s.inner) {
      const double y = in[2][at], rise = double(in[1][at]) - y;
      if (k > 0 && y != before) tangent *= std::exp(before - y);
      tangent += double(in[0][at]) * (rise == rise ? std::exp(rise) : 0.0);
      before = y;
      to[at] = static_cast<std::remove_reference_t<decltype(*to)>>(tangent);
    }
  });
}
// dx[i] = sum over k >= i of dy[k] exp(x[i] - y[k]); y never falls, so no factor exceeds 1.
void logcumsumexp_backward_shape(Frame& f) {
  const Tensor& grad = floating_argument(f, 0);
  check_shape(f, 1, grad.sizes());
  check_shape(f, 2, grad.sizes());
  dim_argument(f, 3, grad.dim());
  f.output(0, grad.sizes(), grad.dtype());
}
void logcumsumexp_backward_kernel(Frame& f) {
  Tensor dy = as_contiguous(in_kernel_dtype(f.tensor(0))),
         x = as_contiguous(to_dtype(f.tensor(1), dy.dtype())),
         y = as_contiguous(to_dtype(f.tensor(2), dy.dtype()));
  Stage s = lines_along(x.sizes(), dim_argument(f, 3, x.dim()));
  KernelOutput out(f, 0);
  auto run = [&](auto zero) {
    using T = decltype(zero);
    const T *g = dy.data<T>(), *a = x.data<T>(), *b = y.data<T>();
    T* to = out.data<T>();
    each_line(s, [&](int64_t at) {
      double sum = 0, after = 0;  // sum of dy[j] exp(y[k] - y[j]) over j >= k
      for (int64_t k = s.count; k-- > 0;) {
        int64_t i = at + k * s.inner;
        double here = double(b[i]);
        sum = double(g[i]) + (k + 1 == s.count || here == after ? sum : sum * std::exp(here - after));
        after = here;
        double factor = double(a[i]) - here;
        to[i] = static_cast<T>(sum * (factor == factor ? std::exp(factor) : 0.0));
      }
    });
  };
  if (x.numel()) {
    if (x.dtype() == DType::F64) run(double());
    else run(float());
  }
  out.finish();
}
}  // namespace

constinit const Op cumprod_op{
    .schema = "cumprod(Tensor input, int dim, *, DType? dtype=None) -> Tensor",
    .doc = "Products of the elements up to each place along `dim`; integers are multiplied in int64.",
    .shape = cumprod_shape,
    .kernels = {KernelRow{.name = "loop", .run = cumprod_kernel}},
    .derivative = {wrt("input", [](auto dy, auto x, auto dim) { return cumprod_backward(dy, x, dim); })},
    .batch = over_dims("dim"),
    .onnx = Format{{.map = "CumProd(input, dim, exclusive?=0, reverse?=0)", .since = 26}},
    .netdef = none("Caffe2 has no running product"),
    .dtype_of_out = true,
    .samples = {shape(3, 4).with("dim", 1), shape(2, 3, 4).with("dim", 0), shape(0, 3).with("dim", 0),
                shape().with("dim", 0)},
};
constinit const Op cumprod_backward_op{
    .schema = "cumprod_backward(Tensor grad, Tensor input, int dim) -> Tensor",
    .doc = "Gradient of cumprod, right where elements are zero.",
    .method = "function",
    .shape = cumprod_backward_shape,
    .kernels = {KernelRow{.name = "loop", .run = cumprod_backward_kernel}},
    .derivative = {wrt("grad", [](auto dy, auto, auto x, auto dim) { return cumprod_forward(dy, x, dim); }),
                   wrt("input", [](auto dy, auto grad, auto x,
                                   auto dim) { return cumprod_backward_input(dy, grad, x, dim); })},
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shapes({3, 4}, {3, 4}).with("dim", 1), shapes({3}, {3}).with("dim", 0)},
};
constinit const Op cumprod_forward_op{
    .schema = "cumprod_forward(Tensor dx, Tensor input, int dim) -> Tensor",
    .doc = "How cumprod changes where its input changes by dx; right where elements are zero.",
    .method = "none",
    .shape = alike_shape<2>,
    .kernels = {KernelRow{.name = "loop", .run = cumprod_forward_kernel}},
    .derivative = {wrt("dx", [](auto dy, auto, auto x, auto dim) { return cumprod_backward(dy, x, dim); }),
                   wrt("input", [](auto dy, auto dx, auto x,
                                   auto dim) { return cumprod_backward_input(dx, dy, x, dim); })},
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shapes({3, 4}, {3, 4}).with("dim", 1), shapes({3}, {3}).with("dim", 0)},
};
// The derivatives by grad and input hold where no element is zero.
constinit const Op cumprod_backward_input_op{
    .schema = "cumprod_backward_input(Tensor dx, Tensor grad, Tensor input, int dim) -> Tensor",
    .doc = "The gradient of cumprod_forward(dx, input, dim) by input.",
    .method = "none",
    .shape = alike_shape<3>,
    .kernels = {KernelRow{.name = "loop", .run = cumprod_backward_input_kernel}},
    .derivative = {wrt("dx", [](auto dy, auto, auto grad, auto x,
                                auto dim) { return cumprod_backward_input(dy, grad, x, dim); }),
                   wrt("grad",
                       [](auto dy, auto dx, auto, auto x, auto dim) {
                         auto a = dx / x, b = dy / x;
                         auto pairs = a * (cumsum(b, dim) - b) + b * (cumsum(a, dim) - a);
                         return cumprod(x, dim) * cumsum(pairs, dim);
                       }),
                   wrt("input",
                       [](auto dy, auto dx, auto grad, auto x, auto dim) {
                         // Every pair of places scales with the product of all the others.
                         auto z = conj(x);
                         auto a = conj(dx) / z, b = conj(dy) / z;
                         auto in_a = cumprod_backward_input(dx, grad, x, dim) * b;
                         auto in_b = cumprod_backward_input(dy, grad, x, dim) * a;
                         auto pairs = a * (cumsum(b, dim) - b) + b * (cumsum(a, dim) - a);
                         return cumsum_backward(grad * cumprod(z, dim) * cumsum(pairs, dim), dim) / z - in_a -
                                in_b;
                       })},
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shapes({3, 4}, {3, 4}, {3, 4}).with("dim", 1), shapes({3}, {3}, {3}).with("dim", 0)},
};
#define MOKA_EXTREMUM_SCAN(scan, largest, text)                                                              \
  constinit const Op scan##_op {                                                                             \
    .schema = #scan "(Tensor input, int dim) -> (Tensor values, Tensor indices)",                            \
    .doc = "The " text " element up to each place along `dim` and its place, the last of equal ones.",       \
    .shape = extremum_scan_shape, .kernels = {in_unsigned_order, KernelRow{"loop", extremum_scan<largest>}}, \
    .derivative = {wrt("input", [](auto dy, auto x, auto dim, auto,                                          \
                                   auto places) { return put_selected(dy, places, shape_of(x), dim); })},    \
    .onnx = none("ONNX has no running extrema"), .netdef = none("Caffe2 has no running extrema"),            \
    .samples = {shape(3, 4).in(Domain::Distinct).with("dim", 1),                                             \
                shape(2, 3).in(Domain::Distinct).with("dim", 0), shape(0, 3).with("dim", 0)},                \
  }
MOKA_EXTREMUM_SCAN(cummax, true, "largest");
MOKA_EXTREMUM_SCAN(cummin, false, "smallest");
#undef MOKA_EXTREMUM_SCAN

constinit const Op logcumsumexp_op{
    .schema = "logcumsumexp(Tensor input, int dim) -> Tensor",
    .doc = "log of the sum of exp(x) up to each place along `dim`, without overflow.",
    .shape = floating_scan_shape,
    .kernels = {KernelRow{.name = "loop", .run = logcumsumexp_kernel}},
    .derivative = {wrt(
        "input", [](auto dy, auto x, auto dim, auto y) { return logcumsumexp_backward(dy, x, y, dim); })},
    .onnx = none("written as Exp, CumSum and Log"),
    .netdef = none("Caffe2 has no running sum"),
    .samples = {shape(3, 4).with("dim", 1), shape(2, 3).with("dim", 0), shape(0, 3).with("dim", 0)},
};
constinit const Op logcumsumexp_backward_op{
    .schema = "logcumsumexp_backward(Tensor grad, Tensor input, Tensor result, int dim) -> Tensor",
    .doc = "Gradient of logcumsumexp.",
    .method = "function",
    .shape = logcumsumexp_backward_shape,
    .kernels = {KernelRow{.name = "loop", .run = logcumsumexp_backward_kernel}},
    .derivative = {wrt("grad", [](auto dy, auto, auto x, auto y,
                                  auto dim) { return logcumsumexp_forward(dy, x, y, dim); }),
                   wrt("input", [](auto dy, auto grad, auto x, auto y,
                                   auto dim) { return dy * logcumsumexp_backward(grad, x, y, dim); }),
                   wrt("result", [](auto dy, auto grad, auto x, auto y,
                                    auto dim) { return neg(grad * logcumsumexp_forward(dy, x, y, dim)); })},
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shapes({3, 4}, {3, 4}, {3, 4}).with("dim", 1), shapes({3}, {3}, {3}).with("dim", 0)},
};
constinit const Op logcumsumexp_forward_op{
    .schema = "logcumsumexp_forward(Tensor dx, Tensor input, Tensor result, int dim) -> Tensor",
    .doc = "How logcumsumexp changes where its input changes by dx.",
    .method = "none",
    .shape = logcumsumexp_forward_shape,
    .kernels = {KernelRow{.name = "loop", .run = logcumsumexp_forward_kernel}},
    .derivative = {wrt("dx", [](auto dy, auto, auto x, auto y,
                                auto dim) { return logcumsumexp_backward(dy, x, y, dim); }),
                   wrt("input", [](auto dy, auto dx, auto x, auto y,
                                   auto dim) { return dx * logcumsumexp_backward(dy, x, y, dim); }),
                   wrt("result", [](auto dy, auto dx, auto x, auto y,
                                    auto dim) { return neg(dy * logcumsumexp_forward(dx, x, y, dim)); })},
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shapes({3, 4}, {3, 4}, {3, 4}).with("dim", 1), shapes({3}, {3}, {3}).with("dim", 0)},
};

}  // namespace moka::ops

MOKA_OP_TABLE(scan, MOKA_SCAN_OPS)
MOKA_OP_TABLE(scan_derivative, MOKA_SCAN_DERIVATIVE_OPS)
