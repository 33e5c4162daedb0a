// Margin losses over classes, one number an item, with their gradients.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "moka/ops/creation/creation.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/indexing/indexing.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/loss/terms.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/reduction/scans.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
// input [batch, classes] or [classes]; items and classes.
struct Rows {
  int64_t items = 1, classes = 0;
  Dims sizes;  // of one number an item
};
Rows rows_of(const Frame& f, const Tensor& x) {
  MOKA_CHECK(x.dim() <= 2 && (x.dim() == 0 || x.sizes().back() != 0), f.name(),
             ": Expected non-empty vector or matrix with optional 0-dim batch size, but got: ", x.sizes());
  Rows r;
  r.classes = x.dim() ? x.sizes().back() : 1;
  if (x.dim() == 2) {
    r.items = x.size(0);
    r.sizes.push_back(r.items);
  }
  return r;
}

// ---- multi_margin: sum over c != t of max(0, margin - x[t] + x[c])^p w[t] / classes.  Arguments from `first`: input,
// target, p, margin, weight.
void check_multi(const Frame& f, int first) {
  const Tensor &x = floating_argument(f, first), &t = tensor_argument(f, first + 1);
  Rows r = rows_of(f, x);
  MOKA_CHECK(is_integral(t.dtype()), f.name(), ": target must hold class indices, got ", t.dtype());
  MOKA_CHECK(t.numel() == r.items && t.dim() <= 1, f.name(),
             ": inconsistent target size: target must have shape ", r.sizes, ", got ", t.sizes());
  int64_t p = f.integer(first + 2);
  MOKA_CHECK_KIND(Value, p == 1 || p == 2, f.name(), ": p must be 1 or 2, got ", p);
  if (f.has(first + 4)) {
    check_same_dtype(f, first + 4, first);
    MOKA_CHECK(f.tensor(first + 4).numel() == r.classes && f.tensor(first + 4).dim() <= 1, f.name(),
               ": inconsistent weight size: weight must have shape [", r.classes, "], got ",
               f.tensor(first + 4).sizes());
  }
}
struct Multi {
  Rows rows;
  Tensor x, target, weight;
  bool squared;
  double margin;
};
Multi multi(const Frame& f, int first) {
  Multi m{rows_of(f, f.tensor(first)),
          as_contiguous(in_kernel_dtype(f.tensor(first))),
          as_contiguous(to_dtype(f.tensor(first + 1), DType::I64)),
          f.has(first + 4) ? as_contiguous(in_kernel_dtype(f.tensor(first + 4))) : Tensor(),
          f.integer(first + 2) == 2,
          f.number(first + 3)};
  for (int64_t i = 0; i < m.rows.items; i++) {
    int64_t t = m.target.data<int64_t>()[i];
    MOKA_CHECK_KIND(Index, t >= 0 && t < m.rows.classes, f.name(), ": target ", i, " is ", t,
                    ", but there are ", m.rows.classes, " classes");
  }
  return m;
}
template <class T>
void multi_forward(const Multi& m, T* out) {
  const T *x = m.x.data<T>(), *w = m.weight ? m.weight.data<T>() : nullptr;
  for (int64_t i = 0; i < m.rows.items; i++, x += m.rows.classes) {
    int64_t t = m.target.data<int64_t>()[i];
    double sum = 0;
    for (int64_t c = 0; c < m.rows.classes; c++) {
      double z = m.margin - double(x[t]) + double(x[c]);
      if (c != t && z > 0) sum += m.squared ? z * z : z;
    }
    out[i] = static_cast<T>(sum * (w ? double(w[t]) : 1.0) / double(m.rows.classes));
  }
}
template <class T>
void multi_gradient(const Multi& m, const T* dy, T* out) {
  const T *x = m.x.data<T>(), *w = m.weight ? m.weight.data<T>() : nullptr;
  for (int64_t i = 0; i < m.rows.items; i++, x += m.rows.classes, out += m.rows.classes) {
    int64_t t = m.target.data<int64_t>()[i];
    double scale = double(dy[i]) * (w ? double(w[t]) : 1.0) / double(m.rows.classes), sum = 0;
    for (int64_t c = 0; c < m.rows.classes; c++) {
      double z = m.margin - double(x[t]) + double(x[c]);
      double g = c != t && z > 0 ? scale * (m.squared ? 2 * z : 1) : 0;
      out[c] = static_cast<T>(g);
      sum += g;
    }
    out[t] = static_cast<T>(-sum);
  }
}
void multi_margin_shape(Frame& f) {
  check_multi(f, 0);
  f.output(0, rows_of(f, f.tensor(0)).sizes, f.tensor(0).dtype());
}
void multi_margin_kernel(Frame& f) {
  Multi m = multi(f, 0);
  KernelOutput out(f, 0);
  if (m.x.dtype() == DType::F64) multi_forward(m, out.data<double>());
  else multi_forward(m, out.data<float>());
  out.finish();
}
void multi_margin_backward_shape(Frame& f) {
  floating_argument(f, 0);
  check_multi(f, 1);
  check_shape(f, 0, rows_of(f, f.tensor(1)).sizes);
  f.output(0, f.tensor(1).sizes(), f.tensor(1).dtype());
}
void multi_margin_backward_kernel(Frame& f) {
  Multi m = multi(f, 1);
  Tensor dy = as_contiguous(to_dtype(f.tensor(0), m.x.dtype()));
  KernelOutput out(f, 0);
  if (m.x.dtype() == DType::F64) multi_gradient(m, dy.data<double>(), out.data<double>());
  else multi_gradient(m, dy.data<float>(), out.data<float>());
  out.finish();
}

