// Adapters that cut, join borders to and rearrange tensors, by sizes that may be known only when the graph runs.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/formats/onnx/running_internal.h"

namespace moka::onnx {

using graph::Dim;
using graph::Value;
using spelling::named;

namespace {

bool split(NodeReader& n) {
  const int64_t axis = n.integer("axis", 0), parts = n.node.outputs;
  MOKA_CHECK_KIND(File, parts > 0, "has no outputs");
  if (spelling::rank(n[0]) >= 0) wrapped(axis, spelling::rank(n[0]));
  const Whole size = size_of(n, n[0], axis);
  Wholes sizes;
  if (auto known = n.ints_of("split", 1)) {
    MOKA_CHECK_KIND(File, static_cast<int64_t>(known->size()) >= parts, "gives ", known->size(),
                    " sizes for ", parts, " outputs");
    for (int64_t s : *known) {
      MOKA_CHECK_KIND(File, s >= 0, "size ", s, " of a part is negative");
      sizes.push_back(s);
    }
  } else if (n.has(1)) {
    for (int64_t i = 0; i < parts; i++) sizes.push_back(whole_element(n, 1, i));
  } else {
    // Equal parts; since opset 18 the last may be smaller.
    MOKA_CHECK_KIND(File, n.version >= 18 || !size.fixed() || size.number % parts == 0, "size ", size.number,
                    " cannot be split into ", parts, " equal parts");
    const Whole each = arithmetic(n, "floordiv", arithmetic(n, "add", size, parts - 1), parts);
    for (int64_t i = 0; i < parts; i++) {
      const Whole left = arithmetic(n, "sub", size, arithmetic(n, "mul", each, i));
      sizes.push_back(
          i + 1 < parts && !size.fixed() ? each : arithmetic(n, "max", 0, arithmetic(n, "min", each, left)));
    }
  }
  Whole at = 0;
  for (int64_t i = 0; i < parts; i++) {
    const Whole length = sizes[static_cast<size_t>(i)];
    n.out(part_of(n, n[0], axis, at, length), static_cast<int>(i));
    at = arithmetic(n, "add", at, length);
  }
  return true;
}

// The type of x but for the size of one dimension; all sizes may have changed where the axis is not known.
Value* keep_rank(Value* y, Value* x, const Whole& axis = Whole(INT64_MIN)) {
  DType dtype;
  const int rank = spelling::rank(x);
  if (!spelling::has_dtype(x, &dtype) || rank < 0) return y;
  Wholes sizes;
  for (const Dim& d : x->type.dims)
    sizes.push_back(d.fixed() && axis.fixed() && axis.number != INT64_MIN ? d.size : -1);
  if (axis.fixed() && axis.number >= -rank && axis.number < rank)
    sizes[static_cast<size_t>(axis.number < 0 ? axis.number + rank : axis.number)] = -1;
  return promise(y, dtype, sizes);
}

// A slice by a step that may turn out negative: the places are counted.
Value* by_places(NodeReader& n, Value* x, const Whole& axis, const Whole& start, const Whole& end,
                 const Whole& step) {
  auto real = [&](Whole w) { return number_of(n, w, DType::I64); };
  auto call = [&](const char* op, Value* a, spelling::Argument b) { return n.call(op, {a, b}); };
  const Whole length = axis.fixed() ? size_of(n, x, axis.number) : Whole(n.builtin("size", {x, axis.value}));
  Value *size = real(length), *by = real(step), *zero = real(0), *one = real(1);
  Value *forward = call("gt", by, zero), *last = call("sub", size, one);
  auto bound = [&](Whole w, Value* least) {
    Value* v = real(w);
    v = n.call("where", {call("lt", v, zero), call("add", v, size), v});
    v = call("maximum", v, n.call("where", {forward, zero, least}));
    return call("minimum", v, n.call("where", {forward, size, last}));
  };
  Value *from = bound(start, real(-1)), *to = bound(end, real(-1));
  Value* room = call("add", call("sub", to, from), call("sub", by, n.call("sign", {by})));
  Value* count = n.call("clamp_min", {n.call("floor_divide", {room, by}), int64_t(0)});
  Value* places = promise(n.call("arange.start_step", {int64_t(0), n.builtin("int", {count}), int64_t(1),
                                                       named("dtype", DType::I64)}),
                          DType::I64, 1);
  places = call("add", call("mul", places, by), from);
  return keep_rank(n.call("index_select", {x, axis.argument(), places}), x, axis);
}

// Ends that are known only when running.
bool running_slice(NodeReader& n) {
  Dims count;
  bool counted = false;
  for (int i = 1; i < 5 && !counted; i++)
    counted = n.has(i) && spelling::fixed_sizes(n[i], count) && count.size() == 1;
  if (!counted) return n.declines("how many dimensions are sliced is not known");
  Value* x = n[0];
  for (int64_t i = 0; i < count[0]; i++) {
    const Whole axis = n.has(3) ? whole_element(n, 3, i) : Whole(i),
                step = n.has(4) ? whole_element(n, 4, i) : Whole(1);
    const Whole start = whole_element(n, 1, i), end = whole_element(n, 2, i);
    MOKA_CHECK_KIND(File, !step.fixed() || step.number != 0, "a step of 0");
    if (!step.fixed() || step.number < 0) x = by_places(n, x, axis, start, end, step);
    else
      x = keep_rank(n.call("slice", {x, axis.argument(), start.argument(), end.argument(), step.argument()}),
                    x, axis);
  }
  n.out(x);
  return true;
}

// One slice an axis. Backwards slices are a flip and a forward one.
bool slice(NodeReader& n) {
  const bool inputs = n.version >= 10;
  auto starts = inputs ? n.known_ints(1) : n.ints("starts");
  auto ends = inputs ? n.known_ints(2) : n.ints("ends");
  auto axes = inputs ? n.known_ints(3) : n.ints("axes");
  auto steps = inputs ? n.known_ints(4) : std::optional<Dims>();
  if (!starts || !ends || (inputs && ((n.has(3) && !axes) || (n.has(4) && !steps)))) return running_slice(n);
  const size_t count = starts->size();
  if (!axes) {
    axes.emplace();
    for (size_t i = 0; i < count; i++) axes->push_back(static_cast<int64_t>(i));
  }
  if (!steps) steps = Dims(count, int64_t(1));
  MOKA_CHECK_KIND(File, ends->size() == count && axes->size() == count && steps->size() == count,
                  "starts, ends, axes and steps differ in length");
  Value* x = n[0];
  for (size_t i = 0; i < count; i++) {
    int64_t start = (*starts)[i], end = (*ends)[i], step = (*steps)[i], axis = (*axes)[i];
    MOKA_CHECK_KIND(File, step != 0, "a step of 0");
    if (axis < 0) axis = wrapped(axis, n.rank_of(0));
    if (step > 0) {
      x = n.call("slice", {x, axis, start, end, step});
      continue;
    }
    const Dim* d = spelling::rank(x) > axis ? &x->type.dims[static_cast<size_t>(axis)] : nullptr;
    if (!d || !d->fixed()) {
      x = by_places(n, x, axis, start, end, step);
      continue;
    }
    const int64_t size = d->size;
    if (start < 0) start = start < -size ? -1 : start + size;
    if (end < 0) end = end < -size ? -1 : end + size;
    start = std::clamp<int64_t>(start, -1, size - 1);
    end = std::clamp<int64_t>(end, -1, size - 1);
    MOKA_CHECK_KIND(File, step != INT64_MIN, "step ", step, " is out of range");
    x = n.call("flip", {x, Dims{axis}});
    x = n.call("slice", {x, axis, size - 1 - start, std::max(size - 1 - end, size - 1 - start), -step});
  }
  n.out(x);
  return true;
}

// ONNX has all begins, then all ends, in the order of dimensions; ours has (begin, end) pairs from the last dimension on.
bool pad(NodeReader& n) {
  const std::string_view mode = n.text("mode", "constant");
  const char* border = mode == "reflect" ? "reflect"
                       : mode == "edge"  ? "replicate"
                       : mode == "wrap"  ? "circular"
                                         : "";
  MOKA_CHECK_KIND(File, mode == "constant" || *border, "mode '", mode, "' does not exist");
  auto known = n.version < 2 && n.attribute("paddings") ? n.ints("paddings")
               : n.version < 11                         ? n.ints("pads")
                                                        : n.known_ints(1);
  const int rank = n.rank_of(0);
  const spelling::Argument value = n.has(2) ? n.number_argument(2) : spelling::Argument(n.number("value", 0));
  Dims axes;
  Value* all = nullptr;  // pads of all dimensions, where axes are known only when running
  if (n.has(3)) {
    if (auto given = n.known_ints(3)) {
      axes = *given;
    } else {
      const Whole count = size_of(n, n[3], 0);
      if (!count.fixed()) return n.declines("how many axes there are is not known");
      Value* places = n.call("remainder", {n.call("to", {n[3], DType::I64}), int64_t(rank)});
      Value* none = n.call("zeros", {Dims{rank}, named("dtype", DType::I64)});
      auto side = [&](int64_t from) {
        Value* own = n.call("narrow", {n.call("to", {n[1], DType::I64}), int64_t(0), from, count.number});
        return n.call("scatter", {none, int64_t(0), places, own});
      };
      all = n.call("cat", {std::vector<Value*>{side(0), side(count.number)}, int64_t(0)});
      all = n.builtin("ints", {all});
      known.reset();
      for (int i = 0; i < rank; i++) axes.push_back(i);
    }
  } else {
    for (int i = 0; i < rank; i++) axes.push_back(i);
  }
  MOKA_CHECK_KIND(File, !known || known->size() == 2 * axes.size(), known ? known->size() : 0,
                  " pads were given for ", axes.size(), " dimensions");
  auto element = [&](size_t i) -> Whole {
    if (all) return n.builtin("index", {all, n.build.constant(Any(static_cast<int64_t>(i)))});
    return known ? Whole((*known)[i]) : whole_element(n, 1, static_cast<int64_t>(i));
  };
  Wholes ours(static_cast<size_t>(rank) * 2, Whole(0));
  for (size_t i = 0; i < axes.size(); i++) {
    const size_t at = static_cast<size_t>(rank - 1 - wrapped(axes[i], rank));
    ours[2 * at] = element(i);
    ours[2 * at + 1] = element(axes.size() + i);
  }
  auto is_zero = [](const Whole& w) { return w.fixed() && w.number == 0; };
  while (ours.size() >= 2 && is_zero(ours.back()) && is_zero(ours[ours.size() - 2])) {
    ours.pop_back();
    ours.pop_back();
  }
  if (ours.empty()) {
    n.out(n[0]);
    return true;
  }
  Value* y = *border ? n.call("pad_border", {n[0], list_of(n, ours), border})
                     : n.call("pad_constant", {n[0], list_of(n, ours), value});
  n.out(keep_rank(y, n[0]));
  return true;
}

// Blocks of pixels and channels change places.
template <bool to_space>
bool blocks(NodeReader& n) {
  const Wholes s = sizes_of(n, n[0]);
  MOKA_CHECK_KIND(File, s.size() == 4, "the input has ", s.size(), " dimensions, 4 were expected");
  const int64_t b = n.integer("blocksize", 0);
  const std::string_view mode = n.text("mode", "DCR");
  MOKA_CHECK_KIND(File, mode == "DCR" || mode == "CRD", "mode '", mode, "' does not exist");
  const bool columns_first = mode == "CRD";
  MOKA_CHECK_KIND(File, b > 0 && b < 65536, "blocksize ", b, " must be positive");
  auto divided = [&](size_t i, int64_t by) {
    MOKA_CHECK_KIND(File, !s[i].fixed() || s[i].number % by == 0, "blocksize ", b, " does not divide size ",
                    s[i].number, " of dimension ", i);
    return arithmetic(n, "floordiv", s[i], by);
  };
  auto times = [&](const Whole& w, int64_t by) { return arithmetic(n, "mul", w, by); };
  if (to_space) {
    const Whole c = divided(1, b * b);
    Value* x =
        columns_first
            ? n.call("permute", {reshaped(n, n[0], {s[0], c, b, b, s[2], s[3]}), Dims{0, 1, 4, 2, 5, 3}})
            : n.call("permute", {reshaped(n, n[0], {s[0], b, b, c, s[2], s[3]}), Dims{0, 3, 4, 1, 5, 2}});
    n.out(reshaped(n, x, {s[0], c, times(s[2], b), times(s[3], b)}));
    return true;
  }
  const Whole rows = divided(2, b), columns = divided(3, b);
  Value* x = reshaped(n, n[0], {s[0], s[1], rows, b, columns, b});
  x = n.call("permute", {x, columns_first ? Dims{0, 1, 3, 5, 2, 4} : Dims{0, 3, 5, 1, 2, 4}});
  n.out(reshaped(n, x, {s[0], times(s[1], b * b), rows, columns}));
  return true;
}

constexpr Adapter table[] = {
    {"Split", 1, 0, split},
    {"Slice", 1, 0, slice},
    {"Pad", 1, 0, pad},
    {"DepthToSpace", 1, 0, blocks<true>},
    {"SpaceToDepth", 1, 0, blocks<false>},
};

}  // namespace

std::span<const Adapter> slicing_adapters() { return table; }

}  // namespace moka::onnx
