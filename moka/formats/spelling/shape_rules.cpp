// Views and movements of elements written with reshape, permute, slice, cat and index_select.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/formats/spelling/conversions.h"
#include "moka/formats/spelling/rewriting.h"
#include "moka/schema/frame.h"

namespace moka::spelling {

using graph::Node;
using graph::Value;

namespace {

Value* same(const Rewriting& r) { return r["input"]; }
Value* as_reshape(const Rewriting& r) { return r.call("reshape", {r["input"], r["size"]}); }
Value* transpose(const Rewriting& r) {
  int64_t a, b;
  const int rank = r.rank("input");
  if (rank < 0 || !r.integer("dim0", a) || !r.integer("dim1", b)) return nullptr;
  if (rank == 0) return r["input"];
  Dims order;
  for (int i = 0; i < rank; i++) order.push_back(i);
  std::swap(order[static_cast<size_t>(wrap(a, rank))], order[static_cast<size_t>(wrap(b, rank))]);
  return r.call("permute", {r["input"], order});
}
Value* t(const Rewriting& r) {
  const int rank = r.rank("input");
  if (rank < 0) return nullptr;
  return rank < 2 ? r["input"] : r.call("permute", {r["input"], Dims{1, 0}});
}
Value* permute_inverse(const Rewriting& r) {
  Dims dims;
  if (!r.ints("dims", dims)) return nullptr;
  Dims order(dims.size(), int64_t(0));
  for (size_t i = 0; i < dims.size(); i++)
    order[static_cast<size_t>(wrap(dims[i], static_cast<int>(dims.size())))] = static_cast<int64_t>(i);
  return r.call("permute", {r.node.input(0), order});
}
// The sizes of the result, at most one of them open.
Value* by_result_shape(const Rewriting& r) {
  const graph::Type& type = r.node.output()->type;
  if (!type.has_dims) return nullptr;
  Dims sizes;
  int open = 0;
  for (const graph::Dim& d : type.dims) {
    sizes.push_back(d.fixed() ? d.size : -1);
    open += !d.fixed();
  }
  if (open > 1) return nullptr;
  return r.call("reshape", {r["input"], sizes});
}
Value* flatten(const Rewriting& r) {
  if (Value* v = by_result_shape(r)) return v;
  int64_t from, to;
  const int rank = r.rank("input");
  if (rank < 1 || !r.integer("start_dim", from) || !r.integer("end_dim", to)) return nullptr;
  from = wrap(from, rank), to = wrap(to, rank);
  std::vector<Size> sizes;
  for (int64_t d = 0; d < from; d++) sizes.push_back(r.size(r["input"], d));
  sizes.push_back(-1);
  for (int64_t d = to + 1; d < rank; d++) sizes.push_back(r.size(r["input"], d));
  return r.call("reshape", {r["input"], r.list(sizes)});
}
Value* unflatten(const Rewriting& r) {
  if (Value* v = by_result_shape(r)) return v;
  int64_t dim;
  Dims parts;
  const int rank = r.rank("input");
  if (rank < 1 || !r.integer("dim", dim) || !r.ints("sizes", parts)) return nullptr;
  std::vector<Size> sizes = r.sizes(r["input"]);
  const auto at = sizes.begin() + wrap(dim, rank);
  sizes.insert(sizes.erase(at), parts.begin(), parts.end());
  return r.call("reshape", {r["input"], r.list(sizes)});
}
Value* squeeze_all(const Rewriting& r) {
  const graph::Type& type = r["input"]->type;
  if (!type.has_dims) return nullptr;
  Dims ones;
  for (size_t i = 0; i < type.dims.size(); i++) {
    if (!type.dims[i].fixed()) return nullptr;
    if (type.dims[i].size == 1) ones.push_back(static_cast<int64_t>(i));
  }
  return r.squeezed(r["input"], ones);
}
// Dimensions of another size than 1 stay; files want those of size 1 alone.
Value* squeeze_some(const Rewriting& r) {
  const graph::Type& type = r["input"]->type;
  Dims dims, ones;
  if (!type.has_dims || !r.ints("dim", dims)) return nullptr;
  for (int64_t d : dims) {
    if (type.dims.empty()) continue;
    d = wrap(d, r.rank("input"));
    const graph::Dim& size = type.dims[static_cast<size_t>(d)];
    if (!size.fixed() || size.size == 1) ones.push_back(d);
  }
  if (ones.size() == dims.size()) return nullptr;
  return r.squeezed(r["input"], ones);
}
Value* narrow(const Rewriting& r) {
  int64_t start, length;
  if (!r.integer("start", start) || !r.integer("length", length)) return nullptr;
  // An end of 0 would mean the first element when the start counts from the back.
  const int64_t end = start < 0 && start + length == 0 ? INT64_MAX : start + length;
  return r.call("slice", {r["input"], r["dim"], start, end});
}
Value* select(const Rewriting& r) {
  int64_t dim, index;
  if (!r.integer("dim", dim) || !r.integer("index", index)) return nullptr;
  const Term one = r.call("slice", {r["input"], dim, index, index == -1 ? INT64_MAX : index + 1});
  return r.call("squeeze.dim", {one, Dims{dim}});
}
Value* stack(const Rewriting& r) {
  int64_t dim;
  Node* list = r["tensors"]->producer();
  if (!r.integer("dim", dim) || !list || list->kind != graph::NodeKind::List) return nullptr;
  std::vector<Value*> parts;
  for (Value* v : list->inputs()) parts.push_back(r.call("unsqueeze", {v, dim}));
  return r.call("cat", {parts, dim});
}
// A conversion to the type it has already, or to another device, is none.
Value* to(const Rewriting& r) {
  const Any* dtype = r.constant("dtype");
  DType have;
  if (!dtype) return nullptr;
  if (dtype->is_none() || (has_dtype(r["input"], &have) && have == dtype->dtype())) return r["input"];
  const Any* device = r.constant("device");
  const Any* copy = r.constant("copy");
  const bool plain = device && device->is_none() && copy && !copy->to_bool();
  if (plain) return nullptr;
  return r.call("to", {r["input"], dtype->dtype()});
}
Value* repeat(const Rewriting& r) {  // with more repeats than dimensions
  Dims repeats;
  const int rank = r.rank("input");
  if (rank < 0 || !r.ints("repeats", repeats) || static_cast<int>(repeats.size()) == rank) return nullptr;
  Value* x = r["input"];
  for (size_t i = static_cast<size_t>(rank); i < repeats.size(); i++)
    x = r.call("unsqueeze", {x, int64_t(0)});
  return r.call("repeat", {x, repeats});
}
Value* whole_slice(const Rewriting& r) {
  const Any *start = r.constant("start"), *end = r.constant("end");
  const bool all = start && end && (start->is_none() || r.is("start", 0)) &&
                   (end->is_none() || end->arg().as_int() == INT64_MAX) && r.is("step", 1);
  return all ? r["input"] : nullptr;
}
// Half of a dimension, for gated units.
Value* half_along(const Rewriting& r) {
  int64_t dim, index;
  Dims sizes;
  if (!r.integer("dim", dim) || !r.integer("index", index) || !has_rank(r["input"])) return nullptr;
  const graph::Dim& d = r["input"]->type.dims[static_cast<size_t>(wrap(dim, r.rank("input")))];
  if (!d.fixed()) return nullptr;
  const int64_t half = d.size / 2;
  return r.call("slice", {r["input"], dim, index * half, (index + 1) * half});
}
// A weight for each channel, as a tensor that broadcasts against the input.
Value* channel_view(const Rewriting& r) {
  const int rank = r.rank("input");
  Dims weight;
  if (rank < 0 || !fixed_sizes(r["weight"], weight)) return nullptr;
  int64_t count = 1;
  for (int64_t d : weight) count *= d;
  Dims sizes;
  if (rank >= 2 && count != 1) {
    sizes = Dims(static_cast<size_t>(rank) - 1, int64_t(1));
    sizes[0] = count;
  } else if (!weight.empty()) {
    sizes = Dims{count};
  }
  return r.call("reshape", {r["weight"], sizes});
}
// Places in memory as a list of indices, for tensors whose memory is in the order of their dimensions.
Value* as_strided(const Rewriting& r) {
  Dims size, stride, input;
  int64_t offset = 0;
  const Node* producer = r["input"]->producer();
  if (producer && producer->kind == graph::NodeKind::Op && producer->op->view) return nullptr;
  if (!r.ints("size", size) || !r.ints("stride", stride) || !fixed_sizes(r["input"], input)) return nullptr;
  if (!r.missing("storage_offset") && !r.integer("storage_offset", offset)) return nullptr;
  Dims places{offset};
  for (size_t d = 0; d < size.size(); d++) {
    Dims next;
    for (int64_t p : places)
      for (int64_t i = 0; i < size[d]; i++) next.push_back(p + i * stride[d]);
    places = next;
  }
  const Term flat = r.call("reshape", {r["input"], Dims{-1}});
  return r.call("reshape", {r.select(flat, 0, places), size});
}

// The places of a diagonal in the flattened last two dimensions.
Dims diagonal_places(int64_t rows, int64_t columns, int64_t offset) {
  Dims out;
  for (int64_t i = std::max<int64_t>(0, -offset), j = std::max<int64_t>(0, offset); i < rows && j < columns;
       i++, j++)
    out.push_back(i * columns + j);
  return out;
}
struct Plane {  // the tensor with the two dimensions last and flat
  Term flat;
  int64_t rows = 0, columns = 0;
  Dims order;
  std::vector<Size> outer;
};
bool plane_of(const Rewriting& r, Value* x, int64_t dim1, int64_t dim2, Plane& out) {
  const int rank = spelling::rank(x);
  if (rank < 2) return false;
  dim1 = wrap(dim1, rank), dim2 = wrap(dim2, rank);
  const graph::Dim &a = x->type.dims[static_cast<size_t>(dim1)], &b = x->type.dims[static_cast<size_t>(dim2)];
  if (!a.fixed() || !b.fixed()) return false;
  out.rows = a.size, out.columns = b.size;
  for (int i = 0; i < rank; i++)
    if (i != dim1 && i != dim2) {
      out.order.push_back(i);
      out.outer.push_back(r.size(x, i));
    }
  out.order.push_back(dim1);
  out.order.push_back(dim2);
  std::vector<Size> sizes = out.outer;
  sizes.push_back(out.rows * out.columns);
  out.flat = r.reshape(r.call("permute", {x, out.order}), sizes);
  return true;
}
Value* diagonal(const Rewriting& r) {
  int64_t offset, dim1, dim2;
  Plane p;
  if (!r.integer("offset", offset) || !r.integer("dim1", dim1) || !r.integer("dim2", dim2) ||
      !plane_of(r, r["input"], dim1, dim2, p))
    return nullptr;
  return r.select(p.flat, -1, diagonal_places(p.rows, p.columns, offset));
}
Value* diagonal_scatter(const Rewriting& r) {
  int64_t offset, dim1, dim2;
  Plane p;
  if (!r.integer("offset", offset) || !r.integer("dim1", dim1) || !r.integer("dim2", dim2) ||
      !plane_of(r, r["input"], dim1, dim2, p))
    return nullptr;
  const Dims places = diagonal_places(p.rows, p.columns, offset);
  const Term changed = r.call("index_copy", {p.flat, int64_t(-1), r.constant_ints(places), r["src"]});
  std::vector<Size> sizes = p.outer;
  sizes.push_back(p.rows);
  sizes.push_back(p.columns);
  return r.call("permute_inverse", {r.reshape(changed, sizes), p.order});
}
Value* diag_embed(const Rewriting& r) {
  int64_t offset, dim1, dim2;
  const int rank = r.rank("input");
  if (rank < 1 || !r.integer("offset", offset) || !r.integer("dim1", dim1) || !r.integer("dim2", dim2))
    return nullptr;
  const graph::Dim& last = r["input"]->type.dims.back();
  DType type;
  if (!last.fixed() || !r.dtype(r["input"], type)) return nullptr;
  const int64_t side = last.size + std::abs(offset);
  std::vector<Size> sizes = r.sizes(r["input"]);
  sizes.pop_back();
  sizes.push_back(side);
  sizes.push_back(side);
  if (last.size == 0) return r.call("zeros", {r.list(sizes), named("dtype", type)});  // nothing to show
  // Every place shows some element; those off the diagonal are masked.
  Dims from(static_cast<size_t>(side * side), int64_t(0));
  const int64_t all[] = {side, side};
  Tensor on = new_tensor(all, DType::Bool);
  std::fill_n(static_cast<uint8_t*>(on.raw_data()), side * side, uint8_t(0));
  const Dims places = diagonal_places(side, side, offset);
  for (size_t i = 0; i < places.size(); i++) {
    from[static_cast<size_t>(places[i])] = static_cast<int64_t>(i);
    static_cast<uint8_t*>(on.raw_data())[places[i]] = 1;
  }
  const Term spread = r.reshape(r.select(r["input"], -1, from), sizes);
  const Term made =
      r.call("where", {r.constant_tensor(on), spread, Any(number_tensor(Any(int64_t(0)), type))});
  dim1 = wrap(dim1, rank + 1), dim2 = wrap(dim2, rank + 1);
  Dims order(static_cast<size_t>(rank) + 1, int64_t(0));
  for (int i = 0, outer = 0; i <= rank; i++)
    order[static_cast<size_t>(i)] = i == dim1 ? rank - 1 : i == dim2 ? rank : outer++;
  return r.call("permute", {made, order});
}
// Windows of a dimension as a new last one.
Value* unfold(const Rewriting& r) {
  int64_t dim, size, step;
  const int rank = r.rank("input");
  if (rank < 0 || !r.integer("dimension", dim) || !r.integer("size", size) || !r.integer("step", step))
    return nullptr;
  if (rank == 0) return r.call("reshape", {r["input"], Dims{size}});
  dim = wrap(dim, rank);
  const graph::Dim& d = r["input"]->type.dims[static_cast<size_t>(dim)];
  if (!d.fixed() || d.size < size) return nullptr;
  const int64_t count = (d.size - size) / step + 1;
  Dims places;
  for (int64_t w = 0; w < count; w++)
    for (int64_t i = 0; i < size; i++) places.push_back(w * step + i);
  std::vector<Size> sizes = r.sizes(r["input"]);
  sizes[static_cast<size_t>(dim)] = count;
  sizes.insert(sizes.begin() + dim + 1, Size(size));
  const Term windows = r.reshape(r.select(r["input"], dim, places), sizes);
  return r.dim_last(windows, dim + 1);
}
// x with every place of `dim` either its own or one of src, by the places' positions in src (-1: its own).
Value* replace_along(const Rewriting& r, Value* x, Value* src, int64_t dim, const Dims& from) {
  const int rank = spelling::rank(x);
  const int64_t count = static_cast<int64_t>(from.size());
  Dims shape(static_cast<size_t>(rank), int64_t(1)), places;
  shape[static_cast<size_t>(wrap(dim, rank))] = count;
  Tensor replaced = new_tensor(shape, DType::Bool);
  bool any = false;
  for (int64_t i = 0; i < count; i++) {
    const int64_t place = from[static_cast<size_t>(i)];
    static_cast<uint8_t*>(replaced.raw_data())[i] = place >= 0;
    any |= place >= 0;
    places.push_back(std::max<int64_t>(place, 0));
  }
  if (!any) return x;
  return r.call("where", {r.constant_tensor(replaced), r.select(src, dim, places), x});
}
bool fixed_size(const Rewriting& r, int64_t dim, int64_t& size) {
  const int rank = r.rank("input");
  if (rank < 1) return false;
  const graph::Dim& d = r["input"]->type.dims[static_cast<size_t>(wrap(dim, rank))];
  size = d.size;
  return d.fixed();
}
Value* select_scatter(const Rewriting& r) {
  int64_t dim, index, size;
  DType type;
  if (!r.integer("dim", dim) || !r.integer("index", index) || !fixed_size(r, dim, size) ||
      !r.dtype(r["input"], type))
    return nullptr;
  Dims from(static_cast<size_t>(size), int64_t(-1));
  from[static_cast<size_t>(index < 0 ? index + size : index)] = 0;
  const Term src = r.call("unsqueeze", {r.cast(r["src"], type), wrap(dim, r.rank("input"))});
  return replace_along(r, r["input"], src, dim, from);
}
Value* slice_scatter(const Rewriting& r) {
  int64_t dim, step, size, start = 0, end = INT64_MAX;
  DType type;
  if (!r.integer("dim", dim) || !r.integer("step", step) || !fixed_size(r, dim, size) ||
      !r.dtype(r["input"], type))
    return nullptr;
  if ((!r.missing("start") && !r.integer("start", start)) || (!r.missing("end") && !r.integer("end", end)))
    return nullptr;
  auto inside = [&](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + size : i, 0, size); };
  Dims from(static_cast<size_t>(size), int64_t(-1));
  int64_t place = 0;
  for (int64_t i = inside(start); i < inside(end); i += step) from[static_cast<size_t>(i)] = place++;
  return replace_along(r, r["input"], r.cast(r["src"], type), dim, from);
}
// Parts of the channels go to and from the image.
Value* pixel_shuffle(const Rewriting& r) {
  int64_t factor;
  const int rank = r.rank("input");
  if (rank < 3 || !r.integer("upscale_factor", factor)) return nullptr;
  std::vector<Size> sizes = r.sizes(r["input"]);
  if (sizes[static_cast<size_t>(rank) - 3].value) return nullptr;
  std::vector<Size> apart(sizes.begin(), sizes.end() - 3), together = apart;
  const int64_t channels = sizes[static_cast<size_t>(rank) - 3].number / (factor * factor);
  const Size height = sizes[static_cast<size_t>(rank) - 2], width = sizes[static_cast<size_t>(rank) - 1];
  for (Size s : {Size(channels), Size(factor), Size(factor), height, width}) apart.push_back(s);
  for (Size s : {Size(channels), r.times(height, factor), r.times(width, factor)}) together.push_back(s);
  Dims order;
  const int64_t outer = rank - 3;
  for (int64_t i = 0; i < outer; i++) order.push_back(i);
  for (int64_t i : {0, 3, 1, 4, 2}) order.push_back(outer + i);
  return r.call("reshape", {r.call("permute", {r.call("reshape", {r["input"], r.list(apart)}), order}),
                            r.list(together)});
}
Value* pixel_unshuffle(const Rewriting& r) {
  int64_t factor;
  const int rank = r.rank("input");
  if (rank < 3 || !r.integer("downscale_factor", factor)) return nullptr;
  std::vector<Size> sizes = r.sizes(r["input"]);
  for (size_t i = static_cast<size_t>(rank) - 3; i < sizes.size(); i++)
    if (sizes[i].value) return nullptr;
  std::vector<Size> apart(sizes.begin(), sizes.end() - 3), together = apart;
  const int64_t channels = sizes[static_cast<size_t>(rank) - 3].number;
  const int64_t height = sizes[static_cast<size_t>(rank) - 2].number / factor,
                width = sizes[static_cast<size_t>(rank) - 1].number / factor;
  for (int64_t s : {channels, height, factor, width, factor}) apart.push_back(s);
  for (int64_t s : {channels * factor * factor, height, width}) together.push_back(s);
  Dims order;
  const int64_t outer = rank - 3;
  for (int64_t i = 0; i < outer; i++) order.push_back(i);
  for (int64_t i : {0, 2, 4, 1, 3}) order.push_back(outer + i);
  return r.reshape(r.call("permute", {r.reshape(r["input"], apart), order}), together);
}
Value* shuffled_channels(const Rewriting& r, bool back) {
  int64_t groups;
  if (!r.integer("groups", groups) || r.rank("input") < 2) return nullptr;
  std::vector<Size> sizes = r.sizes(r["input"]);
  if (sizes[1].value) return nullptr;
  std::vector<Size> apart = sizes;
  apart[1] = back ? sizes[1].number / groups : groups;
  apart.insert(apart.begin() + 2, back ? Size(groups) : Size(sizes[1].number / groups));
  Dims order;
  for (int64_t i = 0; i < static_cast<int64_t>(apart.size()); i++) order.push_back(i);
  std::swap(order[1], order[2]);
  return r.reshape(r.call("permute", {r.reshape(r["input"], apart), order}), sizes);
}
Value* channel_shuffle(const Rewriting& r) { return shuffled_channels(r, false); }
Value* channel_unshuffle(const Rewriting& r) { return shuffled_channels(r, true); }

// Circular padding: the end before the beginning, the beginning after the end.
Value* pad_circular(const Rewriting& r) {
  Dims pad;
  const int rank = r.rank("input");
  if (rank < 1 || r.text("mode") != "circular" || !r.ints("pad", pad)) return nullptr;
  Term x = r.term("input");
  for (size_t i = 0; 2 * i + 1 < pad.size(); i++) {
    const int64_t dim = rank - 1 - static_cast<int64_t>(i), before = pad[2 * i], after = pad[2 * i + 1];
    std::vector<Value*> parts;
    if (before < 0 || after < 0) return nullptr;
    if (before) parts.push_back(r.call("slice", {x, dim, -before, Any()}));
    parts.push_back(x);
    if (after) parts.push_back(r.call("slice", {x, dim, int64_t(0), after}));
    if (parts.size() > 1) x = r.call("cat", {parts, dim});
  }
  return x;
}
// Writes in place, as the values that they make.
Value* copied(const Rewriting& r) {
  DType type;
  if (!r.dtype(r["input"], type) || !has_rank(r["input"])) return nullptr;
  const Term src = r.cast(r["src"], type);
  Dims have, want;
  if (fixed_sizes(src, have) && fixed_sizes(r["input"], want) && have == want) return src;
  return r.call("expand", {src, r.list(r.sizes(r["input"]))});
}
Value* flip(const Rewriting& r) {
  Dims dims;
  const int rank = r.rank("input");
  if (rank < 0 || !r.ints("dims", dims)) return nullptr;
  Term x = r.term("input");
  for (int64_t d : dims) {
    d = wrap(d, rank);
    const graph::Dim& size = r["input"]->type.dims[static_cast<size_t>(d)];
    if (!size.fixed()) return nullptr;
    Dims backwards;
    for (int64_t i = size.size; i-- > 0;) backwards.push_back(i);
    x = r.select(x, d, backwards);
  }
  return x;
}
Value* filled(const Rewriting& r) { return r.call("full_like", {r["input"], r["value"]}); }
Value* zeroed(const Rewriting& r) { return r.call("zeros_like", {r["input"]}); }

constexpr RuleEntry rules[] = {
    {"pad_border", pad_circular},
    {"copy_", copied},
    {"fill_", filled},
    {"zero_", zeroed},
    {"flip", flip},
    {"view", as_reshape},
    {"flatten", flatten},
    {"unflatten", unflatten},
    {"transpose", transpose},
    {"t", t},
    {"permute_inverse", permute_inverse},
    {"squeeze", squeeze_all},
    {"squeeze.dim", squeeze_some},
    {"narrow", narrow},
    {"select", select},
    {"stack", stack},
    {"slice", whole_slice},
    {"contiguous", same},
    {"clone", same},
    {"detach", same},
    {"alias", same},
    {"scale_gradient", same},
    {"to", to},
    {"repeat", repeat},
    {"half_along", half_along},
    {"channel_view", channel_view},
    {"as_strided", as_strided},
    {"diagonal", diagonal},
    {"diagonal_scatter", diagonal_scatter},
    {"diag_embed", diag_embed},
    {"unfold", unfold},
    {"select_scatter", select_scatter},
    {"slice_scatter", slice_scatter},
    {"pixel_shuffle", pixel_shuffle},
    {"pixel_unshuffle", pixel_unshuffle},
    {"channel_shuffle", channel_shuffle},
    {"channel_unshuffle", channel_unshuffle},
};

}  // namespace

std::span<const RuleEntry> shape_rules() { return rules; }

}  // namespace moka::spelling
