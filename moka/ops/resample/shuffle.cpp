// Channels to pixels and back, and channels in another order: copies between two views of six dimensions.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/define.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/kernels/memory_format.h"
#include "moka/ops/resample/resample.h"

namespace moka::ops {

namespace {
struct Image {
  int64_t planes, channels, height, width, factor;
};
// The small image of a pixel shuffle: [..., channels * factor^2, height, width].
Image image_of(const Frame& f, bool small) {
  const Tensor& x = tensor_argument(f, 0);
  const int64_t r = f.integer(1);
  MOKA_CHECK(x.dim() >= 3, f.name(), ": input must have at least 3 dimensions, got shape ", x.sizes());
  MOKA_CHECK(r > 0, f.name(), ": ", argument_name(f, 1), " must be positive, got ", r);
  Image m{1, x.size(-3), x.size(-2), x.size(-1), r};
  for (int d = 0; d + 3 < x.dim(); d++) m.planes *= x.size(d);
  if (small) {
    const int64_t square = checked_mul(r, r, "pixel_shuffle");
    MOKA_CHECK(m.channels % square == 0, f.name(), ": the number of channels must be a multiple of ", square,
               ", got ", x.sizes());
    m.channels /= square;
  } else {
    MOKA_CHECK(m.height % r == 0 && m.width % r == 0, f.name(), ": height and width must be multiples of ", r,
               ", got ", x.sizes());
    m.height /= r;
    m.width /= r;
  }
  return m;
}
template <bool shuffle>
void pixel_shape(Frame& f) {
  Image m = image_of(f, shuffle);
  Dims sizes(f.tensor(0).sizes());
  const size_t n = sizes.size();
  const int64_t r = shuffle ? m.factor : 1,
                s = shuffle ? 1 : checked_mul(m.factor, m.factor, "pixel_unshuffle");
  sizes[n - 3] = checked_mul(m.channels, s, "pixel_shuffle");
  sizes[n - 2] = checked_mul(m.height, r, "pixel_shuffle");
  sizes[n - 1] = checked_mul(m.width, r, "pixel_shuffle");
  f.output(0, sizes, f.tensor(0).dtype());
}
template <bool shuffle>
void pixel_kernel(Frame& f) {
  Image m = image_of(f, shuffle);
  Tensor x = as_contiguous(f.tensor(0));
  if (x.numel() == 0) return;
  const int64_t r = m.factor, pixels = m.height * m.width, whole = m.channels * r * r * pixels;
  // [plane, channel, y, r, x, r] in both.
  const Dims sizes{m.planes, m.channels, m.height, r, m.width, r};
  const Dims small{whole, r * r * pixels, m.width, r * pixels, 1, pixels};
  const Dims large{whole, r * r * pixels, r * r * m.width, r * m.width, r, 1};
  copy_elements(strided_view(x, sizes, shuffle ? small : large, x.impl()->offset),
                strided_view(f.outs[0], sizes, shuffle ? large : small, f.outs[0].impl()->offset));
  follow_format(f, f.tensor(0));
}

int64_t groups_of(const Frame& f) {
  const Tensor& x = tensor_argument(f, 0);
  const int64_t g = f.integer(1);
  MOKA_CHECK(x.dim() >= 3, f.name(), ": input must have at least 3 dimensions, got shape ", x.sizes());
  MOKA_CHECK(g > 0 && x.size(1) % g == 0, f.name(), ": groups must be positive and divide the ", x.size(1),
             " channels of ", x.sizes(), ", got ", g);
  return g;
}
void channel_shape(Frame& f) {
  groups_of(f);
  f.output(0, f.tensor(0).sizes(), f.tensor(0).dtype());
}
template <bool shuffle>
void channel_kernel(Frame& f) {
  const int64_t g = groups_of(f);
  Tensor x = as_contiguous(f.tensor(0));
  if (x.numel() == 0) return;
  int64_t pixels = 1;
  for (int d = 2; d < x.dim(); d++) pixels *= x.size(d);
  const int64_t each = x.size(1) / g, whole = x.size(1) * pixels;
  const Dims sizes{x.size(0), g, each, pixels}, grouped{whole, each * pixels, pixels, 1},
      mixed{whole, pixels, g * pixels, 1};
  copy_elements(strided_view(x, sizes, shuffle ? grouped : mixed, x.impl()->offset),
                strided_view(f.outs[0], sizes, shuffle ? mixed : grouped, f.outs[0].impl()->offset));
  follow_format(f, f.tensor(0));
}
}  // namespace

constinit const Op pixel_shuffle_op{
    .schema = "pixel_shuffle(Tensor input, int upscale_factor) -> Tensor",
    .doc = "[..., c r^2, h, w] to [..., c, h r, w r]: channels become pixels.",
    .method = "function",
    .shape = pixel_shape<true>,
    .kernels = {KernelRow{.name = "copy", .run = pixel_kernel<true>}},
    .derivative = {wrt("input", [](auto dy, auto, auto factor) { return pixel_unshuffle(dy, factor); })},
    .onnx = Format{{.map = "DepthToSpace(input, blocksize=upscale_factor, mode='CRD', =rank(input):4)",
                    .since = 11}},
    .netdef = none("DepthToSpace of Caffe2 orders channels otherwise"),
    .samples = {shape(2, 8, 2, 3).with("upscale_factor", 2), shape(9, 2, 1).with("upscale_factor", 3),
                shape(0, 4, 2, 2).with("upscale_factor", 1)},
};
constinit const Op pixel_unshuffle_op{
    .schema = "pixel_unshuffle(Tensor input, int downscale_factor) -> Tensor",
    .doc = "[..., c, h r, w r] to [..., c r^2, h, w]: pixels become channels.",
    .method = "function",
    .shape = pixel_shape<false>,
    .kernels = {KernelRow{.name = "copy", .run = pixel_kernel<false>}},
    .derivative = {wrt("input", [](auto dy, auto, auto factor) { return pixel_shuffle(dy, factor); })},
    .onnx = none("SpaceToDepth of ONNX orders channels otherwise"),
    .netdef = none("SpaceToDepth of Caffe2 orders channels otherwise"),
    .samples = {shape(2, 2, 4, 6).with("downscale_factor", 2), shape(1, 6, 3).with("downscale_factor", 3)},
};
constinit const Op channel_shuffle_op{
    .schema = "channel_shuffle(Tensor input, int groups) -> Tensor",
    .doc = "The channels (dimension 1) of the groups in turn: the first of each, then the second of each.",
    .method = "function",
    .shape = channel_shape,
    .kernels = {KernelRow{.name = "copy", .run = channel_kernel<true>}},
    .derivative = {wrt("input", [](auto dy, auto, auto groups) { return channel_unshuffle(dy, groups); })},
    .onnx = none("written as Reshape, Transpose, Reshape"),
    .netdef = "ChannelShuffle(input, group=groups)",
    .samples = {shape(2, 6, 2, 2).with("groups", 3), shape(1, 4, 3).with("groups", 1)},
};
constinit const Op channel_unshuffle_op{
    .schema = "channel_unshuffle(Tensor input, int groups) -> Tensor",
    .doc = "Undoes channel_shuffle.",
    .method = "none",
    .shape = channel_shape,
    .kernels = {KernelRow{.name = "copy", .run = channel_kernel<false>}},
    .derivative = {wrt("input", [](auto dy, auto, auto groups) { return channel_shuffle(dy, groups); })},
    .onnx = none("a gradient's part"),
    .netdef = none("a gradient's part"),
    .samples = {shape(2, 6, 2, 2).with("groups", 3), shape(1, 4, 3).with("groups", 2)},
};

}  // namespace moka::ops
