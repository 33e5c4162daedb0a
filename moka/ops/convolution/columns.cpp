// The windows of a convolution as a matrix, and the image that such a matrix adds up to (torch's unfold and fold).
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/base/parallel.h"
#include "moka/ops/convolution/convolution.h"
#include "moka/ops/convolution/kernels.h"
#include "moka/ops/define.h"

namespace moka {

namespace {
// Which of the windows along an axis have their tap `k` inside the image.
struct Inside : Range {
  int64_t start;  // the place that window 0 meets
};
Inside inside(const Axis& a, int64_t k) {
  const int64_t start = k * a.dilation - a.padding;
  return {valid_range(a.out, a.stride, start, a.in), start};
}
}  // namespace

template <class T>
void image_to_columns(const ConvGeometry& g, const T* image, T* columns) {
  const int64_t stride = g.x.stride;
  T* to = columns;
  for (int64_t channel = 0; channel < g.channels; channel++)
    for (int64_t ky = 0; ky < g.y.kernel; ky++)
      for (int64_t kx = 0; kx < g.x.kernel; kx++) {
        const Inside rows = inside(g.y, ky), c = inside(g.x, kx);
        for (int64_t oy = 0; oy < g.y.out; oy++, to += g.x.out) {
          if (oy < rows.first || oy >= rows.last || c.first == c.last) {
            std::fill_n(to, g.x.out, T(0));
            continue;
          }
          std::fill_n(to, c.first, T(0));
          const T* row = image + (channel * g.y.in + oy * g.y.stride + rows.start) * g.x.in;
          const T* from = row + c.start + c.first * stride;
          if (stride == 1) std::copy_n(from, c.last - c.first, to + c.first);
          else
            for (int64_t ox = c.first; ox < c.last; ox++, from += stride) to[ox] = *from;
          std::fill_n(to + c.last, g.x.out - c.last, T(0));
        }
      }
}
template <class T>
void columns_to_image(const ConvGeometry& g, const T* columns, T* image) {
  std::fill_n(image, g.channels * g.in_pixels(), T(0));
  for (int64_t channel = 0; channel < g.channels; channel++)
    add_windows(g, columns + channel * g.taps() * g.out_pixels(), image + channel * g.in_pixels());
}

namespace ops {

namespace {
// Arguments `first`..: kernel_size, dilation, padding, stride; `image` is [batch, channels, height, width] or without
// batch.
ConvGeometry column_geometry(const Frame& f, std::span<const int64_t> image, int first) {
  MOKA_CHECK((image.size() == 3 || image.size() == 4), f.name(),
             ": an image must have shape [batch, channels, height, width] or [channels, height, width], got ",
             image);
  ConvGeometry g;
  g.batched = image.size() == 4;
  g.batch = g.batched ? image[0] : 1;
  g.channels = image[image.size() - 3];
  set_inputs(g, image);
  MOKA_CHECK(
      g.channels > 0 && g.in_pixels() > 0, f.name(),
      ": Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions, "
      "but got: ",
      image);
  read_axes(f, first, 1, g, &Axis::kernel);
  read_axes(f, first + 1, 1, g, &Axis::dilation);
  read_axes(f, first + 2, 0, g, &Axis::padding);
  read_axes(f, first + 3, 1, g, &Axis::stride);
  int64_t blocks[2];
  for (int k : {1, 2}) {
    const Axis& a = g.axis(k);
    const int64_t padded = checked_add(a.in, checked_mul(2, a.padding, "padding"), "padding");
    const int64_t steps = padded - checked_mul(a.dilation, a.kernel - 1, "window") - 1;
    blocks[k - 1] = steps < 0 ? (steps + 1) / a.stride : steps / a.stride + 1;
  }
  MOKA_CHECK(blocks[0] > 0 && blocks[1] > 0, f.name(), ": for an image of ", g.y.in, " x ", g.x.in,
             " places, kernel_size (", g.y.kernel, ", ", g.x.kernel, "), dilation (", g.y.dilation, ", ",
             g.x.dilation, ") and padding (", g.y.padding, ", ", g.x.padding,
             "), calculated shape of the array of sliding blocks as (", blocks[0], ", ", blocks[1],
             "), but its components must be at least one");
  for (int k : {1, 2}) g.axis(k).out = blocks[k - 1];
  g.filters = checked_mul(g.channels, g.taps(), "unfold");
  return g;
}
Dims matrix_sizes(const ConvGeometry& g) {
  return g.batched ? Dims{g.batch, g.filters, g.out_pixels()} : Dims{g.filters, g.out_pixels()};
}
// f(one channel's geometry, its place among the images, its place among the matrices); channels need nothing of each
// other.
template <class F>
void each_channel(const ConvGeometry& g, F f) {
  ConvGeometry one = g;
  one.channels = 1;
  const int64_t matrix = g.taps() * g.out_pixels();
  parallel_for(0, g.batch * g.channels, 32768 / (matrix + 1) + 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) f(one, i * g.in_pixels(), i * matrix);
  });
}

void im2col_shape(Frame& f) {
  f.output(0, matrix_sizes(column_geometry(f, tensor_argument(f, 0).sizes(), 1)), f.tensor(0).dtype());
}
void im2col_kernel(Frame& f) {
  ConvGeometry g = column_geometry(f, f.tensor(0).sizes(), 1);
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput y(f, 0);
  by_kernel_dtype(x.dtype(), [&]<class T>(T*) {
    each_channel(g, [&](const ConvGeometry& one, int64_t image, int64_t matrix) {
      image_to_columns(one, x.data<T>() + image, y.data<T>() + matrix);
    });
  });
  y.finish();
}

ConvGeometry image_geometry(const Frame& f) {
  const Tensor& x = tensor_argument(f, 0);
  Dims size = ints_argument(f, 1);
  MOKA_CHECK(x.dim() == 2 || x.dim() == 3, f.name(),
             ": input must have shape [batch, channels * taps, windows] or [channels * taps, windows], got ",
             x.sizes());
  MOKA_CHECK(!size.empty(), f.name(), ": output_size must be (height, width), got ", f.args[1]);
  Window kernel;
  read_axes(f, 2, 1, kernel, &Axis::kernel);
  MOKA_CHECK(x.size(-2) % kernel.taps() == 0, f.name(), ": the size ", x.size(-2), " of dimension -2 of ",
             x.sizes(), " must be divisible by the product of kernel_size, ", kernel.y.kernel, " * ",
             kernel.x.kernel);
  Dims image;
  if (x.dim() == 3) image.push_back(x.size(0));
  image.push_back(x.size(-2) / kernel.taps());
  image.push_back(size.size() == 1 ? size[0] : size[size.size() - 2]);
  image.push_back(size.back());
  ConvGeometry g = column_geometry(f, image, 2);
  MOKA_CHECK(x.size(-1) == g.out_pixels(), f.name(), ": the last dimension of input, of shape ", x.sizes(),
             ", must match the calculated number of sliding blocks ", g.y.out, " * ", g.x.out, " = ",
             g.out_pixels());
  return g;
}
void col2im_shape(Frame& f) { f.output(0, image_geometry(f).input_sizes(), f.tensor(0).dtype()); }
void col2im_kernel(Frame& f) {
  ConvGeometry g = image_geometry(f);
  Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput y(f, 0);
  by_kernel_dtype(x.dtype(), [&]<class T>(T*) {
    each_channel(g, [&](const ConvGeometry& one, int64_t image, int64_t matrix) {
      columns_to_image(one, x.data<T>() + matrix, y.data<T>() + image);
    });
  });
  y.finish();
}
}  // namespace

