// Operators that make tensors of given sizes.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/creation/creation.h"

#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>

#include "moka/base/parallel.h"
#include "moka/ops/complex/scalar.h"
#include "moka/ops/creation/unset.h"
#include "moka/ops/define.h"
#include "moka/ops/kernels/given_output.h"
#include "moka/ops/kernels/memory_format.h"

namespace moka {

namespace {
Device device_of(const Frame& f, int i) { return f.has(i) ? f.args[i].device : Device{}; }
DType number_type(const Arg& a) {
  if (is_complex_number(a)) return default_float() == DType::F64 ? DType::C128 : DType::C64;
  return a.tag == Tag::Bool ? DType::Bool : a.tag == Tag::Int ? DType::I64 : default_float();
}

// Integers hold numbers of their range (unsigned ones take negative numbers modulo it, as in PyTorch), floats finite
// numbers up to their largest.
void check_holds(DType dtype, const Arg& value) {
  if (is_complex_number(value) || !(is_integral(dtype) || is_floating(dtype))) return;
  bool fits = true;
  const int bits = static_cast<int>(8 * item_size(dtype));
  if (is_integral(dtype) && value.tag == Tag::Int && bits == 64) return;
  if (is_integral(dtype)) {
    const bool is_unsigned = family(dtype) == DTypeClass::Unsigned;
    const double v = std::trunc(value.as_double()), top = std::ldexp(1.0, is_unsigned ? bits : bits - 1);
    fits = v < top && (is_unsigned ? v > -top : v >= -top);
  } else if (const double v = value.as_double(); std::isfinite(v)) {
    char item[16];
    double back;
    convert_elements(&v, DType::F64, item, dtype, 1);
    convert_elements(item, dtype, &back, DType::F64, 1);
    fits = std::isfinite(back);
  }
  MOKA_CHECK(fits, "fill: value cannot be converted to type ", dtype, " without overflow: ", value);
}

void fill(const Tensor& t, const Arg& value) {
  check_holds(t.dtype(), value);
  char item[16];
  if (is_complex_number(value)) convert_elements(value.floats, DType::C128, item, t.dtype(), 1);
  else if (value.tag == Tag::Float) convert_elements(&value.f, DType::F64, item, t.dtype(), 1);
  else {
    int64_t v = value.as_int();
    convert_elements(&v, DType::I64, item, t.dtype(), 1);
  }
  size_t size = item_size(t.dtype());
  bool zero = true;
  for (size_t i = 0; i < size; i++) zero &= item[i] == 0;
  if (zero && t.is_contiguous()) {
    std::memset(t.raw_data(), 0, t.bytes());
    return;
  }
  Tensor one = from_memory(item, sizeof item, {}, {}, t.dtype(), t.device(), [](Storage*) {}, nullptr, true);
  copy_elements(one, t);
}

void shape_sizes(Frame& f) { f.output(0, f.ints(0), named_type(f, 1, default_float()), device_of(f, 2)); }
void shape_empty(Frame& f) {
  if (!f.has(3) || f.infer || f.given & 1) return shape_sizes(f);
  f.outs.resize(1);
  f.outs[0] = new_strided_tensor(f.ints(0), format_strides(f.string(3), f.ints(0), f.name()),
                                 named_type(f, 1, default_float()), device_of(f, 2));
}
template <int Value>
void run_constant(Frame& f) {
  fill(f.outs[0], Arg(Value));
}
void shape_full(Frame& f) {
  f.output(0, f.ints(0), named_type(f, 2, number_type(f.args[1])), device_of(f, 3));
}
void run_full(Frame& f) { fill(f.outs[0], f.args[1]); }

void shape_like(Frame& f) {
  const Tensor& x = f.tensor(0);
  output_in_format(f, 3, x, named_type(f, 1, x.dtype()), f.has(2) ? f.args[2].device : x.device());
}
void shape_full_like(Frame& f) {
  const Tensor& x = f.tensor(0);
  output_in_format(f, 4, x, named_type(f, 2, x.dtype()), f.has(3) ? f.args[3].device : x.device());
}

// arange: start, end, step are all integers or the type is floating.
bool all_integers(const Frame& f) {
  return f.args[0].tag != Tag::Float && f.args[1].tag != Tag::Float && f.args[2].tag != Tag::Float;
}
void shape_arange(Frame& f) {
  DType dtype = named_type(f, 3, all_integers(f) ? DType::I64 : default_float());
  double start = f.number(0), end = f.number(1), step = f.number(2);
  MOKA_CHECK(step != 0, "arange: the step must not be 0");
  MOKA_CHECK(std::isfinite(start) && std::isfinite(end), "arange: the ends must be finite, got ", start,
             " and ", end);
  MOKA_CHECK((step > 0 && end >= start) || (step < 0 && end <= start), "arange: a step of ", step,
             " does not lead from ", start, " to ", end);
  int64_t n;
  if (all_integers(f)) {
    __int128 span = static_cast<__int128>(f.integer(1)) - f.integer(0);
    __int128 s = f.integer(2);
    __int128 count = (span + s - (s > 0 ? 1 : -1)) / s;
    MOKA_CHECK(count <= INT64_MAX, "arange: too many elements");
    n = static_cast<int64_t>(count);
  } else {
    double count = std::ceil((end - start) / step);
    MOKA_CHECK(count < 9e18, "arange: too many elements (", count, ")");
    n = static_cast<int64_t>(count);
  }
  const int64_t sizes[] = {n};
  f.output(0, sizes, dtype, device_of(f, 4));
}
void run_arange(Frame& f) {
  const Tensor& out = f.outs[0];
  int64_t n = out.numel();
  // Integers count in whole steps, whatever the ends were.
  if (all_integers(f) || is_integral(out.dtype())) {
    const auto whole = [](const Arg& a) {
      return a.tag == Tag::Float ? static_cast<int64_t>(a.f) : a.as_int();
    };
    int64_t start = whole(f.args[0]), step = whole(f.args[2]);
    Tensor exact = out.dtype() == DType::I64 ? out : new_tensor(out.sizes(), DType::I64);
    for (int64_t i = 0; i < n; i++) exact.data<int64_t>()[i] = start + i * step;
    if (!(exact == out)) copy_elements(exact, out);
  } else {
    double start = f.number(0), step = f.number(2);
    Tensor exact = out.dtype() == DType::F64 ? out : new_tensor(out.sizes(), DType::F64);
    for (int64_t i = 0; i < n; i++) exact.data<double>()[i] = start + static_cast<double>(i) * step;
    if (!(exact == out)) copy_elements(exact, out);
  }
}

void shape_linspace(Frame& f) {
  MOKA_CHECK(f.integer(2) >= 0, "linspace: the number of steps must not be negative, got ", f.integer(2));
  const int64_t sizes[] = {f.integer(2)};
  // An output of as many elements keeps its shape, as in PyTorch.
  const Tensor* given = f.given & 1 && !f.infer && f.outs[0].numel() == sizes[0] ? &f.outs[0] : nullptr;
  const Dims shape = given ? Dims(given->sizes()) : Dims(sizes);
  f.output(0, shape, named_type(f, 3, default_float()), device_of(f, 4));
}
// Integer lines have integer ends, as in PyTorch.
double end_in(DType dtype, double value) { return is_floating(dtype) ? value : std::trunc(value); }
void run_linspace(Frame& f) {
  const Tensor& out = f.outs[0];
  int64_t n = out.numel();
  double start = end_in(out.dtype(), f.number(0)), end = end_in(out.dtype(), f.number(1)),
         step = n > 1 ? (end - start) / static_cast<double>(n - 1) : 0;
  Tensor exact = new_tensor(out.sizes(), DType::F64);
  // Walks from both ends, so that both come out exactly.
  for (int64_t i = 0; i < n; i++)
    exact.data<double>()[i] = i < n / 2 || n == 1 ? start + step * static_cast<double>(i)
                                                  : end - step * static_cast<double>(n - 1 - i);
  copy_elements(exact, out);
}

void shape_eye(Frame& f) {
  const int64_t sizes[] = {f.integer(0), f.has(1) ? f.integer(1) : f.integer(0)};
  f.output(0, sizes, named_type(f, 2, default_float()), device_of(f, 3));
}
void run_eye(Frame& f) {
  const Tensor& out = f.outs[0];
  std::memset(out.raw_data(), 0, out.bytes());
  const int64_t sizes[] = {std::min(out.size(0), out.size(1))}, strides[] = {out.stride(0) + out.stride(1)};
  if (sizes[0]) fill(strided_view(out, sizes, strides, out.impl()->offset), Arg(1));
}

void shape_self(Frame& f) {
  if (f.given & 1 && f.outs[0] == f.tensor(0)) return;  // written without a detour
  f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype());
}
void run_fill(Frame& f) { fill(f.outs[0], f.args[1]); }

std::atomic<bool> unset_is_filled = false;
}  // namespace

