// Resize and Upsample: as our own resampling where it has the form, else one axis after another, as a choice of places or a
// product with the matrix of weights.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "moka/formats/onnx/running_internal.h"

namespace moka::onnx {

using graph::Value;
using spelling::named;

namespace {

struct Axis {
  int64_t dim;
  Whole from, to;  // sizes
  Value *scale, *begin = nullptr, *end = nullptr;  // as float32; begin and end of the region, if there is one
};

// Sizes and places are computed in float32, as the standard does: 9 * 1.4444444 is 13 there, and 12 / 2.4 is 5.
Value* real(NodeReader& n, double v) { return constant_number(n, v, DType::F32); }
Value* real(NodeReader& n, Whole w) { return number_of(n, w, DType::F32); }

Whole whole_of(NodeReader& n, Value* number) {
  Any v;
  if (const Any* known = n.build.known(number); known && spelling::to_number(*known, v))
    return v.arg().as_int();
  return n.builtin("int", {number});
}

// With scales, the standard's own examples of align_corners divide by a length that is no integer. Frameworks resize to
// whole lengths, and their exporters write files that mean so.
bool whole_lengths(const NodeReader& n) {
  const auto producer = n.build.graph.metadata.find("producer");
  if (producer == n.build.graph.metadata.end()) return false;
  constexpr std::string_view frameworks[] = {"pytorch", "tf2onnx", "PaddlePaddle"};
  return std::any_of(std::begin(frameworks), std::end(frameworks),
                     [&](std::string_view name) { return producer->second.starts_with(name); });
}

// Scales alone say the sizes then, and places are asymmetric.
bool is_old(const NodeReader& n) { return n.version < 11 || n.node.op == "Upsample"; }
bool is_empty(const Value* v) {
  Dims sizes;
  return spelling::fixed_sizes(v, sizes) && sizes == Dims{0};
}

class Resizing {
 public:
  explicit Resizing(NodeReader& n)
      : n_(n),
        old_(is_old(n)),
        mode_(n.text("mode", "nearest")),
        place_(n.text("coordinate_transformation_mode", old_ ? "asymmetric" : "half_pixel")),
        nearest_(n.text("nearest_mode", old_ ? "floor" : "round_prefer_floor")),
        wide_(n.integer("antialias", 0) != 0),
        outside_(n.integer("exclude_outside", 0) != 0),
        coefficient_(n.number("cubic_coeff_a", -0.75)) {
    if (mode_ == "bilinear" || mode_ == "trilinear") mode_ = "linear";
    MOKA_CHECK_KIND(File, mode_ == "nearest" || mode_ == "linear" || mode_ == "cubic", "mode '", mode_,
                    "' does not exist");
    MOKA_CHECK_KIND(File, mode_ != "nearest" || !wide_, "antialias is for linear and cubic modes");
  }

  bool run() {
    Value* x = n_[0];
    const DType dtype = dtype_of(x, "the input");
    const int rank = rank_of(x, "the input");
    for (const Axis& a : axes(rank)) {
      const bool same = a.from.fixed() && a.to.fixed() && a.from.number == a.to.number && !a.begin &&
                        n_.build.known(a.scale) && scale_is_one(a);
      if (!same) x = mode_ == "nearest" ? chosen(x, a) : weighted(x, a, dtype, rank);
    }
    n_.out(x);
    return true;
  }

 private:
  bool scale_is_one(const Axis& a) const {
    return std::fabs(element_as_double(n_.build.known(a.scale)->tensor(), 0) - 1) < 1e-9;
  }

