// Selection and writing by masks and by flat indices.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "moka/ops/arranging/arranging.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/define.h"
#include "moka/ops/indexing/indexing.h"
#include "moka/ops/parts.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/selecting/selecting.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
using List = std::span<const Tensor>;

Tensor wide(const Tensor& t, const Dims& sizes) {
  if (std::equal(t.sizes().begin(), t.sizes().end(), sizes.begin(), sizes.end())) return t;
  return expand(t, sizes);
}
Tensor select_by_mask(const Tensor& x, const Tensor& mask) {
  MOKA_CHECK(mask.dtype() == DType::Bool, "masked_select: expected BoolTensor for mask, got ", mask.dtype());
  Dims sizes = broadcast_shape(x.sizes(), mask.sizes(), "masked_select");
  if (sizes.empty()) sizes.push_back(1);
  const Tensor list[] = {wide(mask, sizes)};
  return index(wide(x, sizes), List(list));
}

void check_masked(const Frame& f) {
  const Tensor &x = f.tensor(0), &mask = f.tensor(1), &source = f.tensor(2);
  MOKA_CHECK(mask.dtype() == DType::Bool, "masked_scatter: expected BoolTensor for mask, got ", mask.dtype());
  MOKA_CHECK(source.dtype() == x.dtype(),
             "masked_scatter: expected self and source to have same dtypes but got ", x.dtype(), " and ",
             source.dtype());
}
void shape_masked_scatter(Frame& f) {
  check_masked(f);
  f.output(0, broadcast_shape(f.tensor(0).sizes(), f.tensor(1).sizes(), "masked_scatter"),
           f.tensor(0).dtype());
}
void run_masked_scatter(Frame& f) {
  const Tensor& out = f.outs[0];
  copy_elements(f.tensor(0), out);
  Tensor mask = new_tensor(out.sizes(), DType::Bool), source = as_contiguous(f.tensor(2));
  copy_elements(f.tensor(1), mask);
  const uint8_t* m = mask.data<uint8_t>();
  size_t item = item_size(out.dtype());
  char* to = out.data<char>();
  const char* from = source.data<char>();
  int64_t taken = 0, n = out.numel();
  for (int64_t i = 0; i < n; i++) {
    if (!m[i]) continue;
    MOKA_CHECK(taken < source.numel(),
               "masked_scatter: expected source to have at least as many elements as the "
               "number of ones in the mask, it has ",
               source.numel());
    std::memcpy(to + static_cast<size_t>(i) * item, from + static_cast<size_t>(taken++) * item, item);
  }
}
// The elements of dy under the mask, in the front of zeros of the source's shape.
Tensor masked_source_gradient(const Tensor& dy, const Tensor& mask, std::span<const int64_t> sizes) {
  Tensor taken = select_by_mask(dy, expand(mask, dy.sizes()));
  int64_t n = checked_numel(sizes, "masked_scatter");
  if (taken.numel() > n) taken = narrow(taken, 0, int64_t(0), n);
  return reshape(pad_constant(taken, Dims{0, n - taken.numel()}), sizes);
}

Tensor flat(const Tensor& x) { return reshape(x, Dims{x.numel()}); }
Tensor take_flat(const Tensor& x, const Tensor& at) {
  MOKA_CHECK(at.dtype() == DType::I64, "take(): Expected a long tensor for index, but got ", at.dtype());
  MOKA_CHECK_KIND(Index, x.numel() > 0 || at.numel() == 0, "take(): tried to take from an empty tensor");
  if (x.numel() == 0) return reshape(flat(x), at.sizes());
  const Tensor list[] = {at};
  return index(flat(x), List(list));
}
Tensor put_flat(const Tensor& x, const Tensor& at, const Tensor& source, bool accumulate) {
  MOKA_CHECK(at.dtype() == DType::I64, "put(): Expected a long tensor for index, but got ", at.dtype());
  MOKA_CHECK(source.dtype() == x.dtype(), "put(): self and source expected to have the same dtype, but got ",
             x.dtype(), " and ", source.dtype());
  MOKA_CHECK(source.numel() == at.numel(),
             "put(): Expected source and index to have the same number of elements, "
             "but got shapes ",
             source.sizes(), " and ", at.sizes());
  MOKA_CHECK_KIND(Index, x.numel() > 0 || at.numel() == 0,
                  "put(): Tried to put elements into an empty tensor");
  if (at.numel() == 0) return clone(x);
  const Tensor list[] = {flat(at)};
  return reshape(index_put(flat(x), List(list), flat(source), accumulate), x.sizes());
}
Tensor take_along(const Tensor& x, const Tensor& at, std::optional<int64_t> dim) {
  if (!dim) return gather(flat(x), int64_t(0), flat(at));
  MOKA_CHECK(at.dtype() == DType::I64, "take_along_dim(): dtype of indices should be Long but got ",
             at.dtype(), "; convert them with .long()");
  MOKA_CHECK(x.dim() == at.dim(),
             "take_along_dim(): input and indices should have the same number of dimensions, but "
             "got shapes ",
             x.sizes(), " and ", at.sizes());
  int d = wrap_dim(*dim, x.dim(), "take_along_dim");
  Dims own(x.sizes()), places(at.sizes());
  for (int k = 0; k < x.dim(); k++) {
    if (k == d) continue;
    size_t i = static_cast<size_t>(k);
    MOKA_CHECK(own[i] == places[i] || own[i] == 1 || places[i] == 1, "take_along_dim(): shapes ", x.sizes(),
               " and ", at.sizes(), " do not broadcast in dimension ", k);
    own[i] = places[i] = own[i] == 1 ? places[i] : own[i];
  }
  return gather(wide(x, own), int64_t(d), wide(at, places));
}
Tensor places_of(const Tensor& x) { return nonzero(x); }
Tensor first_places(const Tensor& x, int64_t size, int64_t fill) {
  MOKA_CHECK(size >= 0, "nonzero_static: 'size' must be an non-negative integer, got ", size);
  Tensor found = nonzero(x);
  int64_t n = std::min(found.size(0), size);
  found = narrow(found, 0, int64_t(0), n);
  if (n == size) return clone(found);
  const Tensor both[] = {found, full(Dims{size - n, int64_t(x.dim())}, fill, DType::I64)};
  return concat(List(both), 0);
}
}  // namespace

