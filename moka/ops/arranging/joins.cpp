// Composites that join and split lists of tensors.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/ops/arranging/arranging.h"
#include "moka/ops/define.h"
#include "moka/ops/indexing/indexing.h"
#include "moka/ops/parts.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/tensor/meta.h"

namespace moka::ops {

namespace {
using Ints = std::span<const int64_t>;
using List = std::span<const Tensor>;

// ---- joins
Tensor at_least_1d(const Tensor& x) { return x.dim() ? alias(x) : reshape(x, Dims{1}); }
Tensor at_least_2d(const Tensor& x) {
  return x.dim() >= 2 ? alias(x) : x.dim() ? unsqueeze(x, 0) : reshape(x, Dims{1, 1});
}
Tensor at_least_3d(const Tensor& x) {
  if (x.dim() >= 3) return alias(x);
  if (x.dim() == 2) return unsqueeze(x, 2);
  return x.dim() ? unsqueeze(unsqueeze(x, 0), 2) : reshape(x, Dims{1, 1, 1});
}
template <class F>
std::vector<Tensor> each(List list, std::string_view op, F f) {
  MOKA_CHECK(!list.empty(), op, ": expected a non-empty list of tensors");
  std::vector<Tensor> out;
  for (const Tensor& t : list) out.push_back(f(t));
  return out;
}
Tensor join(const std::vector<Tensor>& list, int64_t dim) { return concat(List(list), dim); }
Tensor join_columns(List list) {
  std::vector<Tensor> parts = each(list, "hstack", at_least_1d);
  return join(parts, parts[0].dim() == 1 ? 0 : 1);
}
Tensor join_rows(List list) { return join(each(list, "vstack", at_least_2d), 0); }
Tensor join_depth(List list) { return join(each(list, "dstack", at_least_3d), 2); }
Tensor join_vectors(List list) {
  return join(each(list, "column_stack",
                   [](const Tensor& t) { return t.dim() <= 1 ? reshape(t, Dims{t.numel(), 1}) : t; }),
              1);
}
Tensor join_blocks(List list) {
  std::vector<Tensor> blocks = each(list, "block_diag", [](const Tensor& t) {
    MOKA_CHECK(t.dim() <= 2, "block_diag: Input tensors must have 2 or fewer dimensions, got shape ",
               t.sizes());
    return at_least_2d(t);
  });
  int64_t columns = 0, before = 0;
  for (const Tensor& b : blocks) columns = checked_add(columns, b.size(1), "block_diag");
  for (Tensor& b : blocks) {
    int64_t own = b.size(1);
    b = pad_constant(b, Dims{before, columns - before - own});
    before += own;
  }
  return join(blocks, 0);
}

std::vector<Tensor> broadcast_all(List list) {
  if (list.empty()) return {};
  Dims sizes(list[0].sizes());
  for (const Tensor& t : list) sizes = broadcast_shape(sizes, t.sizes(), "broadcast_tensors");
  return each(list, "broadcast_tensors", [&](const Tensor& t) { return expand(t, sizes); });
}
std::vector<Tensor> mesh(List list, std::string_view indexing) {
  MOKA_CHECK(indexing == "ij" || indexing == "xy",
             "meshgrid: indexing must be one of \"xy\" or \"ij\", but received: ", indexing);
  MOKA_CHECK(!list.empty(), "meshgrid: expects a non-empty TensorList");
  Dims sizes;
  for (const Tensor& t : list) {
    MOKA_CHECK(t.dim() <= 1, "meshgrid: Expected 0D or 1D tensor in the tensor list but got shape ",
               t.sizes());
    MOKA_CHECK(t.dtype() == list[0].dtype(), "meshgrid: expects all tensors to have the same dtype, got ",
               list[0].dtype(), " and ", t.dtype());
    sizes.push_back(t.numel());
  }
  size_t n = list.size();
  bool swapped = indexing == "xy" && n >= 2;
  if (swapped) std::swap(sizes[0], sizes[1]);
  std::vector<Tensor> out;
  for (size_t i = 0; i < n; i++) {
    size_t d = swapped && i < 2 ? 1 - i : i;
    Dims own(n, 1);
    own[d] = list[i].numel();
    out.push_back(expand(reshape(list[i], own), sizes));
  }
  return out;
}
Tensor all_pairs(List list) {
  MOKA_CHECK(!list.empty(), "cartesian_prod: expected at least one tensor");
  for (const Tensor& t : list)
    MOKA_CHECK(t.dim() == 1, "cartesian_prod: Expect a 1D vector, but got shape ", t.sizes());
  if (list.size() == 1) return alias(list[0]);
  std::vector<Tensor> grid = mesh(list, "ij");
  for (Tensor& g : grid) g = reshape(g, Dims{g.numel()});
  return stack(List(grid), 1);
}
// How many ways there are to take r of n.
int64_t ways_to_take(int64_t n, int64_t r) {
  if (r > n) return 0;
  r = std::min(r, n - r);
  int64_t ways = 1;
  for (int64_t i = 1; i <= r; i++) {
    const __int128 next = static_cast<__int128>(ways) * (n - r + i) / i;
    MOKA_CHECK(next < std::numeric_limits<int64_t>::max(), "combinations: more than 2^63 of ", r, " out of ",
               n);
    ways = static_cast<int64_t>(next);
  }
  return ways;
}
Tensor choose(const Tensor& x, int64_t r, bool replacement) {
  MOKA_CHECK(x.dim() == 1, "combinations: Expect a 1D vector, but got shape ", x.sizes());
  MOKA_CHECK(r >= 0, "combinations: Expect a non-negative number, but got ", r);
  int64_t n = x.size(0);
  if (r == 0) return reshape(narrow(x, 0, int64_t(0), int64_t(0)), Dims{0});
  // All index tuples in lexicographic order.
  const int64_t ways =
      replacement ? n ? ways_to_take(checked_add(n, r - 1, "combinations"), r) : 0 : ways_to_take(n, r);
  if (ways == 0) return reshape(narrow(x, 0, int64_t(0), int64_t(0)), Dims{0, r});
  Tensor index = new_tensor(Dims{checked_mul(ways, r, "combinations")}, DType::I64);
  int64_t* place = index.data<int64_t>();
  Dims pick(static_cast<size_t>(r));
  for (int64_t i = 0; i < r; i++) pick[static_cast<size_t>(i)] = replacement ? 0 : i;
  for (;;) {
    place = std::copy(pick.begin(), pick.end(), place);
    int64_t i = r - 1;
    while (i >= 0 && pick[static_cast<size_t>(i)] == (replacement ? n - 1 : n - r + i)) i--;
    if (i < 0) break;
    int64_t next = ++pick[static_cast<size_t>(i)];
    for (int64_t k = i + 1; k < r; k++) pick[static_cast<size_t>(k)] = replacement ? next : next + k - i;
  }
  return reshape(index_select(x, 0, index), Dims{ways, r});
}

// ---- splits
std::vector<Tensor> split_at(const Tensor& x, Ints indices, int64_t dim, std::string_view op) {
  MOKA_CHECK(x.dim() > 0, op, " expected at least a 1-dimensional tensor, but got a tensor with 0 dims");
  int d = wrap_dim(dim, x.dim(), op);
  std::vector<Tensor> out;
  int64_t start = 0;
  for (size_t i = 0; i <= indices.size(); i++) {
    if (i == indices.size()) {
      out.push_back(slice(x, d, start));
    } else {
      out.push_back(slice(x, d, start, indices[i]));
      start = indices[i];
    }
  }
  return out;
}
std::vector<Tensor> split_even(const Tensor& x, int64_t sections, int64_t dim, std::string_view op) {
  MOKA_CHECK(x.dim() > 0, op, " expected at least a 1-dimensional tensor, but got a tensor with 0 dims");
  MOKA_CHECK(sections > 0, op, ": number of sections must be larger than 0, got ", sections);
  MOKA_CHECK_KIND(OutOfMemory, sections < (int64_t(1) << 26), op, ": there is no memory for ", sections,
                  " tensors");
  int d = wrap_dim(dim, x.dim(), op);
  int64_t n = x.size(d), at = 0;
  std::vector<Tensor> out;
  for (int64_t i = 0; i < sections; i++) {
    int64_t size = n / sections + (i < n % sections);
    out.push_back(narrow(x, d, at, size));
    at += size;
  }
  return out;
}
std::vector<Tensor> split_sections(const Tensor& x, int64_t sections, int64_t dim) {
  return split_even(x, sections, dim, "tensor_split");
}
std::vector<Tensor> split_indices(const Tensor& x, Ints indices, int64_t dim) {
  return split_at(x, indices, dim, "tensor_split");
}
std::vector<Tensor> split_by_tensor(const Tensor& x, const Tensor& by, int64_t dim) {
  MOKA_CHECK(by.dtype() == DType::I64, "tensor_split: tensor_indices_or_sections must be int64, got ",
             by.dtype());
  MOKA_CHECK(by.dim() <= 1, "tensor_split: tensor_indices_or_sections must be 0- or 1-d, got shape ",
             by.sizes());
  check_sizes_known(by, "tensor_split");
  Tensor places = as_contiguous(by);
  if (by.dim() == 0) return split_sections(x, places.data<int64_t>()[0], dim);
  return split_indices(x, Ints(places.data<int64_t>(), static_cast<size_t>(places.numel())), dim);
}
int64_t axis_of(const Tensor& x, std::string_view op, int least) {
  MOKA_CHECK(x.dim() >= least, "torch.", op, " requires a tensor with at least ", least,
             " dimension but got a tensor with ", x.dim(), " dimensions!");
  return least == 1 ? (x.dim() == 1 ? 0 : 1) : least == 2 ? 0 : 2;
}
template <int least>
std::vector<Tensor> split_axis(const Tensor& x, int64_t sections) {
  constexpr std::string_view op = least == 1 ? "hsplit" : least == 2 ? "vsplit" : "dsplit";
  int64_t d = axis_of(x, op, least);
  MOKA_CHECK(sections > 0 && x.size(static_cast<int>(d)) % sections == 0, "torch.", op,
             " attempted to split along dimension ", d, ", but the size of the dimension ",
             x.size(static_cast<int>(d)), " is not divisible by the split_size ", sections, "!");
  return split_even(x, sections, d, op);
}
template <int least>
std::vector<Tensor> split_axis_at(const Tensor& x, Ints indices) {
  constexpr std::string_view op = least == 1 ? "hsplit" : least == 2 ? "vsplit" : "dsplit";
  return split_at(x, indices, axis_of(x, op, least), op);
}
std::vector<Tensor> split_sizes(const Tensor& x, Ints sizes, int64_t dim) {
  MOKA_CHECK(x.dim() > 0, "split_with_sizes: expects at least a 1-dimensional tensor");
  int d = wrap_dim(dim, x.dim(), "split_with_sizes");
  int64_t total = 0, at = 0;
  for (int64_t s : sizes) {
    MOKA_CHECK(s >= 0, "split_with_sizes: expects split_sizes have only non-negative entries, but got ",
               sizes);
    total = checked_add(total, s, "split_with_sizes");
  }
  MOKA_CHECK(total == x.size(d), "split_with_sizes: expects split_sizes to sum exactly to ", x.size(d),
             " (input tensor's size at dimension ", d, "), but got split_sizes=", sizes);
  std::vector<Tensor> out;
  for (int64_t s : sizes) {
    out.push_back(narrow(x, d, at, s));
    at += s;
  }
  return out;
}
}  // namespace

#define MOKA_PART_OP(name, signature, text, where, function, ...)                                           \
  constinit const Op name##_op {                                                                            \
    .schema = signature, .doc = text, .method = where, .body = parts<function>(),                           \
    .onnx = none("written as its parts"), .netdef = none("written as its parts"), .samples = {__VA_ARGS__}, \
  }

