// Reading and checking arguments in shape functions.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/arguments.h"

#include <algorithm>

#include "moka/tensor/scalar_name.h"

namespace moka {

std::string_view argument_name(const Frame& f, int i) {
  return info(f.op).schema.args[static_cast<size_t>(i)].name;
}

const Tensor& tensor_argument(const Frame& f, int i) {
  MOKA_CHECK_KIND(Type, f.args[i].tag == Tag::Tensor, f.name(), ": ", argument_name(f, i),
                  " must be a Tensor, got ", tag_name(f.args[i].tag), " ", f.args[i]);
  return f.tensor(i);
}

const Tensor& floating_argument(const Frame& f, int i) {
  const Tensor& t = tensor_argument(f, i);
  MOKA_CHECK(is_floating(t.dtype()), f.name(), ": ", argument_name(f, i), " must be floating, got ",
             t.dtype(), " of shape ", t.sizes(), "; convert it with .float()");
  return t;
}

void check_same_dtype(const Frame& f, int i, int j) {
  const DType found = f.tensor(i).dtype(), expected = f.tensor(j).dtype();
  MOKA_CHECK(found == expected, f.name(), ": expected scalar type ", scalar_name(expected), " but found ",
             scalar_name(found), ": ", argument_name(f, i), " has type ", found, " but ", argument_name(f, j),
             " has type ", expected, "; convert one of them");
}

const Tensor& optional_argument(const Frame& f, int i, int like) {
  if (!f.has(i)) return f.maybe(i);
  tensor_argument(f, i);
  check_same_dtype(f, i, like);
  return f.tensor(i);
}

void check_shape(const Frame& f, int i, std::span<const int64_t> sizes) {
  std::span<const int64_t> got = f.tensor(i).sizes();
  MOKA_CHECK(std::equal(got.begin(), got.end(), sizes.begin(), sizes.end()), f.name(), ": ",
             argument_name(f, i), " must have shape ", sizes, ", got ", got);
}

Dims ints_argument(const Frame& f, int i) {
  const Arg& a = f.args[i];
  switch (a.tag) {
    case Tag::None: return {};
    case Tag::Ints: return Dims(a.as_ints());
    case Tag::Int:
    case Tag::Bool: return Dims{a.as_int()};
    case Tag::List:
      if (a.count == 0) return {};
      [[fallthrough]];
    default:
      fail_kind(ErrorKind::Type, f.name(), ": ", argument_name(f, i), " must be a list of integers, got ",
                tag_name(a.tag), " ", a);
  }
}

Pair pair_argument(const Frame& f, int i, int64_t lowest) {
  Dims v = ints_argument(f, i);
  MOKA_CHECK_KIND(Value, v.size() == 1 || v.size() == 2, f.name(), ": ", argument_name(f, i),
                  " must be one integer or two (height, width), got ", f.args[i]);
  Pair p{v[0], v.back()};
  MOKA_CHECK_KIND(Value, p.h >= lowest && p.w >= lowest, f.name(), ": ", argument_name(f, i),
                  " must be at least ", lowest, ", got ", f.args[i]);
  return p;
}

int dim_argument(const Frame& f, int i, int ndim) {
  MOKA_CHECK_KIND(Type, f.args[i].is_number(), f.name(), ": ", argument_name(f, i),
                  " must be an integer, got ", tag_name(f.args[i].tag), " ", f.args[i]);
  int64_t dim = f.integer(i);
  if (ndim == 0) ndim = 1;
  MOKA_CHECK_KIND(Index, dim >= -ndim && dim < ndim, f.name(), ": ", argument_name(f, i), " must be between ",
                  -ndim, " and ", ndim - 1, ", got ", dim);
  return static_cast<int>(dim < 0 ? dim + ndim : dim);
}

LossReduction loss_reduction_argument(const Frame& f, int i) {
  std::string_view r = f.args[i].tag == Tag::String ? f.string(i) : std::string_view();
  if (r == "mean") return LossReduction::Mean;
  if (r == "sum") return LossReduction::Sum;
  if (r == "none") return LossReduction::None;
  fail_kind(ErrorKind::Value, f.name(), ": ", argument_name(f, i), " must be 'mean', 'sum' or 'none', got ",
            f.args[i]);
}

DType kernel_dtype(DType dtype) {
  if (dtype == DType::F64) return DType::F64;
  if (is_floating(dtype)) return DType::F32;
  if (is_complex(dtype)) return compute_dtype(dtype);
  return DType::I64;
}

Tensor in_kernel_dtype(const Tensor& t) {
  DType d = kernel_dtype(t.dtype());
  return t.dtype() == d ? t : to_dtype(t, d);
}

KernelOutput::KernelOutput(Frame& f, int i) : out_(f.outs[static_cast<size_t>(i)]), work_(out_) {
  DType d = kernel_dtype(out_.dtype());
  if (d != out_.dtype()) work_ = new_tensor(out_.sizes(), d);
}

void KernelOutput::finish() {
  if (!(work_ == out_))
    convert_elements(work_.raw_data(), work_.dtype(), out_.raw_data(), out_.dtype(), out_.numel());
}

}  // namespace moka