void fill_unset(bool on) { unset_is_filled = on; }
void leave_unset(Frame& f) {
  if (!unset_is_filled.load(std::memory_order_relaxed)) return;
  const Tensor& out = f.outs[0];
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const int bits = static_cast<int>(8 * item_size(out.dtype()));
  const double both[] = {nan, nan};
  if (is_complex(out.dtype())) fill(out, Arg(std::span<const double>(both)));
  else if (is_floating(out.dtype())) fill(out, Arg(nan));
  else if (out.dtype() == DType::Bool) fill(out, Arg(true));
  else if (family(out.dtype()) == DTypeClass::Unsigned)
    fill(out, Arg(bits == 64 ? -1 : (int64_t(1) << bits) - 1));
  else if (is_integral(out.dtype())) fill(out, Arg(std::numeric_limits<int64_t>::max() >> (64 - bits)));
}

namespace ops {

constinit const Op empty_op{
    .schema =
        "empty(int[] size, *, DType? dtype=None, Device? device=None, str? memory_format=None) -> Tensor",
    .doc = "A tensor whose elements are not set.",
    .method = "function",
    .shape = shape_empty,
    .kernels = {KernelRow{"fill", leave_unset}},
    .derivative = none("it has no tensor arguments"),
    .onnx = none("written as ConstantOfShape"),
    .netdef = none("written as ConstantFill"),
    .samples = {no_tensors().with("size", {2, 3}), no_tensors().with("size", {0})},
};
#define MOKA_SIZED(name, text, kernel, onnx_map, netdef_map)                                          \
  constinit const Op name##_op {                                                                      \
    .schema = #name "(int[] size, *, DType? dtype=None, Device? device=None) -> Tensor", .doc = text, \
    .method = "function", .shape = shape_sizes, .kernels = {KernelRow{"fill", kernel}},               \
    .derivative = none("it has no tensor arguments"), .onnx = onnx_map, .netdef = netdef_map,         \
    .samples = {no_tensors().with("size", {2, 3}), no_tensors().with("size", {0})},                   \
  }