// The same gradient in differentiable operators.
void multi_gradient_parts(const Any* in, Any* out) {
  Tensor dy = in[0].tensor(), x = in[1].tensor(), t = to(in[2].tensor(), DType::I64);
  const bool one = x.dim() < 2;
  if (one) x = reshape(x, Dims{1, -1}), dy = reshape(dy, Dims{1}), t = reshape(t, Dims{1});
  t = unsqueeze(t, 1);
  Tensor other = ne(arange(int64_t(0), x.size(1), int64_t(1)), t);
  Tensor z = sub(x, gather(x, 1, t)) + in[4].to_double();
  Tensor scale = unsqueeze(dy, 1) / double(x.size(1));
  if (!in[5].is_none())
    scale = scale * unsqueeze(index_select(reshape(in[5].tensor(), Dims{-1}), 0, reshape(t, Dims{-1})), 1);
  Tensor slope =
      where(logical_and(other, gt(z, 0)), in[3].to_int() == 2 ? scale * z * 2 : expand(scale, z.sizes()), 0);
  Tensor g = where(other, slope, neg(sum(slope, Dims{1}, true)));
  out[0] = Any(reshape(g, in[1].tensor().sizes()));
}

// ---- multilabel_margin: targets of an item are its first classes before a -1.
Tensor labels(const Frame& f, int first) {
  const Tensor &x = floating_argument(f, first), &t = tensor_argument(f, first + 1);
  rows_of(f, x);
  MOKA_CHECK(is_integral(t.dtype()), f.name(), ": target must hold class indices, got ", t.dtype());
  MOKA_CHECK(std::equal(t.sizes().begin(), t.sizes().end(), x.sizes().begin(), x.sizes().end()), f.name(),
             ": inconsistent target size: target must have shape ", x.sizes(), ", got ", t.sizes());
  return t;
}
template <class T, class F>
void each_item(const Frame& f, int first, F item) {
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(first))),
         target = as_contiguous(to_dtype(f.tensor(first + 1), DType::I64));
  Rows r = rows_of(f, x);
  std::vector<char> is_label(static_cast<size_t>(r.classes));
  for (int64_t i = 0; i < r.items; i++) {
    const int64_t* t = target.data<int64_t>() + i * r.classes;
    std::fill(is_label.begin(), is_label.end(), 0);
    int64_t count = 0;
    for (; count < r.classes && t[count] >= 0; count++) {
      MOKA_CHECK_KIND(Index, t[count] < r.classes, f.name(), ": target is ", t[count], ", but there are ",
                      r.classes, " classes");
      is_label[static_cast<size_t>(t[count])] = 1;
    }
    item(i, r.classes, x.data<T>() + i * r.classes, std::span<const int64_t>(t, static_cast<size_t>(count)),
         is_label);
  }
}
template <class T>
void label_forward(const Frame& f, T* out) {
  each_item<T>(f, 0,
               [&](int64_t i, int64_t classes, const T* x, std::span<const int64_t> t, const auto& is_label) {
                 double sum = 0;
                 for (int64_t k : t)
                   for (int64_t c = 0; c < classes; c++)
                     if (!is_label[static_cast<size_t>(c)])
                       sum += std::max(0.0, 1 - (double(x[k]) - double(x[c])));
                 out[i] = static_cast<T>(sum / double(classes));
               });
}
template <class T>
void label_gradient(const Frame& f, const T* dy, T* out) {
  each_item<T>(f, 1,
               [&](int64_t i, int64_t classes, const T* x, std::span<const int64_t> t, const auto& is_label) {
                 T* row = out + i * classes;
                 std::fill_n(row, classes, T(0));
                 T share = dy[i] / static_cast<T>(classes);
                 for (int64_t k : t)
                   for (int64_t c = 0; c < classes; c++)
                     if (!is_label[static_cast<size_t>(c)] && 1 - (x[k] - x[c]) > 0) {
                       row[k] -= share;
                       row[c] += share;
                     }
               });
}
// The same gradient in differentiable operators: over all pairs of a label and another class.
void label_gradient_parts(const Any* in, Any* out) {
  Tensor dy = in[0].tensor(), x = in[1].tensor(), t = to(in[2].tensor(), DType::I64);
  const bool one = x.dim() < 2;
  if (one) x = reshape(x, Dims{1, -1}), dy = reshape(dy, Dims{1}), t = reshape(t, Dims{1, -1});
  Tensor counts = cumprod(to(ge(t, 0), DType::I64), 1);  // 1 before the first -1
  Tensor zero = zeros_like(x);
  // How often each class is a label.
  Tensor often = scatter_add(zero, 1, clamp_min(t, 0), to(counts, x.dtype()));
  Tensor near = gt(unsqueeze(x, 1) - unsqueeze(x, 2) + 1, 0);  // [item, label, other class]
  Tensor pairs = to(near, x.dtype()) * unsqueeze(often, 2) * to(eq(unsqueeze(often, 1), 0), x.dtype());
  Tensor g = (sum(pairs, Dims{1}) - sum(pairs, Dims{2})) * unsqueeze(dy, 1) / double(x.size(1));
  out[0] = Any(reshape(g, in[1].tensor().sizes()));
}
void multilabel_shape(Frame& f) {
  labels(f, 0);
  f.output(0, rows_of(f, f.tensor(0)).sizes, f.tensor(0).dtype());
}
void multilabel_kernel(Frame& f) {
  KernelOutput out(f, 0);
  if (out.tensor().dtype() == DType::F64) label_forward(f, out.data<double>());
  else label_forward(f, out.data<float>());
  out.finish();
}
void multilabel_backward_shape(Frame& f) {
  floating_argument(f, 0);
  labels(f, 1);
  check_shape(f, 0, rows_of(f, f.tensor(1)).sizes);
  f.output(0, f.tensor(1).sizes(), f.tensor(1).dtype());
}
void multilabel_backward_kernel(Frame& f) {
  KernelOutput out(f, 0);
  Tensor dy = as_contiguous(to_dtype(f.tensor(0), out.tensor().dtype()));
  if (dy.dtype() == DType::F64) label_gradient(f, dy.data<double>(), out.data<double>());
  else label_gradient(f, dy.data<float>(), out.data<float>());
  out.finish();
}
}  // namespace

