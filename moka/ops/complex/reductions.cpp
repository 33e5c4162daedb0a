// Sums, products and variances of complex numbers: kernel rows added to operators that exist, as a back end would. What is
// linear runs on the parts, which lie side by side in memory.
// SPDX-License-Identifier: Apache-2.0
#include <complex>
#include <vector>

#include "moka/base/parallel.h"
#include "moka/ops/complex/complex.h"
#include "moka/ops/complex/kernels.h"
#include "moka/ops/define.h"
#include "moka/ops/linear/linear.h"
#include "moka/ops/reduction/geometry.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
std::string_view needs_complex(const Frame& f) {
  for (size_t i = 0; i < f.outs.size(); i++)
    if (f.outs[i] && is_complex(f.outs[i].dtype())) return {};
  for (int i = 0; i < f.count; i++)
    if (f.args[i].tag == Tag::Tensor && is_complex(f.tensor(i).dtype())) return {};
  return "is for complex numbers";
}
Tensor converted(const Tensor& t, DType dtype) { return t.dtype() == dtype ? t : to_dtype(t, dtype); }
// The dimensions of argument i as numbers, all when None, so that the dimension of the parts stays.
Dims dims_of(const Frame& f, int i, int ndim) {
  DimSet set = dims_argument(f, i, ndim);
  Dims dims;
  for (int d = 0; d < ndim; d++)
    if (set >> d & 1) dims.push_back(d);
  return dims;
}

// Calls run(parts of the operand) without layers and writes what it gives to the parts of the result.
template <class F>
void on_parts(Frame& f, F run) {
  LayersOff off(~0u);
  const Tensor& out = f.outs[0];
  Tensor parts = run(view_as_real(converted(f.tensor(0), out.dtype())));
  if (out.numel()) copy_elements(parts, view_as_real(out));
}
void sum_run(Frame& f) {
  int n = f.tensor(0).dim();
  on_parts(f, [&](const Tensor& x) { return n == 0 ? x : Tensor(sum(x, dims_of(f, 1, n), f.flag(2))); });
}
void mean_run(Frame& f) {
  int n = f.tensor(0).dim();
  on_parts(f, [&](const Tensor& x) { return n == 0 ? x : Tensor(mean(x, dims_of(f, 1, n), f.flag(2))); });
}
void mean_backward_run(Frame& f) {
  Dims sizes = ints_argument(f, 1), dims = dims_of(f, 2, static_cast<int>(sizes.size()));
  if (sizes.empty()) return copy_elements(f.tensor(0), f.outs[0]);
  sizes.push_back(2);
  on_parts(f, [&](const Tensor& x) { return mean_backward(x, sizes, dims, f.flag(3)); });
}
void cumsum_run(Frame& f) {
  int n = f.tensor(0).dim();
  on_parts(f,
           [&](const Tensor& x) { return n == 0 ? x : Tensor(cumsum(x, int64_t(dim_argument(f, 1, n)))); });
}
void cumsum_backward_run(Frame& f) {
  int n = f.tensor(0).dim();
  on_parts(f, [&](const Tensor& x) {
    return n == 0 ? x : Tensor(cumsum_backward(x, int64_t(dim_argument(f, 1, n))));
  });
}

// |x - mean|^2 is the sum of both parts' squares.
void var_run(Frame& f) {
  LayersOff off(~0u);
  Tensor parts = view_as_real(f.tensor(0));
  int n = f.tensor(0).dim();
  Tensor re = select(parts, -1, int64_t(0)), im = select(parts, -1, int64_t(1));
  Dims dims = dims_of(f, 1, n);
  copy_elements(var(re, dims, f.args[2], f.flag(3)) + var(im, dims, f.args[2], f.flag(3)), f.outs[0]);
}
void var_backward_run(Frame& f) {
  LayersOff off(~0u);
  Tensor parts = view_as_real(f.tensor(1)), out = view_as_real(f.outs[0]);
  for (int64_t k : {0, 1})
    copy_elements(var_backward(f.tensor(0), select(parts, -1, k), f.args[2], f.args[3], f.args[4]),
                  select(out, -1, k));
}