constinit const Op masked_select_op{
    .schema = "masked_select(Tensor input, Tensor mask) -> Tensor",
    .doc = "The elements of input where the mask is true, in order.",
    .body = parts<select_by_mask>(),
    .onnx = none("written as Compress by an adapter"),
    .netdef = "BooleanMask(input, mask)",
    .samples = {shapes({3, 4}, {4}).in(Domain::Boolean, 1), shapes({0}, {0}).in(Domain::Boolean, 1)},
};
constinit const Op masked_scatter_op{
    .schema = "masked_scatter(Tensor input, Tensor mask, Tensor source) -> Tensor",
    .doc = "input with the elements of source, in order, where the mask is true.",
    .shape = shape_masked_scatter,
    .kernels = {KernelRow{"loop", run_masked_scatter}},
    .derivative = {wrt("input", [](auto dy, auto, auto mask) { return where(mask, 0, dy); }),
                   wrt("source",
                       [](auto dy, auto, auto mask, auto source) {
                         return masked_scatter_backward(dy, mask, shape_of(source));
                       })},
    .onnx = none("the places depend on values"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shapes({3, 4}, {4}, {12}).in(Domain::Boolean, 1),
                shapes({2}, {2}, {3, 1}).in(Domain::Boolean, 1)},
};
constinit const Op masked_scatter_backward_op{
    .schema = "masked_scatter_backward(Tensor dy, Tensor mask, int[] sizes) -> Tensor",
    .doc = "What masked_scatter gives back to its source.",
    .method = "none",
    .body = parts<masked_source_gradient>(),
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {},
};
#define MOKA_PART_OP(name, signature, text, function, ...)                                             \
  constinit const Op name##_op {                                                                       \
    .schema = signature, .doc = text, .body = parts<function>(), .onnx = none("written as its parts"), \
    .netdef = none("written as its parts"), .samples = {__VA_ARGS__},                                  \
  }
MOKA_PART_OP(take, "take(Tensor input, Tensor index) -> Tensor",
             "The elements of the flattened input at the places in index, in its shape.", take_flat,
             shapes({3, 2}, {2, 2}).in(Domain::Index, 1, 6), shapes({3}, {0}).in(Domain::Index, 1, 3));
MOKA_PART_OP(put, "put(Tensor input, Tensor index, Tensor source, bool accumulate=False) -> Tensor",
             "input with the elements of source written (or added) at places of the flattened tensor.",
             put_flat, shapes({3, 2}, {2}, {2}).in(Domain::Index, 1, 6).with("accumulate", true),
             shapes({3}, {1}, {1}).in(Domain::Index, 1, 3));
MOKA_PART_OP(take_along_dim, "take_along_dim(Tensor input, Tensor indices, int? dim=None) -> Tensor",
             "gather with broadcasting; without dim from the flattened input.", take_along,
             shapes({3, 4}, {3, 2}).in(Domain::Index, 1, 4).with("dim", 1),
             shapes({3, 2}, {3}).in(Domain::Index, 1, 6));
#undef MOKA_PART_OP
constinit const Op argwhere_op{
    .schema = "argwhere(Tensor input) -> Tensor",
    .doc = "nonzero, in NumPy's words.",
    .body = parts<places_of>(),
    .derivative = none("the result holds indices"),
    .onnx = none("written as NonZero and Transpose"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shape(3, 4).in(Domain::Boolean), shape(0)},
};
constinit const Op nonzero_static_op{
    .schema = "nonzero_static(Tensor input, *, int size, int fill_value=-1) -> Tensor",
    .doc = "The first `size` rows of nonzero, filled up with a value.",
    .body = parts<first_places>(),
    .derivative = none("the result holds indices"),
    .onnx = none("the rows depend on values"),
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shape(3, 4).in(Domain::Boolean).with("size", 5),
                shape(3).in(Domain::Boolean).with("size", 0)},
};

}  // namespace moka::ops