MOKA_PART_OP(atleast_1d, "atleast_1d(Tensor input) -> Tensor", "input with at least 1 dimension.", "function",
             at_least_1d, shape(), shape(2, 3));
MOKA_PART_OP(atleast_2d, "atleast_2d(Tensor input) -> Tensor", "input with at least 2 dimensions.",
             "function", at_least_2d, shape(), shape(3), shape(2, 3));
MOKA_PART_OP(atleast_3d, "atleast_3d(Tensor input) -> Tensor", "input with at least 3 dimensions.",
             "function", at_least_3d, shape(), shape(3), shape(2, 3));
MOKA_PART_OP(hstack, "hstack(Tensor[] tensors) -> Tensor", "Joins tensors side by side: vectors end to end.",
             "function", join_columns, shapes({2, 1}, {2, 3}).as_list(), shapes({2}, {0}).as_list());
MOKA_PART_OP(vstack, "vstack(Tensor[] tensors) -> Tensor",
             "Joins tensors on top of each other: vectors are rows.", "function", join_rows,
             shapes({1, 3}, {3}).as_list(), shapes({3}, {3}).as_list());
MOKA_PART_OP(row_stack, "row_stack(Tensor[] tensors) -> Tensor", "vstack by another name.", "function",
             join_rows, shapes({1, 3}, {3}).as_list(), shapes({3}, {3}).as_list());