  std::vector<Axis> axes(int rank) {
    Dims dims;
    if (auto given = n_.ints("axes")) dims = *given;
    else
      for (int d = 0; d < rank; d++) dims.push_back(d);
    std::vector<Axis> out;
    for (int64_t& d : dims) {
      if (d < 0) d += rank;
      MOKA_CHECK_KIND(File, d >= 0 && d < rank, "axis ", d, " is out of range for ", rank, " dimensions");
    }
    const bool sizes = !old_ && n_.has(3) && !is_empty(n_[3]);
    Value* scales = sizes ? nullptr : scales_tensor();
    Value* policy = nullptr;  // the one scale of all axes
    const std::string_view keep = n_.text("keep_aspect_ratio_policy", "stretch");
    MOKA_CHECK_KIND(File, keep == "stretch" || keep == "not_larger" || keep == "not_smaller",
                    "keep_aspect_ratio_policy '", keep, "' does not exist");
    for (size_t i = 0; i < dims.size(); i++) {
      const int64_t k = static_cast<int64_t>(i);
      Axis a{dims[i], size_of(n_, n_[0], dims[i]), 0, nullptr};
      if (sizes) {
        a.to = whole_element(n_, 3, k);
        a.scale = n_.call("div", {real(n_, a.to), real(n_, a.from)});
        if (keep != "stretch")
          policy =
              policy ? n_.call(keep == "not_larger" ? "minimum" : "maximum", {policy, a.scale}) : a.scale;
      } else {
        a.scale = n_.call("to", {n_.call("select", {scales, int64_t(0), k}), DType::F32});
        a.to = whole_of(n_, n_.call("floor", {n_.call("mul", {a.scale, real(n_, a.from)})}));
      }
      if (place_ == "tf_crop_and_resize") {
        MOKA_CHECK_KIND(File, n_.has(1), "tf_crop_and_resize needs the input roi");
        auto bound = [&](int64_t at) {
          return n_.call("to", {n_.call("select", {n_[1], int64_t(0), at}), DType::F32});
        };
        a.begin = bound(k);
        a.end = bound(k + static_cast<int64_t>(dims.size()));
      }
      out.push_back(a);
    }
    if (policy)
      for (Axis& a : out) {
        a.scale = policy;
        a.to = whole_of(
            n_, n_.call("floor", {n_.call("add", {n_.call("mul", {policy, real(n_, a.from)}), 0.5})}));
      }
    return out;
  }

  Value* scales_tensor() {
    if (const Any* a = n_.attribute("scales")) {
      const std::span<const double> all = a->arg().as_floats();
      const int64_t size = static_cast<int64_t>(all.size());
      Tensor t = new_tensor(std::span(&size, 1), DType::F64);
      std::copy(all.begin(), all.end(), t.data<double>());
      return n_.build.constant(Any(t));
    }
    return n_[old_ ? 1 : 2];
  }

  // Where the centres of the output's elements lie in the input.
  Value* places(const Axis& a) {
    auto call = [&](const char* op, Value* x, spelling::Argument y) { return n_.call(op, {x, y}); };
    Value* y = count_to(n_, a.to, DType::F32);
    Value *from = real(n_, a.from),
          *wide = call("mul", a.scale, from);  // the output's size before it was cut
    Value *span = call("sub", from, 1.0), *single = call("eq", wide, 1.0);
    auto or_one = [&](Value* v) { return n_.call("where", {single, real(n_, 1.0), v}); };
    if (place_ == "align_corners") {
      if (whole_lengths(n_)) wide = real(n_, a.to), single = call("eq", wide, 1.0);
      Value* x = call("div", call("mul", y, span), or_one(call("sub", wide, 1.0)));
      return n_.call("where", {single, real(n_, 0.0), x});
    }
    if (place_ == "asymmetric") return call("div", y, a.scale);
    if (place_ == "tf_crop_and_resize") {
      Value* size = call("mul", call("sub", a.end, a.begin), span);
      Value* x = call("div", call("mul", y, size), or_one(call("sub", wide, 1.0)));
      x = n_.call("where", {single, call("div", size, 2.0), x});
      return call("add", x, call("mul", a.begin, span));
    }
    Value* half = call("sub", call("div", call("add", y, 0.5), a.scale), 0.5);
    if (place_ == "half_pixel") return half;
    if (place_ == "tf_half_pixel_for_nn")
      return call("div", call("add", y, 0.5), a.scale);  // opsets 11 and 12
    if (place_ == "pytorch_half_pixel") return n_.call("where", {single, real(n_, -0.5), half});
    MOKA_CHECK_KIND(File, place_ == "half_pixel_symmetric", "coordinate_transformation_mode '", place_,
                    "' does not exist");
    Value* adjustment = call("div", real(n_, a.to), wide);
    Value* offset = call("mul", call("div", from, 2.0), call("sub", real(n_, 1.0), adjustment));
    return call("add", half, offset);
  }

