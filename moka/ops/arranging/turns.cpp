// Composites that rename, turn, shift and repeat dimensions of one tensor.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "moka/ops/arranging/arranging.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/define.h"
#include "moka/ops/indexing/indexing.h"
#include "moka/ops/parts.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/tensor/meta.h"

namespace moka::ops {

namespace {
using Ints = std::span<const int64_t>;

Tensor expand_like(const Tensor& x, const Tensor& other) { return expand(x, other.sizes()); }
Tensor view_like(const Tensor& x, const Tensor& other) { return view(x, other.sizes()); }
Tensor reshape_like(const Tensor& x, const Tensor& other) { return reshape(x, other.sizes()); }
Tensor expand_to(const Tensor& x, Ints sizes) { return expand(x, sizes); }
Tensor swap(const Tensor& x, int64_t a, int64_t b) { return transpose(x, a, b); }

Tensor move_dims(const Tensor& x, Ints source, Ints destination) {
  MOKA_CHECK(source.size() == destination.size(), "movedim: Invalid source or destination dims: source ",
             source, " and destination ", destination, " must have equally many dimensions");
  Dims order(static_cast<size_t>(x.dim()), -1);
  uint64_t moved = 0, filled = 0;
  for (size_t i = 0; i < source.size(); i++) {
    int from = wrap_dim(source[i], x.dim(), "movedim"), to = wrap_dim(destination[i], x.dim(), "movedim");
    MOKA_CHECK(!(moved >> from & 1), "movedim: repeated dim in `source` ", source);
    MOKA_CHECK(!(filled >> to & 1), "movedim: repeated dim in `destination` ", destination);
    moved |= uint64_t(1) << from;
    filled |= uint64_t(1) << to;
    if (x.dim()) order[static_cast<size_t>(to)] = from;
  }
  int next = 0;
  for (int64_t& d : order) {
    if (d >= 0) continue;
    while (moved >> next & 1) next++;
    d = next++;
  }
  return permute(x, order);
}

Tensor flip_dim(const Tensor& x, int64_t dim) {
  const int64_t dims[] = {dim};
  return flip(x, Ints(dims));
}
Tensor flip_columns(const Tensor& x) {
  MOKA_CHECK(x.dim() >= 2, "fliplr: Input must be >= 2-d, got shape ", x.sizes());
  return flip_dim(x, 1);
}
Tensor flip_rows(const Tensor& x) {
  MOKA_CHECK(x.dim() >= 1, "flipud: Input must be >= 1-d, got a 0-d tensor");
  return flip_dim(x, 0);
}
Tensor turn(const Tensor& x, int64_t k, Ints dims) {
  MOKA_CHECK(dims.size() == 2, "rot90: expected total rotation dims == 2, got ", dims);
  MOKA_CHECK(x.dim() >= 2, "rot90: expected total dims >= 2, got shape ", x.sizes());
  int a = wrap_dim(dims[0], x.dim(), "rot90"), b = wrap_dim(dims[1], x.dim(), "rot90");
  MOKA_CHECK(a != b, "rot90: expected two different dimensions, got ", dims);
  switch ((k % 4 + 4) % 4) {
    case 1: return transpose(flip_dim(x, b), a, b);
    case 2: return flip(x, dims);
    case 3: return flip_dim(transpose(x, a, b), b);
    default: return clone(x);
  }
}

Tensor roll_dim(const Tensor& x, int64_t shift, int64_t dim) {
  int d = wrap_dim(dim, x.dim(), "roll");
  if (x.numel() == 0 || x.dim() == 0) return clone(x);
  int64_t n = x.size(d), start = (n - shift % n) % n;
  if (start == 0) return clone(x);
  const Tensor pieces[] = {narrow(x, d, start, n - start), narrow(x, d, int64_t(0), start)};
  return concat(std::span<const Tensor>(pieces), d);
}
Tensor roll_dims(const Tensor& x, Ints shifts, const Any& given) {
  const Dims dims = given.is_none() ? Dims{} : Dims(given.ints());
  MOKA_CHECK(!shifts.empty(), "roll: `shifts` required");
  if (dims.empty()) {
    MOKA_CHECK(shifts.size() == 1,
               "roll: shifts and dimensions must align; without dims one shift is expected, got ", shifts);
    const int64_t flat[] = {x.numel()};
    return reshape(roll_dim(reshape(x, Ints(flat)), shifts[0], 0), x.sizes());
  }
  MOKA_CHECK(shifts.size() == dims.size(), "roll: shifts and dimensions must align, got shifts ", shifts,
             " and dims ", dims);
  Tensor out = x;
  for (size_t i = 0; i < dims.size(); i++) {
    MOKA_CHECK_KIND(Index, x.dim() > 0, "roll: Dimension specified as ", dims[i],
                    " but tensor has no dimensions");
    out = roll_dim(out, shifts[i], dims[i]);
  }
  return out;
}

Tensor tile_dims(const Tensor& x, Ints dims) {
  Dims repeats(dims);
  while (static_cast<int>(repeats.size()) < x.dim()) repeats.insert(0, 1);
  return repeat(x, repeats);
}
// The sum over the copies: dy read as [r0, n0, r1, n1, ...].
Tensor repeat_gradient(const Tensor& dy, Ints sizes, Ints repeats) {
  Dims split, copies;
  size_t lead = repeats.size() - sizes.size();
  for (size_t i = 0; i < repeats.size(); i++) {
    copies.push_back(static_cast<int64_t>(split.size()));
    split.push_back(repeats[i]);
    if (i >= lead) split.push_back(sizes[i - lead]);
  }
  if (copies.empty()) return dy;
  return sum(reshape(dy, split), copies);
}
Tensor flat(const Tensor& x) {
  const int64_t all[] = {-1};
  if (x.numel() == 0) return reshape(x, Dims{0});
  return reshape(x, Ints(all));
}
Tensor flat_contiguous(const Tensor& x) { return flat(contiguous(x)); }

Tensor diag_of(const Tensor& x, int64_t offset) {
  MOKA_CHECK(x.dim() == 1 || x.dim() == 2, "diag: Supports 1D or 2D tensors. Got ", x.dim(), "D (shape ",
             x.sizes(), ")");
  if (x.dim() == 1) return diag_embed(x, offset);
  return clone(diagonal(x, offset, 0, 1));
}
Tensor diag_flat(const Tensor& x, int64_t offset) { return diag_embed(flat_contiguous(x), offset); }

Tensor copy_of_part(const Tensor& x, int64_t dim, int64_t start, int64_t length) {
  return clone(narrow(x, dim, start, length));
}
Tensor copy_of_transpose(const Tensor& x, int64_t a, int64_t b) { return clone(transpose(x, a, b)); }

Tensor sum_to(const Tensor& x, Ints size) {
  int lead = x.dim() - static_cast<int>(size.size());
  bool fits = lead >= 0;
  Dims dims;
  for (int d = 0; fits && d < x.dim(); d++) {
    if (d < lead) dims.push_back(d);
    else if (size[static_cast<size_t>(d - lead)] != x.size(d)) {
      fits = size[static_cast<size_t>(d - lead)] == 1;
      dims.push_back(d);
    }
  }
  MOKA_CHECK(fits, "sum_to_size: size {", size, "} is not expandable to size {", x.sizes(), "}");
  if (dims.empty()) return alias(x);
  return reshape(sum(x, dims, true), size);
}

// ---- repeat_interleave
// Places 0, 0, 1, 2, 2, ... : each as often as `repeats` says.
void view_places(Frame& f) {
  f.sizes_of_values();
  const Tensor& given = f.tensor(0);
  check_sizes_known(given, "repeat_interleave");
  MOKA_CHECK(given.dim() <= 1, "repeat_interleave: repeats must be 0- or 1-d, got shape ", given.sizes());
  MOKA_CHECK(given.dtype() == DType::I64 || given.dtype() == DType::I32,
             "repeat_interleave: repeats must be int64 or int32, got ", given.dtype());
  Tensor counts = to_dtype(given, DType::I64);
  const int64_t* r = counts.data<int64_t>();
  int64_t total = 0;
  for (int64_t i = 0; i < counts.numel(); i++) {
    MOKA_CHECK(r[i] >= 0, "repeat_interleave: repeats can not be negative, got ", r[i], " at place ", i);
    total = checked_add(total, r[i], "repeat_interleave");
  }
  if (f.has(1))
    MOKA_CHECK(f.integer(1) == total,
               "repeat_interleave: allocated size does not match required size: output_size is ",
               f.integer(1), " but the repeats add up to ", total);
  const int64_t sizes[] = {total};
  f.outs.resize(1);
  f.outs[0] = new_tensor(sizes, given.dtype(), given.device());
  Tensor places = given.dtype() == DType::I64 ? f.outs[0] : new_tensor(sizes, DType::I64);
  int64_t* p = places.data<int64_t>();
  for (int64_t i = 0; i < counts.numel(); i++) p = std::fill_n(p, r[i], i);
  if (!(places == f.outs[0])) copy_elements(places, f.outs[0]);
}
Tensor repeat_each(const Tensor& input, const Any& repeats, std::optional<int64_t> dim,
                   std::optional<int64_t> output_size) {
  Tensor x = dim ? input : flat(contiguous(input));
  int d = wrap_dim(dim.value_or(0), x.dim(), "repeat_interleave");
  if (x.dim() == 0) {
    x = flat(x);
    d = 0;
  }
  Tensor counts;
  if (repeats.is_tensor()) {
    counts = repeats.tensor();
    MOKA_CHECK(counts.dim() <= 1, "repeat_interleave: repeats must be 0- or 1-d, got shape ", counts.sizes());
    if (counts.numel() == 1 && x.size(d) != 1) counts = expand(reshape(counts, Dims{1}), Dims{x.size(d)});
    else if (counts.dim() == 0) counts = reshape(counts, Dims{1});
    MOKA_CHECK(counts.size(0) == x.size(d),
               "repeat_interleave: repeats must have the same size as input along dim, ",
               "but got repeats.size(0) = ", counts.size(0), " and input.size(", d, ") = ", x.size(d));
    return index_select(
        x, d,
        EagerReading::call(repeat_interleave_places_op, counts, output_size ? Any(*output_size) : Any())
            .tensor());
  }
  int64_t k = repeats.to_int();
  MOKA_CHECK(k >= 0, "repeat_interleave: repeats can not be negative, got ", k);
  Dims wide(x.sizes()), joined(x.sizes());
  wide.insert(static_cast<size_t>(d) + 1, k);
  joined[static_cast<size_t>(d)] = checked_mul(x.size(d), k, "repeat_interleave");
  if (output_size)
    MOKA_CHECK(*output_size == joined[static_cast<size_t>(d)],
               "repeat_interleave: allocated size does not match required size: output_size is ",
               *output_size, " but the result has ", joined[static_cast<size_t>(d)]);
  if (k == 1) return clone(x);
  return reshape(contiguous(expand(unsqueeze(x, d + 1), wide)), joined);
}

Tensor same(const Tensor& x) {
  MOKA_CHECK_KIND(NotImplemented, x.dtype() != DType::Bool,
                  "positive: The `+` operator, on a bool tensor is not supported.");
  return x;
}
Tensor powers(const Tensor& x, std::optional<int64_t> count, bool increasing) {
  MOKA_CHECK(x.dim() == 1, "vander: expected a vector, got shape ", x.sizes());
  int64_t n = count.value_or(x.size(0));
  MOKA_CHECK(n >= 0, "vander: N must be non-negative, got ", n);
  Tensor exponents = increasing ? arange(int64_t(0), n, int64_t(1)) : arange(n - 1, int64_t(-1), int64_t(-1));
  return pow(unsqueeze(x, 1), exponents);
}
}  // namespace

#define MOKA_PART_OP(name, signature, text, function, ...)                                             \
  constinit const Op name##_op {                                                                       \
    .schema = signature, .doc = text, .body = parts<function>(), .onnx = none("written as its parts"), \
    .netdef = none("written as its parts"), .samples = {__VA_ARGS__},                                  \
  }