MOKA_PART_OP(dstack, "dstack(Tensor[] tensors) -> Tensor", "Joins tensors along the third dimension.",
             "function", join_depth, shapes({2, 3}, {2, 3}).as_list(), shapes({2}, {2}).as_list());
MOKA_PART_OP(column_stack, "column_stack(Tensor[] tensors) -> Tensor", "Joins tensors as columns.",
             "function", join_vectors, shapes({2}, {2, 3}).as_list(), shapes({2}, {2}).as_list());
MOKA_PART_OP(block_diag, "block_diag(Tensor[] tensors) -> Tensor",
             "The matrix with the given blocks on its diagonal.", "function", join_blocks,
             shapes({2, 1}, {2, 3}).as_list(), shapes({}, {2}).as_list());
MOKA_PART_OP(broadcast_tensors, "broadcast_tensors(Tensor[] tensors) -> Tensor[]",
             "All tensors expanded to the one shape to which they broadcast.", "function", broadcast_all,
             shapes({2, 1}, {3}).as_list(), shapes({}, {0}).as_list());
MOKA_PART_OP(meshgrid, "meshgrid(Tensor[] tensors, str indexing='ij') -> Tensor[]",
             "The coordinates of all points of a grid, a tensor for each axis; 'xy' exchanges the first two.",
             "function", mesh, shapes({2}, {3}).as_list(), shapes({2}, {3}).as_list().with("indexing", "xy"));