  // What lies outside of the input has a value of its own when a region is cropped.
  Value* with_outside(Value* y, Value* place, const Axis& a) {
    if (!a.begin) return y;
    Value* last = n_.call("sub", {real(n_, a.from), 1.0});
    Value* out = n_.call("logical_or", {n_.call("lt", {place, 0.0}), n_.call("gt", {place, last})});
    const int rank = rank_of(n_[0], "the input");
    out = spread(n_, out, {static_cast<int>(a.dim)}, rank);
    const DType dtype = dtype_of(y, "the result");
    Value* beyond = constant_number(n_, n_.number("extrapolation_value", 0), dtype);
    return promise(n_.call("where", {out, beyond, y}), dtype, rank);  // the region may be of unknown rank
  }

  Value* chosen(Value* x, const Axis& a) {
    Value* place = places(a);
    Value* index;
    if (nearest_ == "round_prefer_floor") index = n_.call("ceil", {n_.call("sub", {place, 0.5})});
    else if (nearest_ == "round_prefer_ceil") index = n_.call("floor", {n_.call("add", {place, 0.5})});
    else if (nearest_ == "floor") index = n_.call("floor", {place});
    else if (nearest_ == "ceil") index = n_.call("ceil", {place});
    else fail_kind(ErrorKind::File, "nearest_mode '", nearest_, "' does not exist");
    Value* last = n_.call("sub", {number_of(n_, a.from, DType::I64), int64_t(1)});
    index =
        n_.call("minimum", {n_.call("clamp_min", {n_.call("to", {index, DType::I64}), int64_t(0)}), last});
    Value* y = n_.call("index_select", {x, a.dim, index});
    y = promise(y, dtype_of(n_[0], "the input"), sizes_after(x, a));
    return with_outside(y, place, a);
  }

  Wholes sizes_after(Value* x, const Axis& a) {
    Wholes sizes;
    MOKA_CHECK_KIND(NotImplemented, a.dim < spelling::rank(x), "the number of dimensions is lost on the way");
    for (const graph::Dim& d : x->type.dims) sizes.push_back(d.fixed() ? d.size : -1);
    sizes[static_cast<size_t>(a.dim)] = a.to.fixed() ? a.to.number : -1;
    return sizes;
  }

  // The weight of an element at this distance.
  Value* kernel(Value* distance) {
    Value* t = n_.call("abs", {distance});
    if (mode_ == "linear") return n_.call("clamp_min", {n_.call("sub", {1.0, t}), 0.0});
    const double c = coefficient_;
    auto poly = [&](double c3, double c2, double c1, double c0) {  // by Horner's rule
      Value* v = n_.call("add", {n_.call("mul", {t, c3}), c2});
      v = n_.call("add", {n_.call("mul", {v, t}), c1});
      return n_.call("add", {n_.call("mul", {v, t}), c0});
    };
    Value *near = poly(c + 2, -(c + 3), 0, 1), *far = poly(c, -5 * c, 8 * c, -4 * c);
    Value* rest = n_.call("where", {n_.call("lt", {t, 2.0}), far, real(n_, 0.0)});
    return n_.call("where", {n_.call("le", {t, 1.0}), near, rest});
  }