MOKA_SIZED(zeros, "A tensor of zeros.", run_constant<0>, none("written as ConstantOfShape"),
           none("written as ConstantFill"));
MOKA_SIZED(ones, "A tensor of ones.", run_constant<1>, none("written as ConstantOfShape"),
           none("written as ConstantFill"));
#undef MOKA_SIZED

constinit const Op full_op{
    .schema = "full(int[] size, Number fill_value, *, DType? dtype=None, Device? device=None) -> Tensor",
    .doc = "A tensor of one value; its type follows the value unless dtype is given.",
    .method = "function",
    .shape = shape_full,
    .kernels = {KernelRow{"fill", run_full}},
    .derivative = none("it has no tensor arguments"),
    .onnx = none("written as ConstantOfShape by an adapter: the value is a tensor attribute"),
    .netdef = "ConstantFill(shape=size, value=fill_value, dtype=dtype_code(dtype))",
    .samples = {no_tensors().with("size", {2, 3}).with("fill_value", 1.5),
                no_tensors().with("size", {0}).with("fill_value", 2)},
};
constinit const Op arange_op{
    .schema =
        "arange.start_step(Number start, Number end, Number step=1, *, DType? dtype=None, Device? "
        "device=None) -> Tensor",
    .doc = "start, start + step, ... up to but without end.",
    .method = "function",
    .shape = shape_arange,
    .kernels = {KernelRow{"count", run_arange}},
    .derivative = none("it has no tensor arguments"),
    .onnx = none("written as Range by an adapter: its ends are tensors"),
    .netdef = none("written as Range by an adapter: its ends are tensors"),
    .samples = {no_tensors().with("start", 1).with("end", 7).with("step", 2),
                no_tensors().with("start", 0.0).with("end", 1.0).with("step", 0.25)},
};
constinit const Op linspace_op{
    .schema =
        "linspace(Number start, Number end, int steps, *, DType? dtype=None, Device? device=None) -> Tensor",
    .doc = "steps values at equal distances from start to end, both included.",
    .method = "function",
    .shape = shape_linspace,
    .kernels = {KernelRow{"count", run_linspace}},
    .derivative = none("it has no tensor arguments"),
    .onnx = none("a constant in graphs"),
    .netdef = none("a constant in graphs"),
    .samples = {no_tensors().with("start", 0.0).with("end", 1.0).with("steps", 5),
                no_tensors().with("start", 0.0).with("end", 1.0).with("steps", 1)},
};
constinit const Op eye_op{
    .schema = "eye(int n, int? m=None, *, DType? dtype=None, Device? device=None) -> Tensor",
    .doc = "An n by m matrix with ones on the diagonal.",
    .method = "function",
    .shape = shape_eye,
    .kernels = {KernelRow{"fill", run_eye}},
    .derivative = none("it has no tensor arguments"),
    .onnx = none("a constant in graphs"),
    .netdef = none("a constant in graphs"),
    .samples = {no_tensors().with("n", 3), no_tensors().with("n", 2).with("m", 4)},
};