MOKA_PART_OP(expand_as, "expand_as(Tensor input, Tensor other) -> Tensor",
             "input expanded to the shape of other.", expand_like, shapes({2, 1}, {2, 3}),
             shapes({1}, {0}).no_gradient());
MOKA_PART_OP(view_as, "view_as(Tensor input, Tensor other) -> Tensor", "input viewed in the shape of other.",
             view_like, shapes({2, 6}, {3, 4}), shapes({0}, {2, 0}).no_gradient());
MOKA_PART_OP(reshape_as, "reshape_as(Tensor input, Tensor other) -> Tensor", "input in the shape of other.",
             reshape_like, shapes({2, 6}, {3, 4}), shapes({0}, {2, 0}).no_gradient());
MOKA_PART_OP(broadcast_to, "broadcast_to(Tensor input, int[] size) -> Tensor",
             "input expanded to a shape to which it broadcasts.", expand_to, shape(2, 1).with("size", {2, 3}),
             shape(1).with("size", {0}));
MOKA_PART_OP(swapaxes, "swapaxes(Tensor input, int axis0, int axis1) -> Tensor",
             "transpose, in NumPy's words.", swap, shape(2, 3, 4).with("axis0", 0).with("axis1", -1),
             shape(0, 3).with("axis0", 0).with("axis1", 1));