  Value* weighted(Value* x, const Axis& a, DType dtype, int rank) {
    Value* place = cast_to(n_, places(a), DType::F64);
    const double support = mode_ == "linear" ? 1 : 2;
    // Shrinking with antialias widens the kernel. Elements beyond the border repeat those of the border.
    Value* narrow = wide_ ? n_.call("clamp_max", {a.scale, 1.0}) : nullptr;
    const Whole beyond =
        wide_ ? whole_of(
                    n_, n_.call("ceil", {n_.call("add", {n_.call("div", {real(n_, support), narrow}), 1.0})}))
              : Whole(static_cast<int64_t>(support) + 1);
    const Whole columns = arithmetic(n_, "add", a.from, arithmetic(n_, "mul", beyond, 2));
    Value* column = n_.call("sub", {count_to(n_, columns), number_of(n_, beyond, DType::I64)});
    Value* distance =
        n_.call("sub", {n_.call("to", {column, DType::F64}), n_.call("unsqueeze", {place, int64_t(1)})});
    if (narrow) distance = n_.call("mul", {distance, narrow});
    Value* weights = kernel(distance);
    Value* size = number_of(n_, a.from, DType::I64);
    if (outside_) {
      Value* inside =
          n_.call("logical_and", {n_.call("ge", {column, int64_t(0)}), n_.call("lt", {column, size})});
      weights = n_.call("where", {inside, weights, real(n_, 0.0)});
    }
    if (outside_ || wide_)
      weights =
          n_.call("div", {weights, n_.call("sum", {weights, named("dim", Dims{1}), named("keepdim", true)})});
    Value* last = n_.call("sub", {size, int64_t(1)});
    Value* index = n_.call("minimum", {n_.call("clamp_min", {column, int64_t(0)}), last});
    const DType exact =
        dtype == DType::F32 || dtype == DType::F16 || dtype == DType::BF16 ? DType::F32 : DType::F64;
    Value* taken = promise(n_.call("index_select", {cast_to(n_, x, exact), a.dim, index}), exact, rank);
    Value* rows = n_.call("transpose", {taken, a.dim, int64_t(-1)});
    if (rank == 1) rows = n_.call("unsqueeze", {rows, int64_t(0)});
    Value* y = n_.call("matmul",
                       {rows, n_.call("transpose", {cast_to(n_, weights, exact), int64_t(0), int64_t(1)})});
    if (rank == 1) y = n_.call("squeeze.dim", {y, Dims{0}});
    y = promise(n_.call("transpose", {y, a.dim, int64_t(-1)}), exact, sizes_after(x, a));
    y = with_outside(y, place, a);
    if (is_integral(dtype)) y = n_.call("round", {y});
    return cast_to(n_, y, dtype);
  }

