// Logarithmic ranges, given strides, triangles' indices, and tensors made like another one.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "moka/ops/creation/creation.h"
#include "moka/ops/creation/unset.h"
#include "moka/ops/define.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/parts.h"

namespace moka::ops {

namespace {
Device device_of(const Frame& f, int i, Device otherwise = {}) {
  return f.has(i) ? f.args[i].device : otherwise;
}

// Arguments: start, end, steps, base.
void shape_logspace(Frame& f) {
  MOKA_CHECK(f.integer(2) >= 0, "logspace: number of steps must be non-negative, got ", f.integer(2));
  const int64_t sizes[] = {f.integer(2)};
  // An output of as many elements keeps its shape, as in PyTorch.
  const Tensor* given = f.given & 1 && !f.infer && f.outs[0].numel() == sizes[0] ? &f.outs[0] : nullptr;
  const Dims shape = given ? Dims(given->sizes()) : Dims(sizes);
  f.output(0, shape, named_type(f, 4, default_float()), device_of(f, 5));
}
void run_logspace(Frame& f) {
  const Tensor& out = f.outs[0];
  int64_t n = out.numel();
  // Integers take whole exponents, counted in single precision, as in PyTorch.
  const bool whole = is_integral(out.dtype());
  double start = f.number(0), end = f.number(1), base = f.number(3);
  if (whole && n > 1) {
    start = std::trunc(start);
    end = std::trunc(end);
  }
  double step = n > 1 ? (end - start) / static_cast<double>(n - 1) : 0;
  Tensor exact = new_tensor(out.sizes(), DType::F64);
  if (whole && n > 1)
    step =
        static_cast<double>(static_cast<float>(end) - static_cast<float>(start)) / static_cast<float>(n - 1);
  for (int64_t i = 0; i < n; i++) {
    double exponent = i < n / 2 || n == 1 ? start + step * static_cast<double>(i)
                                          : end - step * static_cast<double>(n - 1 - i);
    exact.data<double>()[i] = std::pow(base, exponent);
  }
  copy_elements(exact, out);
}

void strided_output(Frame& f, std::span<const int64_t> sizes, std::span<const int64_t> strides, DType dtype,
                    Device device) {
  MOKA_CHECK(sizes.size() == strides.size(), f.name(), ": dimensionality of sizes (", sizes.size(),
             ") must match dimensionality of strides (", strides.size(), ")", " strides");
  for (size_t d = 0; d < sizes.size(); d++)
    MOKA_CHECK(sizes[d] >= 0 && strides[d] >= 0, f.name(), ": sizes and strides must not be negative, got ",
               sizes, " and ", strides);
  if (f.infer || f.given & 1) return f.output(0, sizes, dtype, device);
  f.outs.resize(1);
  f.outs[0] = new_strided_tensor(sizes, strides, dtype, device);
}
void shape_strided(Frame& f) {
  strided_output(f, f.ints(0), f.ints(1), named_type(f, 2, default_float()), device_of(f, 3));
}
void shape_like_strided(Frame& f) {
  const Tensor& x = f.tensor(0);
  strided_output(f, f.ints(1), f.ints(2), named_type(f, 3, x.dtype()), device_of(f, 4, x.device()));
}
void shape_permuted(Frame& f) {
  std::span<const int64_t> sizes = f.ints(0), order = f.ints(1);
  MOKA_CHECK(sizes.size() == order.size(),
             "empty_permuted: Number of dimensions in size does not match the length of "
             "the physical_layout; i.e. len(size) = ",
             sizes.size(), " is not equal to len(physical_layout) = ", order.size());
  Dims strides(sizes.size());
  uint64_t seen = 0;
  int64_t step = 1;
  for (size_t i = order.size(); i-- > 0;) {
    int64_t d = order[i];
    MOKA_CHECK(d >= 0 && d < static_cast<int64_t>(order.size()),
               "empty_permuted: Dimension out of range (expected to be between 0 and ", order.size(),
               ", but got ", d, ")");
    MOKA_CHECK(!(seen >> d & 1), "empty_permuted: Duplicate dim not allowed, got ", d, " twice in ", order);
    seen |= uint64_t(1) << d;
    strides[static_cast<size_t>(d)] = step;
    step = checked_mul(step, std::max<int64_t>(sizes[static_cast<size_t>(d)], 1), "empty_permuted");
  }
  strided_output(f, sizes, strides, named_type(f, 2, default_float()), device_of(f, 3));
}
Tensor number_tensor(const Any& number, const Any& dtype, const Any& device) {
  return full(Dims{}, number, dtype.is_none() ? Any(default_float()) : dtype, device).tensor();
}

// Rows and columns of the elements of a triangle, row by row. Arguments: row, col, offset. Row r has the columns below edge(r) (lower) or from it on (upper), in [0, columns].
template <bool Lower>
struct Triangle {
  int64_t rows, columns, offset;
  explicit Triangle(const Frame& f) : rows(f.integer(0)), columns(f.integer(1)) {
    MOKA_CHECK(rows >= 0 && columns >= 0, f.name(), ": rows and columns must not be negative, got ", rows,
               " and ", columns);
    checked_mul(rows, columns, "tril_indices");
    const int64_t most = std::numeric_limits<int64_t>::max() - 1;
    offset = std::clamp(f.integer(2), rows < most ? -rows - 1 : -most, columns < most ? columns + 1 : most);
    offset += Lower ? 1 : 0;
  }
  int64_t edge(int64_t r) const {
    return std::clamp<int64_t>(checked_add(r, offset, "triangle"), 0, columns);
  }
  // Rows before have edge 0, rows from `whole` on have all columns below it.
  int64_t begin() const { return std::clamp<int64_t>(-offset, 0, rows); }
  int64_t whole() const {
    return static_cast<int64_t>(std::clamp<__int128>(static_cast<__int128>(columns) - offset, 0, rows));
  }
  int64_t count() const {
    const int64_t first = begin(), last = std::max(whole(), first);
    int64_t below = (rows - last) * columns;
    if (last > first)
      below += static_cast<int64_t>(static_cast<__int128>(last - first) * (edge(first) + edge(last - 1)) / 2);
    return Lower ? below : rows * columns - below;
  }
};
template <bool Lower>
void shape_triangle(Frame& f) {
  const int64_t sizes[] = {2, Triangle<Lower>(f).count()};
  f.output(0, sizes, named_type(f, 3, DType::I64), device_of(f, 4));
}
template <bool Lower>
void run_triangle(Frame& f) {
  const Tensor& out = f.outs[0];
  Tensor places = out.dtype() == DType::I64 ? out : new_tensor(out.sizes(), DType::I64);
  const Triangle<Lower> t(f);
  const int64_t n = out.size(1), last = t.columns == 0 ? 0 : Lower ? t.rows : std::max(t.whole(), t.begin());
  int64_t* p = places.data<int64_t>();
  for (int64_t r = Lower ? t.begin() : 0, k = 0; r < last; r++) {
    const int64_t edge = t.edge(r);
    for (int64_t c = Lower ? 0 : edge; c < (Lower ? edge : t.columns); c++, k++) {
      p[k] = r;
      p[n + k] = c;
    }
  }
  if (!(places == out)) copy_elements(places, out);
}

Tensor new_like(const Op& op, const Tensor& x, std::span<const int64_t> size, const Any& dtype,
                const Any& device) {
  return EagerReading::call(op, size, dtype.is_none() ? Any(x.dtype()) : dtype,
                            device.is_none() ? Any(x.device()) : device)
      .tensor();
}
template <const Op& op>
Tensor new_of(const Tensor& x, std::span<const int64_t> size, const Any& dtype, const Any& device) {
  return new_like(op, x, size, dtype, device);
}
Tensor new_filled(const Tensor& x, std::span<const int64_t> size, const Any& value, const Any& dtype,
                  const Any& device) {
  return full(size, value, dtype.is_none() ? Any(x.dtype()) : dtype,
              device.is_none() ? Any(x.device()) : device)
      .tensor();
}
}  // namespace

constinit const Op logspace_op{
    .schema =
        "logspace(Number start, Number end, int steps, float base=10.0, *, DType? dtype=None, Device? "
        "device=None) -> Tensor",
    .doc = "base to the power of `steps` evenly spaced exponents from start to end.",
    .method = "function",
    .shape = shape_logspace,
    .kernels = {KernelRow{"fill", run_logspace}},
    .derivative = none("it has no tensor arguments"),
    .onnx = none("a constant in graphs"),
    .netdef = none("a constant in graphs"),
    .samples = {no_tensors().with("start", 0).with("end", 2).with("steps", 5),
                no_tensors().with("start", 1.0).with("end", -1.0).with("steps", 1).with("base", 2.0)},
};
constinit const Op empty_strided_op{
    .schema = "empty_strided(int[] size, int[] stride, *, DType? dtype=None, Device? device=None) -> Tensor",
    .doc = "Uninitialised memory with the given sizes and strides.",
    .method = "function",
    .shape = shape_strided,
    .kernels = {KernelRow{"nothing", leave_unset}},
    .derivative = none("it has no tensor arguments"),
    .onnx = none("uninitialised memory has no value"),
    .netdef = none("uninitialised memory has no value"),
    .effect = Effect::Random,
    .samples = {no_tensors().with("size", {2, 3}).with("stride", {1, 2}),
                no_tensors().with("size", {0}).with("stride", {1})},
};
constinit const Op empty_permuted_op{
    .schema =
        "empty_permuted(int[] size, int[] physical_layout, *, DType? dtype=None, Device? device=None) -> "
        "Tensor",
    .doc = "Uninitialised memory without gaps whose dimensions lie in the given order, the outermost first.",
    .method = "function",
    .shape = shape_permuted,
    .kernels = {KernelRow{"nothing", leave_unset}},
    .derivative = none("it has no tensor arguments"),
    .onnx = none("uninitialised memory has no value"),
    .netdef = none("uninitialised memory has no value"),
    .effect = Effect::Random,
    .samples = {no_tensors().with("size", {2, 3}).with("physical_layout", {1, 0}),
                no_tensors().with("size", {0}).with("physical_layout", {0})},
};
constinit const Op new_empty_strided_op{
    .schema =
        "new_empty_strided(Tensor input, int[] size, int[] stride, *, DType? dtype=None, Device? "
        "device=None) "
        "-> Tensor",
    .doc = "Uninitialised memory with the given sizes and strides, of input's type and device.",
    .method = "method",
    .shape = shape_like_strided,
    .kernels = {KernelRow{"nothing", leave_unset}},
    .derivative = none("the result does not depend on input"),
    .onnx = none("uninitialised memory has no value"),
    .netdef = none("uninitialised memory has no value"),
    .effect = Effect::Random,
    .samples = {shape(2).with("size", {2, 3}).with("stride", {1, 2}),
                shape(1).with("size", {0}).with("stride", {1})},
};
constinit const Op scalar_tensor_op{
    .schema = "scalar_tensor(Number s, *, DType? dtype=None, Device? device=None) -> Tensor",
    .doc = "A 0-d tensor of one number, in the default floating type unless dtype is given.",
    .method = "function",
    .body = parts<number_tensor>(),
    .derivative = none("it has no tensor arguments"),
    .onnx = none("a constant in graphs"),
    .netdef = none("a constant in graphs"),
    .samples = {no_tensors().with("s", 2.5), no_tensors().with("s", 3)},
};
#define MOKA_TRIANGLE(name, text, lower)                                                                     \
  constinit const Op name##_op {                                                                             \
    .schema = #name "(int row, int col, int offset=0, *, DType? dtype=None, Device? device=None) -> Tensor", \
    .doc = text, .method = "function", .shape = shape_triangle<lower>,                                       \
    .kernels = {KernelRow{"fill", run_triangle<lower>}}, .derivative = none("it has no tensor arguments"),   \
    .onnx = none("a constant in graphs"), .netdef = none("a constant in graphs"),                            \
    .samples = {no_tensors().with("row", 3).with("col", 4),                                                  \
                no_tensors().with("row", 2).with("col", 3).with("offset", -1)},                              \
  }