template <class F>
void with_complex(const Tensor& t, F run) {
  MOKA_CHECK_KIND(NotImplemented, t.dtype() == DType::C64 || t.dtype() == DType::C128,
                  "products and scans: not defined for ", t.dtype(), "; convert it to complex64");
  if (t.dtype() == DType::C64) run(std::complex<float>());
  else run(std::complex<double>());
}
void check_complex_result(const Frame& f) {
  MOKA_CHECK_KIND(NotImplemented, is_complex(f.outs[0].dtype()), f.name(), ": a product of ",
                  f.tensor(0).dtype(), " cannot be given as ", f.outs[0].dtype(),
                  "; take the real part first");
}
void prod_run(Frame& f) {
  check_complex_result(f);
  const Tensor& out = f.outs[0];
  Tensor x = with_dims_last(converted(f.tensor(0), out.dtype()), dims_argument(f, 1, f.tensor(0).dim()));
  int64_t rows = out.numel(), n = rows ? x.numel() / rows : 0;
  with_complex(x, [&](auto zero) {
    using C = decltype(zero);
    for (int64_t r = 0; r < rows; r++) {
      C product(1);
      for (int64_t i = 0; i < n; i++) product *= x.data<C>()[r * n + i];
      out.data<C>()[r] = product;
    }
  });
}
// d(product)/d(x[i]) = the conjugate product of all others.
void prod_backward_run(Frame& f) {
  const Tensor& input = f.tensor(1);
  DimSet dims = dims_argument(f, 2, input.dim());
  Tensor x = with_dims_last(input, dims), grad = as_contiguous(f.tensor(0)),
         back = new_tensor(x.sizes(), x.dtype());
  int64_t n = reduced_count(input.sizes(), dims), rows = grad.numel();
  with_complex(x, [&](auto zero) {
    using C = decltype(zero);
    const C* p = x.data<C>();
    C* to = back.data<C>();
    for (int64_t r = 0; r < rows; r++, p += n, to += n) {
      C before(1), after = grad.data<C>()[r];
      for (int64_t i = 0; i < n; i++) to[i] = before, before *= std::conj(p[i]);
      for (int64_t i = n; i-- > 0;) to[i] *= after, after *= std::conj(p[i]);
    }
  });
  Dims strides(static_cast<size_t>(input.dim()));
  int at = 0;
  for (int pass = 0; pass < 2; pass++)
    for (int d = 0; d < input.dim(); d++)
      if ((dims >> d & 1) == static_cast<DimSet>(pass)) strides[static_cast<size_t>(d)] = back.stride(at++);
  copy_elements(strided_view(back, input.sizes(), strides, 0), f.outs[0]);
}