#define MOKA_LIKE(name, text, kernel)                                                                      \
  constinit const Op name##_op {                                                                           \
    .schema = #name                                                                                        \
        "(Tensor input, *, DType? dtype=None, Device? device=None, str? memory_format=None) -> Tensor",    \
    .doc = text, .method = "function", .shape = shape_like, .kernels = {KernelRow{"fill", kernel}},        \
    .derivative = none("the result does not depend on the values of input"),                               \
    .onnx = none("written as Shape and ConstantOfShape"),                                                  \
    .netdef = none("written as ConstantFill with the input as shape"), .samples = {shape(2, 3), shape(0)}, \
  }
MOKA_LIKE(empty_like, "A tensor of input's sizes whose elements are not set.", leave_unset);
MOKA_LIKE(zeros_like, "Zeros of input's sizes and type.", run_constant<0>);
MOKA_LIKE(ones_like, "Ones of input's sizes and type.", run_constant<1>);
#undef MOKA_LIKE

constinit const Op full_like_op{
    .schema =
        "full_like(Tensor input, Number fill_value, *, DType? dtype=None, Device? device=None, str? "
        "memory_format=None) -> Tensor",
    .doc = "One value in input's sizes and type.",
    .method = "function",
    .shape = shape_full_like,
    .kernels = {KernelRow{"fill", run_full}},
    .derivative = none("the result does not depend on the values of input"),
    .batch = as_it_is(),
    .onnx = none("written as Shape and ConstantOfShape"),
    .netdef = none("written as ConstantFill with the input as shape"),
    .samples = {shape(2, 3).with("fill_value", 1.5), shape(0).with("fill_value", 1)},
};
constinit const Op zero__op{
    .schema = "zero_(Tensor input) -> Tensor",
    .doc = "Sets every element to zero.",
    .shape = shape_self,
    .kernels = {KernelRow{"fill", run_constant<0>}},
    .derivative = {wrt("input", [](auto dy) { return zeros_like(dy); })},
    .onnx = none("an in-place write; graphs see its value"),
    .netdef = none("an in-place write; graphs see its value"),
    .writes_one_value = true,
    .samples = {shape(2, 3), shape(0)},
};
constinit const Op fill__op{
    .schema = "fill_(Tensor input, Number value) -> Tensor",
    .doc = "Sets every element to value.",
    .shape = shape_self,
    .kernels = {KernelRow{"fill", run_fill}},
    .derivative = {wrt("input", [](auto dy) { return zeros_like(dy); })},
    .onnx = none("an in-place write; graphs see its value"),
    .netdef = none("an in-place write; graphs see its value"),
    .writes_one_value = true,
    .samples = {shape(2, 3).with("value", 2.0), shape(0).with("value", 1)},
};

}  // namespace ops
}  // namespace moka

MOKA_OP_TABLE(creation, MOKA_CREATION_OPS)