constinit const Op im2col_op{
    .schema =
        "im2col(Tensor input, int[2] kernel_size, int[2] dilation=1, int[2] padding=0, int[2] stride=1) -> "
        "Tensor",
    .doc =
        "The windows of images [batch, channels, height, width] as columns: [batch, channels * kernel height "
        "* "
        "kernel width, windows]; torch.nn.functional.unfold.",
    .method = "function",
    .shape = im2col_shape,
    .kernels = {KernelRow{.name = "loop", .run = im2col_kernel}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto kernel_size, auto dilation, auto padding, auto stride) {
                         return col2im(dy, shape_of(input), kernel_size, dilation, padding, stride);
                       })},
    .onnx = none("ONNX has only its transpose"),
    .netdef = none("Im2Col of Caffe2 has one kernel, dilation and pad for both axes"),
    .samples = {shape(2, 3, 5, 6).with("kernel_size", {2, 3}),
                shape(2, 5, 5)
                    .with("kernel_size", {2, 2})
                    .with("dilation", {2, 1})
                    .with("padding", {1, 1})
                    .with("stride", {2, 1}),
                shape(0, 2, 3, 3).with("kernel_size", {2, 2})},
};
constinit const Op col2im_op{
    .schema =
        "col2im(Tensor input, int[] output_size, int[2] kernel_size, int[2] dilation=1, int[2] padding=0, "
        "int[2] "
        "stride=1) -> Tensor",
    .doc =
        "The image of output_size (height, width; a longer list ends with them) to which the columns of "
        "im2col "
        "add up; torch.nn.functional.fold.",
    .method = "function",
    .shape = col2im_shape,
    .kernels = {KernelRow{.name = "loop", .run = col2im_kernel}},
    .derivative = {wrt("input",
                       [](auto dy, auto, auto, auto kernel_size, auto dilation, auto padding, auto stride) {
                         return im2col(dy, kernel_size, dilation, padding, stride);
                       })},
    .onnx =
        Format{{.map = "Col2Im(input, output_size, kernel_size, dilations=dilation, pads=begin_end(padding), "
                       "strides=stride, =count(output_size):2, =rank(input):3)",
                .since = 18}},
    .netdef = none("Col2Im of Caffe2 takes the image's shape from a tensor"),
    .samples = {shape(2, 12, 12).with("output_size", {4, 5}).with("kernel_size", {2, 2}),
                shape(4, 9)
                    .with("output_size", {5, 5})
                    .with("kernel_size", {2, 2})
                    .with("stride", {2, 2})
                    .with("padding", {1, 1})},
};

}  // namespace ops
}  // namespace moka