  NodeReader& n_;
  bool old_;
  std::string_view mode_, place_, nearest_;
  bool wide_, outside_;
  double coefficient_;
};

bool in_general(NodeReader& n) { return Resizing(n).run(); }

// ---- as our own resampling, which keeps batch and channels

bool is_size_of(const Whole& w, const Value* x, int64_t dim) {
  const graph::Dim& d = x->type.dims[static_cast<size_t>(dim)];
  if (w.fixed()) return d.fixed() && d.size == w.number;
  const graph::Node* size = w.value->producer();
  if (!size || size->kind != graph::NodeKind::Builtin || size->name != "size" || size->input(0) != x)
    return false;
  const Any* at = size->input(1)->constant();
  return at && at->to_int() == dim;
}

struct Lengths {
  Wholes sizes;
  std::vector<double> scales;  // empty where sizes are given
  bool whole = true;  // scales times sizes are integers
};
bool read_scales(NodeReader& n, const Any& known, int rank, Lengths& out) {
  if (known.tag() == Tag::Floats)
    out.scales.assign(known.arg().as_floats().begin(), known.arg().as_floats().end());
  else if (known.is_tensor() && known.tensor().dim() == 1)
    for (int64_t i = 0; i < known.tensor().numel(); i++)
      out.scales.push_back(element_as_double(known.tensor(), i));
  MOKA_CHECK_KIND(File, static_cast<int>(out.scales.size()) == rank, out.scales.size(), " scales for ", rank,
                  " dimensions");
  for (int k = 0; k < rank; k++) {
    const double scale = out.scales[static_cast<size_t>(k)];
    const Whole from = size_of(n, n[0], k);
    if (scale == 1) {
      out.sizes.push_back(from);
    } else if (from.fixed()) {
      const float size = static_cast<float>(from.number) * static_cast<float>(scale);
      MOKA_CHECK_KIND(File, size >= 1 && size < 1e15f, "a scale of ", scale, " is not possible");
      out.sizes.push_back(static_cast<int64_t>(size));
      out.whole &= size == std::floor(size);
    } else {
      if (!(scale >= 1 && scale < 1e6) || scale != std::floor(scale))
        return n.declines("a scale of sizes that are known only when running");
      out.sizes.push_back(arithmetic(n, "mul", from, static_cast<int64_t>(scale)));
    }
  }
  return true;
}
bool read_lengths(NodeReader& n, int rank, Lengths& out) {
  const bool old = is_old(n);
  if (!old && n.has(3) && !is_empty(n[3])) {
    Dims count;
    if (!spelling::fixed_sizes(n[3], count)) return n.declines("sizes that are known only when running");
    MOKA_CHECK_KIND(File, count == Dims{rank}, "sizes of shape ", count, " for ", rank, " dimensions");
    for (int k = 0; k < rank; k++) out.sizes.push_back(whole_element(n, 3, k));
    return true;
  }
  const int at = old ? 1 : 2;
  const Any* known = n.version < 9 ? n.attribute("scales") : n.has(at) ? n.build.known(n[at]) : nullptr;
  if (!known) return n.declines("scales that are known only when running");
  return read_scales(n, *known, rank, out);
}

bool as_resample(NodeReader& n) {
  const bool old = is_old(n);
  Value* x = n[0];
  const int rank = spelling::rank(x);
  DType dtype;
  if (rank < 3 || rank > 5 || !spelling::has_dtype(x, &dtype))
    return n.declines("the input is no signal, image or volume");
  if (auto axes = n.ints("axes"); axes && static_cast<int>(axes->size()) != rank)
    return n.declines("sizes of some axes");
  if (n.text("keep_aspect_ratio_policy", "stretch") != "stretch") return n.declines("a kept aspect ratio");
  const std::string_view mode = n.text("mode", "nearest"),
                         place = n.text("coordinate_transformation_mode", old ? "asymmetric" : "half_pixel");
  Lengths to;
  if (!read_lengths(n, rank, to)) return false;
  if (!is_size_of(to.sizes[0], x, 0) || !is_size_of(to.sizes[1], x, 1))
    return n.declines("other numbers of batches or channels");
  const Wholes sizes(to.sizes.begin() + 2, to.sizes.end());
  const bool wide = n.integer("antialias", 0) != 0, align = place == "align_corners";
  const char* ours = mode == "cubic" ? "cubic" : "linear";
  Any scales;
  if (mode == "nearest") {
    const std::string_view nearest = n.text("nearest_mode", old ? "floor" : "round_prefer_floor");
    bool enlarged = true;  // by whole factors: all roundings from pixel centres agree
    for (size_t i = 0; i < sizes.size(); i++) {
      const graph::Dim& from = x->type.dims[i + 2];
      enlarged &= to.scales.empty()
                      ? sizes[i].fixed() && from.fixed() && from.size > 0 && sizes[i].number % from.size == 0
                      : to.whole && to.scales[i + 2] == std::floor(to.scales[i + 2]);
    }
    if (!to.whole) return n.declines("scales that do not give whole sizes");
    if (place == "asymmetric" && nearest == "floor") ours = "nearest";
    else if (place == "half_pixel" &&
             (nearest == "round_prefer_ceil" || (enlarged && nearest == "round_prefer_floor")))
      ours = "nearest-exact";
    else return n.declines("nearest neighbours by ", nearest, " of ", place, " places");
  } else {
    MOKA_CHECK_KIND(File, mode == "linear" || mode == "bilinear" || mode == "trilinear" || mode == "cubic",
                    "mode '", mode, "' does not exist");
    if (!is_floating(dtype)) return n.declines("elements of type ", info(dtype).name);
    bool several = true;  // pytorch_half_pixel differs where a result has one place
    for (const Whole& size : sizes) several &= size.fixed() ? size.number != 1 : !to.scales.empty();
    if (!align && place != "half_pixel" && !(place == "pytorch_half_pixel" && several))
      return n.declines("coordinates of kind ", place);
    if (mode == "cubic" && std::fabs(n.number("cubic_coeff_a", -0.75) - (wide ? -0.5 : -0.75)) > 1e-6)
      return n.declines("another cubic coefficient");
    if (wide != (n.integer("exclude_outside", 0) != 0))  // our wide kernels end at the border
      return n.declines(wide ? "weights of what lies outside" : "weights without what lies outside");
    if (!to.whole && align && !whole_lengths(n)) return n.declines("scales that do not give whole sizes");
    if (!to.whole && !align) scales = Any(std::span<const double>(to.scales).subspan(2));
  }
  Value* y = n.call("resample", {x, list_of(n, sizes), ours, named("align_corners", align),
                                 named("scales", scales), named("antialias", wide)});
  n.out(promise(y, dtype, to.sizes));
  return true;
}

constexpr Adapter table[] = {
    {"Resize", 10, 0, as_resample},
    {"Upsample", 7, 10, as_resample},
    {"Resize", 10, 0, in_general},
    {"Upsample", 7, 10, in_general},
};

}  // namespace

std::span<const Adapter> resize_adapters() { return table; }

}  // namespace moka::onnx