MOKA_PART_OP(cartesian_prod, "cartesian_prod(Tensor[] tensors) -> Tensor",
             "All tuples with one element of each vector, a row each.", "function", all_pairs,
             shapes({2}, {3}).as_list(), shapes({2}, {0}).as_list());
MOKA_PART_OP(combinations, "combinations(Tensor input, int r=2, bool with_replacement=False) -> Tensor",
             "All choices of r elements of a vector, a row each.", "function", choose, shape(4),
             shape(3).with("r", 2).with("with_replacement", true), shape(2).with("r", 3));
MOKA_PART_OP(tensor_split, "tensor_split.sections(Tensor input, int sections, int dim=0) -> Tensor[]",
             "So many views along dim, the first ones larger by one where the size does not divide.", "both",
             split_sections, shape(5, 2).with("sections", 3), shape(2).with("sections", 4));
MOKA_PART_OP(tensor_split_indices, "tensor_split.indices(Tensor input, int[] indices, int dim=0) -> Tensor[]",
             "Views along dim that end and begin at the given places.", "both", split_indices,
             shape(5, 2).with("indices", {1, 3}), shape(3).with("indices", {2, 1}));
MOKA_PART_OP(tensor_split_tensor,
             "tensor_split.tensor(Tensor input, Tensor tensor_indices_or_sections, int dim=0) -> Tensor[]",
             "The same with places, or a number of parts, in a tensor.", "both", split_by_tensor,
             shapes({5, 2}, {2}).in(Domain::Index, 1, 4), shapes({4}, {0}).in(Domain::Index, 1, 4));
MOKA_PART_OP(hsplit, "hsplit.int(Tensor input, int sections) -> Tensor[]",
             "Equal views side by side: along dimension 1, of vectors along their only one.", "both",
             split_axis<1>, shape(2, 4).with("sections", 2), shape(4).with("sections", 4));
MOKA_PART_OP(hsplit_indices, "hsplit.array(Tensor input, int[] indices) -> Tensor[]",
             "Views side by side that end and begin at the given places.", "both", split_axis_at<1>,
             shape(2, 4).with("indices", {1}), shape(4).with("indices", {2, 3}));
MOKA_PART_OP(vsplit, "vsplit.int(Tensor input, int sections) -> Tensor[]", "Equal views along dimension 0.",
             "both", split_axis<2>, shape(4, 2).with("sections", 2), shape(2, 0).with("sections", 1));
MOKA_PART_OP(vsplit_indices, "vsplit.array(Tensor input, int[] indices) -> Tensor[]",
             "Views along dimension 0 that end and begin at the given places.", "both", split_axis_at<2>,
             shape(4, 2).with("indices", {1}), shape(4, 1).with("indices", {2, 3}));
MOKA_PART_OP(dsplit, "dsplit.int(Tensor input, int sections) -> Tensor[]", "Equal views along dimension 2.",
             "both", split_axis<3>, shape(2, 1, 4).with("sections", 2), shape(1, 2, 0).with("sections", 1));
MOKA_PART_OP(dsplit_indices, "dsplit.array(Tensor input, int[] indices) -> Tensor[]",
             "Views along dimension 2 that end and begin at the given places.", "both", split_axis_at<3>,
             shape(2, 1, 4).with("indices", {1}), shape(1, 1, 4).with("indices", {2, 3}));
MOKA_PART_OP(split_with_sizes, "split_with_sizes(Tensor input, int[] split_sizes, int dim=0) -> Tensor[]",
             "Views of the given sizes along dim.", "both", split_sizes,
             shape(5, 2).with("split_sizes", {2, 3}), shape(2, 3).with("split_sizes", {3, 0}).with("dim", 1));
#undef MOKA_PART_OP

}  // namespace moka::ops