MOKA_PART_OP(swapdims, "swapdims(Tensor input, int dim0, int dim1) -> Tensor", "transpose by another name.",
             swap, shape(2, 3, 4).with("dim0", 0).with("dim1", -1),
             shape(0, 3).with("dim0", 0).with("dim1", 1));
MOKA_PART_OP(movedim, "movedim(Tensor input, int[] source, int[] destination) -> Tensor",
             "Moves the dimensions in source to the places in destination; the others keep their order.",
             move_dims, shape(2, 3, 4).with("source", {0, 1}).with("destination", {-1, 0}),
             shape(0, 2).with("source", {0}).with("destination", {1}));
MOKA_PART_OP(moveaxis, "moveaxis(Tensor input, int[] source, int[] destination) -> Tensor",
             "movedim, in NumPy's words.", move_dims,
             shape(2, 3, 4).with("source", {0, 1}).with("destination", {-1, 0}),
             shape(0, 2).with("source", {0}).with("destination", {1}));
MOKA_PART_OP(
    rot90, "rot90(Tensor input, int k=1, int[] dims=[0, 1]) -> Tensor",
    "input turned k times by 90 degrees in the plane of two dimensions, from the first towards the second.",
    turn, shape(2, 3), shape(2, 3, 2).with("k", -1).with("dims", {1, 2}), shape(0, 2).with("k", 2));