// Runs line(first, step, count) along dimension d of contiguous tensors.
template <class F>
void for_each_line(const Tensor& t, int d, F line) {
  int64_t n = t.dim() ? t.size(d) : 1, inner = t.dim() ? t.stride(d) : 1, lines = n ? t.numel() / n : 0;
  for (int64_t k = 0; k < lines; k++) line(k / inner * inner * n + k % inner, inner, n);
}
void cumprod_run(Frame& f) {
  check_complex_result(f);
  const Tensor& out = f.outs[0];
  Tensor x = as_contiguous(converted(f.tensor(0), out.dtype()));
  with_complex(x, [&](auto zero) {
    using C = decltype(zero);
    for_each_line(x, dim_argument(f, 1, x.dim()), [&](int64_t at, int64_t step, int64_t n) {
      C product(1);
      for (int64_t i = 0; i < n; i++, at += step) out.data<C>()[at] = product *= x.data<C>()[at];
    });
  });
}
// dx[i] = sum over k >= i of dy[k] times the conjugate product of x[j], j <= k, but x[i].
void cumprod_backward_run(Frame& f) {
  Tensor dy = as_contiguous(f.tensor(0)), x = as_contiguous(converted(f.tensor(1), dy.dtype()));
  with_complex(dy, [&](auto zero) {
    using C = decltype(zero);
    const C *g = dy.data<C>(), *v = x.data<C>();
    C* to = f.outs[0].data<C>();
    for_each_line(x, dim_argument(f, 2, x.dim()), [&](int64_t at, int64_t step, int64_t n) {
      C before(1);
      for (int64_t i = 0; i < n; i++) {
        C others = before, total(0);
        for (int64_t k = i; k < n; k++) {
          if (k > i) others *= std::conj(v[at + k * step]);
          total += g[at + k * step] * others;
        }
        to[at + i * step] = total;
        before *= std::conj(v[at + i * step]);
      }
    });
  });
}
// The recurrences of the kernels for real numbers; backwards the factors are conjugated.
void cumprod_forward_run(Frame& f) {
  Tensor dx = as_contiguous(f.tensor(0)), x = as_contiguous(converted(f.tensor(1), dx.dtype()));
  with_complex(dx, [&](auto zero) {
    using C = decltype(zero);
    for_each_line(x, dim_argument(f, 2, x.dim()), [&](int64_t at, int64_t step, int64_t n) {
      C product(1), tangent(0);
      for (int64_t i = 0; i < n; i++, at += step) {
        const C v = x.data<C>()[at];
        f.outs[0].data<C>()[at] = tangent = tangent * v + product * dx.data<C>()[at];
        product *= v;
      }
    });
  });
}
void cumprod_backward_input_run(Frame& f) {
  Tensor dx = as_contiguous(f.tensor(0)), grad = as_contiguous(converted(f.tensor(1), dx.dtype())),
         x = as_contiguous(converted(f.tensor(2), dx.dtype()));
  with_complex(dx, [&](auto zero) {
    using C = decltype(zero);
    for_each_line(x, dim_argument(f, 3, x.dim()), [&](int64_t at, int64_t step, int64_t n) {
      std::vector<C> product(static_cast<size_t>(n) + 1, C(1)), tangent(static_cast<size_t>(n) + 1, C(0));
      auto factor = [&](const Tensor& t, int64_t i) { return std::conj(t.data<C>()[at + i * step]); };
      for (int64_t i = 0; i < n; i++) {
        const auto k = static_cast<size_t>(i);
        tangent[k + 1] = tangent[k] * factor(x, i) + product[k] * factor(dx, i);
        product[k + 1] = product[k] * factor(x, i);
      }
      C of_tangent(0), of_product(0);
      for (int64_t i = n; i-- > 0;) {
        const auto k = static_cast<size_t>(i);
        of_tangent += grad.data<C>()[at + i * step];
        f.outs[0].data<C>()[at + i * step] = tangent[k] * of_tangent + product[k] * of_product;
        of_product = factor(x, i) * of_product + factor(dx, i) * of_tangent;
        of_tangent *= factor(x, i);
      }
    });
  });
}

// ---- the weight's gradient of an affine map
void linear_backward_weight_run(Frame& f) {
  LayersOff off(~0u);
  const Tensor &dy = f.tensor(0), &x = f.tensor(1);
  Tensor rows = reshape(dy, Dims{-1, dy.dim() == x.dim() ? dy.size(-1) : 1}),
         inputs = reshape(x, Dims{rows.size(0), x.size(-1)});
  copy_elements(reshape(matmul(transpose(rows, 0, 1), inputs), Dims(f.outs[0].sizes())), f.outs[0]);
}
}  // namespace

void add_complex_reductions() {
  auto add = [](std::string_view name, void (*run)(Frame&)) {
    if (find_op(name)) add_kernel(name, KernelRow{.name = "complex", .run = run, .declines = needs_complex});
  };
  add("sum", sum_run);
  add("mean", mean_run);
  add("mean_backward", mean_backward_run);
  add("cumsum", cumsum_run);
  add("cumsum_backward", cumsum_backward_run);
  add("var", var_run);
  add("var_backward", var_backward_run);
  add("prod", prod_run);
  add("prod_backward", prod_backward_run);
  add("cumprod", cumprod_run);
  add("cumprod_backward", cumprod_backward_run);
  add("cumprod_forward", cumprod_forward_run);
  add("cumprod_backward_input", cumprod_backward_input_run);
  add("linear_backward_weight", linear_backward_weight_run);
}

}  // namespace moka::ops