constinit const Op multi_margin_terms_op{
    .schema =
        "multi_margin_terms(Tensor input, Tensor target, int p=1, float margin=1.0, Tensor? weight=None) -> "
        "Tensor",
    .doc =
        "Sum of max(0, margin - x[t] + x[c])^p over the other classes c, times weight[t], over their number.",
    .method = "function",
    .shape = multi_margin_shape,
    .kernels = {KernelRow{.name = "loop", .run = multi_margin_kernel}},
    .derivative = {wrt("input",
                       [](auto dy, auto x, auto t, auto p, auto margin, auto weight) {
                         return multi_margin_backward(dy, x, t, p, margin, weight);
                       }),
                   constants("weight", "a constant of each class")},
    .onnx = none("ONNX has no margin losses"),
    .netdef = none("Caffe2 has no such loss"),
    .autocast = Autocast::Float32,
    .samples = {shapes({3, 4}, {3}).in(Domain::Index, 1, 4),
                shapes({4}, {}).in(Domain::Index, 1, 4).with("p", 2)},
};
constinit const Op multi_margin_backward_op{
    .schema =
        "multi_margin_backward(Tensor grad, Tensor input, Tensor target, int p=1, float margin=1.0, Tensor? "
        "weight=None) -> Tensor",
    .doc = "Gradient of multi_margin_terms with respect to input.",
    .method = "function",
    .shape = multi_margin_backward_shape,
    .kernels = {KernelRow{.name = "loop", .run = multi_margin_backward_kernel}},
    .body = eager_body(multi_gradient_parts),
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shapes({3}, {3, 4}, {3}).in(Domain::Index, 2, 4).no_gradient(),
                shapes({}, {4}, {}).in(Domain::Index, 2, 4).no_gradient()},
};
constinit const Op multilabel_margin_terms_op{
    .schema = "multilabel_margin_terms(Tensor input, Tensor target) -> Tensor",
    .doc = "Sum of max(0, 1 - (x[t] - x[c])) over targets t (those before the first -1) and other classes c.",
    .method = "function",
    .shape = multilabel_shape,
    .kernels = {KernelRow{.name = "loop", .run = multilabel_kernel}},
    .derivative = {wrt("input",
                       [](auto dy, auto x, auto t) { return multilabel_margin_backward(dy, x, t); })},
    .onnx = none("ONNX has no margin losses"),
    .netdef = none("Caffe2 has no such loss"),
    .autocast = Autocast::Float32,
    .samples = {shapes({3, 4}, {3, 4}).in(Domain::Index, 1, 2), shapes({4}, {4}).in(Domain::Index, 1, 2)},
};
constinit const Op multilabel_margin_backward_op{
    .schema = "multilabel_margin_backward(Tensor grad, Tensor input, Tensor target) -> Tensor",
    .doc = "Gradient of multilabel_margin_terms with respect to input.",
    .method = "function",
    .shape = multilabel_backward_shape,
    .kernels = {KernelRow{.name = "loop", .run = multilabel_backward_kernel}},
    .body = eager_body(label_gradient_parts),
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shapes({3}, {3, 4}, {3, 4}).in(Domain::Index, 2, 2).no_gradient(),
                shapes({}, {4}, {4}).in(Domain::Index, 2, 2).no_gradient()},
};

}  // namespace moka::ops