MOKA_PART_OP(fliplr, "fliplr(Tensor input) -> Tensor", "input with its columns in reversed order.",
             flip_columns, shape(2, 3), shape(2, 0));
MOKA_PART_OP(flipud, "flipud(Tensor input) -> Tensor", "input with its rows in reversed order.", flip_rows,
             shape(2, 3), shape(0));
MOKA_PART_OP(roll, "roll(Tensor input, int[] shifts, int[]? dims=[]) -> Tensor",
             "Elements shifted along dimensions, round the end; without dims along the flattened tensor.",
             roll_dims, shape(3, 4).with("shifts", {1, -2}).with("dims", {0, 1}),
             shape(2, 3).with("shifts", {-7}), shape(0, 3).with("shifts", {1}).with("dims", {1}));
MOKA_PART_OP(tile, "tile(Tensor input, int[] dims) -> Tensor",
             "input repeated along each dimension; missing leading repeats are 1.", tile_dims,
             shape(2, 3).with("dims", {2}), shape(2).with("dims", {2, 3}), shape(3).with("dims", {0}));
MOKA_PART_OP(ravel, "ravel(Tensor input) -> Tensor", "All elements in one dimension, contiguous.",
             flat_contiguous, shape(2, 3), shape(), shape(0, 2));
MOKA_PART_OP(diag, "diag(Tensor input, int diagonal=0) -> Tensor",
             "The matrix with input on a diagonal, or of a matrix that diagonal.", diag_of, shape(3),
             shape(3, 4).with("diagonal", 1), shape(0));
