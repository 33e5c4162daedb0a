// Adapters of what detectors and image networks need: boxes, regions, grids, deformed convolutions.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/onnx/running_internal.h"
#include "moka/formats/onnx/window_internal.h"

namespace moka::onnx {

using graph::Value;
using spelling::named;

namespace {

spelling::Argument number_or(NodeReader& n, int input, spelling::Argument otherwise) {
  return n.has(input) ? n.number_argument(input) : otherwise;
}

bool non_max_suppression(NodeReader& n) {
  const spelling::Argument most = n.has(2) ? whole_input(n, 2).argument() : spelling::Argument(int64_t(0));
  Value* y = n.call("non_max_suppression",
                    {n[0], n[1], most, number_or(n, 3, 0.0), number_or(n, 4, spelling::Argument(Any())),
                     n.integer("center_point_box", 0) != 0});
  n.out(promise(y, DType::I64, Wholes{Whole(-1), Whole(3)}));
  return true;
}

bool roi_align(NodeReader& n) {
  const std::string_view mode = n.text("mode", "avg");
  MOKA_CHECK_KIND(File, mode == "avg" || mode == "max", "mode '", mode, "' does not exist");
  const std::string_view place =
      n.text("coordinate_transformation_mode", n.version < 16 ? "output_half_pixel" : "half_pixel");
  MOKA_CHECK_KIND(File, place == "half_pixel" || place == "output_half_pixel",
                  "coordinate_transformation_mode '", place, "' does not exist");
  n.out(n.call("roi_align", {n[0], n[1], n.call("to", {n[2], DType::I64}),
                             Dims{n.integer("output_height", 1), n.integer("output_width", 1)},
                             n.number("spatial_scale", 1), n.integer("sampling_ratio", 0),
                             named("aligned", place == "half_pixel"), named("mode", Any(mode))}));
  return true;
}

bool affine_grid(NodeReader& n) {
  const bool align = n.integer("align_corners", 0) != 0;
  Value* y = n.call("affine_grid", {n[0], n.ints_argument(1), align});
  Dims count;
  if (spelling::fixed_sizes(n[1], count) && count.size() == 1)
    promise(y, dtype_of(n[0], "theta"), static_cast<int>(count[0]));
  n.out(y);
  return true;
}

// Modes were called otherwise before opset 20, and have a default.
bool grid_sample(NodeReader& n) {
  std::string_view mode = n.text("mode", n.version < 20 ? "bilinear" : "linear");
  if (mode == "linear") mode = "bilinear";
  if (mode == "cubic") mode = "bicubic";
  MOKA_CHECK_KIND(File, mode == "bilinear" || mode == "bicubic" || mode == "nearest", "mode '", mode,
                  "' does not exist");
  const std::string_view padding = n.text("padding_mode", "zeros");
  n.out(n.call("grid_sample", {n[0], n[1], Any(mode), Any(padding), n.integer("align_corners", 0) != 0}));
  return true;
}

// Blocks of an image, each summed into its place: one scatter over the flattened image with its borders.
bool col2im(NodeReader& n) {
  Dims count;
  if (!spelling::fixed_sizes(n[1], count) || count.size() != 1 || !spelling::fixed_sizes(n[2], count) ||
      count.size() != 1)
    return n.declines("the number of dimensions is not known");
  const size_t spatial = static_cast<size_t>(count[0]);
  const Dims stride = n.ints("strides").value_or(Dims(spatial, int64_t(1))),
             dilation = n.ints("dilations").value_or(Dims(spatial, int64_t(1))),
             pads = n.ints("pads").value_or(Dims(2 * spatial, int64_t(0)));
  MOKA_CHECK_KIND(File, stride.size() == spatial && dilation.size() == spatial && pads.size() == 2 * spatial,
                  "strides, dilations and pads do not all describe ", spatial, " dimensions");
  MOKA_CHECK_KIND(File, rank_of(n[0], "the input") == 3, "the input must have 3 dimensions");
  Wholes image, kernel, wide, blocks;
  Whole plane = 1, taps = 1, windows = 1;
  for (size_t i = 0; i < spatial; i++) {
    const int64_t k = static_cast<int64_t>(i);
    image.push_back(whole_element(n, 1, k));
    kernel.push_back(whole_element(n, 2, k));
    wide.push_back(arithmetic(n, "add", image[i], pads[i] + pads[spatial + i]));
    const Whole reach = arithmetic(n, "mul", arithmetic(n, "sub", kernel[i], 1), dilation[i]);
    const Whole room = arithmetic(n, "sub", arithmetic(n, "sub", wide[i], reach), 1);
    blocks.push_back(arithmetic(n, "add", arithmetic(n, "floordiv", room, stride[i]), 1));
    plane = arithmetic(n, "mul", plane, wide[i]);
    taps = arithmetic(n, "mul", taps, kernel[i]);
    windows = arithmetic(n, "mul", windows, blocks[i]);
  }
  // The flat place of each element of each window: [taps..., windows...]
  const int all = static_cast<int>(2 * spatial);
  Value* place = nullptr;
  for (size_t i = 0; i < spatial; i++) {
    const int k = static_cast<int>(i), w = k + static_cast<int>(spatial);
    Value* inner = n.call("mul", {spread(n, count_to(n, kernel[i]), {k}, all), dilation[i]});
    Value* outer = n.call("mul", {spread(n, count_to(n, blocks[i]), {w}, all), stride[i]});
    Value* at = n.call("add", {inner, outer});
    place = place ? n.call("add", {n.call("mul", {place, number_of(n, wide[i], DType::I64)}), at}) : at;
  }
  place = n.call("reshape", {place, Dims{-1}});
  const Whole batch = size_of(n, n[0], 0);
  const Whole channels = arithmetic(n, "floordiv", size_of(n, n[0], 1), taps);
  const Whole each = arithmetic(n, "mul", taps, windows);
  const DType dtype = dtype_of(n[0], "the input");
  Value* from = reshaped(n, n[0], {batch, channels, each});
  Value* zeros = promise(n.call("zeros", {list_of(n, {batch, channels, plane}), named("dtype", dtype)}),
                         dtype, {batch, channels, plane});
  Value* y = n.call("index_add", {zeros, int64_t(2), place, from});
  Wholes sizes{batch, channels};
  sizes.insert(sizes.end(), wide.begin(), wide.end());
  y = reshaped(n, promise(y, dtype, 3), sizes);
  for (size_t i = 0; i < spatial; i++) y = part_of(n, y, static_cast<int64_t>(i) + 2, pads[i], image[i]);
  n.out(y);
  return true;
}

// Every tap of the kernel reads its own places of the image; what they give is multiplied as a matrix.
bool deformed_convolution(NodeReader& n) {
  Dims x, weight, offset;
  if (!spelling::fixed_sizes(n[1], weight)) return n.declines("the weight's sizes are not known");
  if (!spelling::fixed_sizes(n[0], x) || !spelling::fixed_sizes(n[2], offset))
    return n.declines("the sizes are not known");
  Window w;
  if (!read_window(n, Dims(std::span<const int64_t>(weight).subspan(2)), w)) return false;
  if (w.spatial != 2) return n.declines("deformed convolution over ", w.spatial, " dimensions");
  const int64_t groups = n.integer("group", 1), offset_groups = n.integer("offset_group", 1);
  const int64_t taps = w.kernel[0] * w.kernel[1], rows = offset[2], columns = offset[3];
  MOKA_CHECK_KIND(File,
                  groups > 0 && offset_groups > 0 && x[1] == weight[1] * groups && weight[0] % groups == 0 &&
                      x[1] % offset_groups == 0 && offset[1] == offset_groups * taps * 2,
                  "sizes of input, weight and offsets do not fit the groups");
  const DType dtype = dtype_of(n[0], "the input");
  const int64_t batch = x[0], each = x[1] / offset_groups;
  // [batch * groups, each, height, width] and [batch * groups, taps, 2, rows, columns]
  // Places go through grid_sample's scale, which float32 would round: they and what is read there are float64.
  Value* image =
      n.call("reshape", {cast_to(n, n[0], DType::F64), Dims{batch * offset_groups, each, x[2], x[3]}});
  Value* shift =
      n.call("reshape", {cast_to(n, n[2], DType::F64), Dims{batch * offset_groups, taps, 2, rows, columns}});
  auto place = [&](int axis) {  // of every tap before it is moved, as a position between pixel centres
    const size_t a = static_cast<size_t>(axis);
    Value* tap = n.call("mul", {count_to(n, w.kernel[a]), w.dilation[a]});
    Value* step = n.call("mul", {count_to(n, axis == 0 ? rows : columns), w.stride[a]});
    tap = axis == 0 ? n.call("repeat_interleave", {tap, w.kernel[1], int64_t(0)})
                    : n.call("repeat", {tap, Dims{w.kernel[0]}});
    Value* at = n.call("add", {spread(n, tap, {1}, 4), spread(n, step, {axis + 2}, 4)});
    at = n.call("to", {n.call("sub", {at, w.begin[a]}), DType::F64});
    at = n.call("add", {n.call("select", {shift, int64_t(2), int64_t(axis)}), at});
    // grid_sample counts from -1 to 1 over the outer borders of the pixels
    const double size = double(x[a + 2]);
    return n.call("sub", {n.call("mul", {n.call("add", {at, 0.5}), 2 / size}), 1.0});
  };
  Value* grid = n.call("stack", {std::vector<Value*>{place(1), place(0)}, int64_t(-1)});
  grid = n.call("reshape", {grid, Dims{batch * offset_groups, taps * rows, columns, 2}});
  Value* read = n.call(
      "grid_sample", {image, grid, Any(std::string_view("bilinear")), Any(std::string_view("zeros")), false});
  read = n.call("reshape", {cast_to(n, read, dtype), Dims{batch, offset_groups, each, taps, rows, columns}});
  if (n.has(4))
    read =
        n.call("mul", {read, n.call("reshape", {n[4], Dims{batch, offset_groups, 1, taps, rows, columns}})});
  read = n.call("reshape", {read, Dims{batch, groups, x[1] / groups * taps, rows * columns}});
  Value* matrix = n.call("reshape", {n[1], Dims{1, groups, weight[0] / groups, weight[1] * taps}});
  Value* y = n.call("reshape", {n.call("matmul", {matrix, read}), Dims{batch, weight[0], rows, columns}});
  if (n.has(3)) y = n.call("add", {y, spread(n, n[3], {1}, 4)});
  n.out(y);
  return true;
}

constexpr Adapter table[] = {
    {"NonMaxSuppression", 10, 0, non_max_suppression},
    {"RoiAlign", 10, 0, roi_align},
    {"AffineGrid", 20, 0, affine_grid},
    {"GridSample", 16, 0, grid_sample},
    {"Col2Im", 18, 0, col2im},
    {"DeformConv", 19, 0, deformed_convolution},
};

}  // namespace

std::span<const Adapter> vision_adapters() { return table; }

}  // namespace moka::onnx