MOKA_TRIANGLE(tril_indices, "Rows and columns of the elements of a lower triangle.", true);
MOKA_TRIANGLE(triu_indices, "Rows and columns of the elements of an upper triangle.", false);
#undef MOKA_TRIANGLE
#define MOKA_NEW(name, text, source, kind)                                                             \
  constinit const Op name##_op {                                                                       \
    .schema = #name "(Tensor input, int[] size, *, DType? dtype=None, Device? device=None) -> Tensor", \
    .doc = text, .method = "method", .body = parts<new_of<source>>(),                                  \
    .derivative = none("the result does not depend on input"), .batch = batch_view_sizes,              \
    .onnx = none("written as its parts"), .netdef = none("written as its parts"), .effect = kind,      \
    .samples = {shape(2).with("size", {2, 3}), shape(1).with("size", {0})},                            \
  }
MOKA_NEW(new_empty, "Uninitialised memory of the given size and input's type.", empty_op, Effect::Random);
MOKA_NEW(new_zeros, "Zeros of the given size and input's type.", zeros_op, Effect::Pure);
MOKA_NEW(new_ones, "Ones of the given size and input's type.", ones_op, Effect::Pure);
#undef MOKA_NEW
constinit const Op new_full_op{
    .schema =
        "new_full(Tensor input, int[] size, Number fill_value, *, DType? dtype=None, Device? device=None) -> "
        "Tensor",
    .doc = "One value in the given size and input's type.",
    .method = "method",
    .body = parts<new_filled>(),
    .derivative = none("the result does not depend on input"),
    .batch = batch_view_sizes,
    .onnx = none("written as its parts"),
    .netdef = none("written as its parts"),
    .samples = {shape(2).with("size", {2, 3}).with("fill_value", 2.0),
                shape(1).with("size", {0}).with("fill_value", 1)},
};

}  // namespace moka::ops