MOKA_PART_OP(diagflat, "diagflat(Tensor input, int offset=0) -> Tensor",
             "The matrix whose diagonal holds all elements of input.", diag_flat, shape(2, 2),
             shape(3).with("offset", -1), shape());
MOKA_PART_OP(narrow_copy, "narrow_copy(Tensor input, int dim, int start, int length) -> Tensor",
             "A copy of narrow().", copy_of_part,
             shape(5, 3).with("dim", 0).with("start", 1).with("length", 2),
             shape(4).with("dim", 0).with("start", 4).with("length", 0));
MOKA_PART_OP(transpose_copy, "transpose_copy(Tensor input, int dim0, int dim1) -> Tensor",
             "A copy of transpose().", copy_of_transpose, shape(2, 3).with("dim0", 0).with("dim1", 1),
             shape(0, 3).with("dim0", 0).with("dim1", 1));
MOKA_PART_OP(sum_to_size, "sum_to_size(Tensor input, int[] size) -> Tensor",
             "The sum over the dimensions in which a tensor of the given size was broadcast.", sum_to,
             shape(2, 3).with("size", {1, 3}), shape(2, 3).with("size", {3}), shape(2).with("size", {2}));
MOKA_PART_OP(
    repeat_interleave,
    "repeat_interleave(Tensor input, Operand repeats, int? dim=None, *, int? output_size=None) -> Tensor",
    "Each element (slice along dim) as often as repeats says, the copies side by side.", repeat_each,
    shape(2, 3).with("repeats", 2).with("dim", 1), shape(2, 2).with("repeats", 3),
    shape(2).with("repeats", 0));
MOKA_PART_OP(positive, "positive(Tensor input) -> Tensor", "input itself: the sign +.", same, shape(2, 3),
             shape(0));
MOKA_PART_OP(vander, "vander(Tensor x, int? N=None, bool increasing=False) -> Tensor",
             "The powers of each element of a vector, a row each.", powers, shape(3).in(Domain::Positive),
             shape(2).in(Domain::Positive).with("N", 3).with("increasing", true));
#undef MOKA_PART_OP

constinit const Op repeat_backward_op{
    .schema = "repeat_backward(Tensor dy, int[] shape, int[] repeats) -> Tensor",
    .doc = "The gradient of repeat: the sum over the copies.",
    .method = "none",
    .body = parts<repeat_gradient>(),
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {},
};
constinit const Op repeat_interleave_places_op{
    .schema = "repeat_interleave.Tensor(Tensor repeats, *, int? output_size=None) -> Tensor",
    .doc = "0 repeats[0] times, 1 repeats[1] times, and so on.",
    .method = "none",
    .view = view_places,
    .derivative = none("the result holds indices"),
    .onnx = none("the shape of the result depends on values"),
    .netdef = none("the shape of the result depends on values"),
    .samples = {},
};

}  // namespace moka::ops
