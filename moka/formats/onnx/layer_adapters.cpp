// Adapters of layers that ONNX spells otherwise: resizing, recurrent networks, normalization over neighbours.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/formats/onnx/importer_internal.h"
#include "moka/formats/spelling/conversions.h"

namespace moka::onnx {

using graph::Value;
using spelling::named;

namespace {

// Our resizing keeps batch and channels and takes the sizes of the rest.
bool resize(NodeReader& n) {
  const bool upsample = n.version < 10 || n.node.op == "Upsample";
  const int scales_at = upsample ? 1 : n.version < 11 ? 1 : 2;
  Dims input;
  if (!spelling::fixed_sizes(n[0], input) || input.size() < 3 || input.size() > 5)
    return n.declines("the input is no signal, image or volume of known sizes");
  const int64_t rank = static_cast<int64_t>(input.size());
  if (auto axes = n.ints("axes"); axes && static_cast<int64_t>(axes->size()) != rank)
    return n.declines("sizes of some axes");
  if (n.text("keep_aspect_ratio_policy", "stretch") != "stretch") return n.declines("a kept aspect ratio");
  Dims sizes;
  if (!upsample && n.version >= 11 && n.has(3)) {
    auto given = n.known_ints(3);
    if (!given) return n.declines("sizes that are known only when running");
    sizes = *given;
  } else {
    const Any* known = upsample && n.version < 9 ? n.attribute("scales")
                       : n.has(scales_at)        ? n.build.known(n[scales_at])
                                                 : nullptr;
    if (!known) return n.declines("scales that are known only when running");
    std::vector<double> factors;
    if (known->tag() == Tag::Floats)
      for (double f : known->arg().as_floats()) factors.push_back(f);
    else if (known->is_tensor() && known->tensor().dim() == 1)
      for (int64_t i = 0; i < known->tensor().numel(); i++)
        factors.push_back(element_as_double(known->tensor(), i));
    MOKA_CHECK_KIND(File, static_cast<int64_t>(factors.size()) == rank, factors.size(), " scales for ", rank,
                    " dimensions");
    for (size_t i = 0; i < factors.size(); i++) {
      const double size = std::floor(double(input[i]) * factors[i]);
      MOKA_CHECK_KIND(File, size > 0 && size < 1e15, "a scale of ", factors[i], " is not possible");
      if (std::fabs(size - double(input[i]) * factors[i]) > 1e-6)
        return n.declines("scales that do not give whole sizes");
      sizes.push_back(static_cast<int64_t>(size));
    }
  }
  MOKA_CHECK_KIND(File, static_cast<int64_t>(sizes.size()) == rank, sizes.size(), " sizes for ", rank,
                  " dimensions");
  if (sizes[0] != input[0] || sizes[1] != input[1]) return n.declines("other numbers of batches or channels");
  std::string_view mode = n.text("mode", "nearest");
  std::string_view place =
      n.text("coordinate_transformation_mode", upsample || n.version < 11 ? "asymmetric" : "half_pixel");
  const bool wide = n.integer("antialias", 0) != 0, align = place == "align_corners";
  const char* ours;
  if (mode == "nearest") {
    std::string_view nearest =
        n.text("nearest_mode", upsample || n.version < 11 ? "floor" : "round_prefer_floor");
    bool whole = true;  // enlarging by whole factors, all roundings from pixel centres agree
    for (size_t i = 2; i < sizes.size(); i++) whole &= sizes[i] % input[i] == 0;
    if (place == "asymmetric" && nearest == "floor") ours = "nearest";
    else if (place == "half_pixel" &&
             (nearest == "round_prefer_ceil" || (whole && nearest == "round_prefer_floor")))
      ours = "nearest-exact";
    else return n.declines("nearest neighbours by ", nearest, " of ", place, " places");
  } else {
    MOKA_CHECK_KIND(File, mode == "linear" || mode == "bilinear" || mode == "trilinear" || mode == "cubic",
                    "mode '", mode, "' does not exist");
    ours = mode == "cubic" ? "cubic" : "linear";
    bool single = false;  // pytorch_half_pixel differs where a result has one place
    for (size_t i = 2; i < sizes.size(); i++) single |= sizes[i] == 1;
    if (!align && place != "half_pixel" && !(place == "pytorch_half_pixel" && !single))
      return n.declines("coordinates of kind ", place);
    if (mode == "cubic" && std::fabs(n.number("cubic_coeff_a", -0.75) - (wide ? -0.5 : -0.75)) > 1e-6)
      return n.declines("another cubic coefficient");
    if (n.integer("exclude_outside", 0) != 0 && !wide) return n.declines("weights without what lies outside");
  }
  n.out(n.call("resample", {n[0], Dims(std::span<const int64_t>(sizes).subspan(2)), ours,
                            named("align_corners", align), named("antialias", wide)}));
  return true;
}

bool local_response(NodeReader& n) {
  Dims input;
  if (!spelling::fixed_sizes(n[0], input) || input.size() < 3) return n.declines("the sizes are not known");
  const int64_t size = n.integer("size", 0);
  MOKA_CHECK_KIND(File, size >= 1, "size ", size, " must be positive");
  Value* planes = n.call("reshape", {n.call("mul", {n[0], n[0]}), Dims{input[0], 1, input[1], -1}});
  // Of an even number the smaller half comes before.
  planes = n.call("pad_constant", {planes, Dims{0, 0, (size - 1) / 2, size / 2}, 0.0});
  Value* mean = n.call("reshape", {n.call("avg_pool2d", {planes, Dims{size, 1}, Dims{1, 1}}), input});
  Value* base = n.call("add", {n.call("mul", {mean, n.number("alpha", 1e-4)}), n.number("bias", 1)});
  n.out(n.call("div", {n[0], n.call("pow", {base, n.number("beta", 0.75)})}));
  return true;
}

// Rows of ONNX's gates in our order.
Value* reordered(NodeReader& n, Value* v, std::initializer_list<int> order, int64_t hidden) {
  std::vector<Value*> parts;
  for (int gate : order) parts.push_back(n.call("narrow", {v, int64_t(0), gate * hidden, hidden}));
  return parts.size() == 1 ? parts[0] : n.call("cat", {parts, int64_t(0)});
}

template <int kind>  // 0 LSTM, 1 GRU, 2 RNN
bool recurrent(NodeReader& n) {
  Dims x, r;
  if (!spelling::fixed_sizes(n[0], x) || x.size() != 3 || !spelling::fixed_sizes(n[2], r) || r.size() != 3)
    return n.declines("the sizes are not known");
  if (n.integer("layout", 0) != 0) return n.declines("batches first");
  if (n.attribute("clip") || n.attribute("activation_alpha") || n.attribute("activation_beta"))
    return n.declines("clipped or scaled activations");
  if (n.has(4)) return n.declines("sequences of different lengths");
  if (kind == 0 && (n.has(7) || n.integer("input_forget", 0) != 0))
    return n.declines("peepholes or coupled gates");
  if (kind == 1 && n.integer("linear_before_reset", 0) == 0)
    return n.declines("a reset gate before the matrix product");
  const char* mode = kind == 0 ? "lstm" : kind == 1 ? "gru" : "tanh";
  if (const Any* names = n.attribute("activations")) {
    bool usual = true, relu = kind == 2;
    size_t i = 0;
    for (const Any& name : names->list()) {
      std::string_view s = name.string();
      const size_t place = i++ % (kind == 0 ? 3 : kind == 1 ? 2 : 1);
      usual &= s == (kind != 2 && place == 0 ? "Sigmoid" : "Tanh");
      relu &= s == "Relu";
    }
    if (!usual && !relu) return n.declines("other activations");
    if (!usual) mode = "relu";
  }
  std::string_view direction = n.text("direction", "forward");
  const int64_t steps = x[0], batch = x[1], hidden = r[2], directions = direction == "bidirectional" ? 2 : 1;
  const int64_t gates = kind == 0 ? 4 : kind == 1 ? 3 : 1;
  MOKA_CHECK_KIND(File, r[0] == directions && r[1] == gates * hidden && hidden > 0, "R has sizes ",
                  std::span<const int64_t>(r), " for ", directions, " directions");
  if (steps == 0 || batch == 0) return n.declines("an empty sequence");
  DType dtype;
  if (!spelling::has_dtype(n[0], &dtype)) return n.declines("the element type is not known");
  Value* rows = n.call("reshape", {n[0], Dims{steps * batch, x[2]}});
  std::vector<Value*> outs, lasts, cells;
  for (int64_t d = 0; d < directions; d++) {
    auto part = [&](int i) { return n.call("select", {n[i], int64_t(0), d}); };
    auto ordered = [&](Value* v) {
      if (kind == 0) return reordered(n, v, {0, 2, 3, 1}, hidden);  // i, o, f, c
      if (kind == 1) return reordered(n, v, {1, 0, 2}, hidden);  // z, r, h
      return v;
    };
    auto start = [&](int i) {
      return n.has(i) ? part(i) : n.call("zeros", {Dims{batch, hidden}, named("dtype", dtype)});
    };
    spelling::Argument input_bias{Any()}, state_bias{Any()};
    if (n.has(3)) {
      Value *both = part(3), *first = n.call("narrow", {both, int64_t(0), int64_t(0), gates * hidden}),
            *second = n.call("narrow", {both, int64_t(0), gates * hidden, gates * hidden});
      input_bias = spelling::Argument(ordered(first));
      state_bias = spelling::Argument(ordered(second));
    }
    const bool reverse = direction == "reverse" || d == 1;
    spelling::Argument c0 = kind == 0 ? spelling::Argument(start(6)) : spelling::Argument(Any());
    Value* states =
        n.call("rnn_layer",
               {n.call("linear", {rows, ordered(part(1)), input_bias}), start(5), c0, ordered(part(2)),
                state_bias, Any(), Dims(static_cast<size_t>(steps), batch), mode, named("reverse", reverse)});
    Value* last = n.call("narrow", {states, int64_t(0), reverse ? int64_t(0) : (steps - 1) * batch, batch});
    auto columns = [&](Value* v, int64_t first) { return n.call("narrow", {v, int64_t(1), first, hidden}); };
    outs.push_back(n.call("reshape", {columns(states, 0), Dims{steps, batch, hidden}}));
    lasts.push_back(columns(last, 0));
    if (kind == 0) cells.push_back(columns(last, hidden));
  }
  n.out(n.call("stack", {outs, int64_t(1)}));
  if (n.wants(1)) n.out(n.call("stack", {lasts, int64_t(0)}), 1);
  if (kind == 0 && n.wants(2)) n.out(n.call("stack", {cells, int64_t(0)}), 2);
  return true;
}

constexpr Adapter table[] = {
    {"Resize", 10, 0, resize},    {"Upsample", 7, 10, resize}, {"LRN", 1, 0, local_response},
    {"LSTM", 7, 0, recurrent<0>}, {"GRU", 7, 0, recurrent<1>}, {"RNN", 7, 0, recurrent<2>},
};

}  // namespace

std::span<const Adapter> layer_adapters() { return table; }

}  // namespace moka::onnx
