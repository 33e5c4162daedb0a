// Adapters of layers that ONNX spells otherwise: resizing, recurrent networks, normalization over neighbours.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/formats/onnx/running_internal.h"
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
    if (wide != (n.integer("exclude_outside", 0) != 0))  // our wide kernels end at the border
      return n.declines(wide ? "weights of what lies outside" : "weights without what lies outside");
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

// Scales and biases are those of groups before opset 21, of channels since.
bool group_normalization(NodeReader& n) {
  const int64_t groups = n.integer("num_groups", 0);
  MOKA_CHECK_KIND(File, groups > 0, "num_groups ", groups, " must be positive");
  auto of_channels = [&](Value* v) {
    if (n.version >= 21) return v;
    const Whole times = arithmetic(n, "floordiv", size_of(n, n[0], 1), groups);
    const DType dtype = dtype_of(v, "the scale");
    return promise(n.call("repeat_interleave", {v, times.argument(), int64_t(0)}), dtype, 1);
  };
  n.out(n.call("group_norm", {n[0], groups, of_channels(n[1]), of_channels(n[2]),
                              named("eps", n.number("epsilon", 1e-5))}));
  return true;
}

constexpr Adapter table[] = {
    {"GroupNormalization", 18, 0, group_normalization},
    {"Resize", 10, 0, resize},
    {"Upsample", 7, 10, resize},
    {"LRN", 1, 0, local_response},
};

}  // namespace

std::span<const Adapter> layer_adapters() { return table; }

}  // namespace moka::onnx
