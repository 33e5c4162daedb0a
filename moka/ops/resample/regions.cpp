// Regions of images read with a grid of samples each, as detectors do.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <vector>

#include "moka/base/parallel.h"
#include "moka/ops/define.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/resample/resample.h"
#include "moka/ops/unwritten.h"

namespace moka::ops {

namespace {
// Arguments from `first` on: rois [regions, 4], batch_indices [regions], output_size, spatial_scale, sampling_ratio,
// aligned, mode.
struct Regions {
  int64_t count = 0, batch = 0, channels = 0, height = 0, width = 0, rows = 0, columns = 0, samples = 0;
  double scale = 1;
  bool aligned = true, largest = false;
};
Regions read_regions(const Frame& f, std::span<const int64_t> image, int first) {
  MOKA_CHECK(image.size() == 4, f.name(), ": an image must have shape [batch, channels, height, width], got ",
             image);
  Regions r;
  r.batch = image[0];
  r.channels = image[1];
  r.height = image[2];
  r.width = image[3];
  const Tensor &rois = f.tensor(first), &index = f.tensor(first + 1);
  MOKA_CHECK(rois.dim() == 2 && rois.size(1) == 4, f.name(), ": rois must have shape [regions, 4], got ",
             rois.sizes());
  r.count = rois.size(0);
  MOKA_CHECK(index.dim() == 1 && index.size(0) == r.count && is_integral(index.dtype()), f.name(),
             ": batch_indices must be ", r.count, " integers, got ", index.dtype(), " of shape ",
             index.sizes());
  const Dims size = ints_argument(f, first + 2);
  MOKA_CHECK_KIND(Value, size.size() == 2 && size[0] > 0 && size[1] > 0, f.name(),
                  ": output_size must be two positive sizes, got ", size);
  r.rows = size[0];
  r.columns = size[1];
  r.scale = f.number(first + 3);
  r.samples = f.integer(first + 4);
  r.aligned = f.flag(first + 5);
  const std::string_view mode = f.string(first + 6);
  MOKA_CHECK_KIND(Value, mode == "avg" || mode == "max", f.name(), ": mode must be 'avg' or 'max', got '",
                  mode, "'");
  r.largest = mode == "max";
  MOKA_CHECK(r.count == 0 || (r.batch > 0 && r.height > 0 && r.width > 0), f.name(),
             ": the image is empty, shape ", image);
  return r;
}
Dims region_sizes(const Regions& r) { return {r.count, r.channels, r.rows, r.columns}; }

struct Tap {
  int64_t place[4];
  double weight[4];
};
// The four pixels around a place; outside of the image by more than one pixel there are none.
Tap tap_at(const Regions& r, double y, double x) {
  Tap t{};
  if (!(y >= -1 && y <= double(r.height) && x >= -1 && x <= double(r.width))) return t;
  auto side = [](double v, int64_t size, int64_t& low, int64_t& high) {
    v = std::max(v, 0.0);
    low = static_cast<int64_t>(v);
    if (low >= size - 1) {
      low = high = size - 1;
      return 0.0;
    }
    high = low + 1;
    return v - double(low);
  };
  int64_t y0, y1, x0, x1;
  const double fy = side(y, r.height, y0, y1), fx = side(x, r.width, x0, x1);
  const int64_t places[] = {y0 * r.width + x0, y0 * r.width + x1, y1 * r.width + x0, y1 * r.width + x1};
  const double weights[] = {(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx};
  std::copy_n(places, 4, t.place);
  std::copy_n(weights, 4, t.weight);
  return t;
}

// visit(image, bin, taps of the bin) for the bins of one region.
template <class T, class F>
void each_bin(const Regions& r, const T* roi, int64_t image, std::vector<Tap>& taps, F visit) {
  const double offset = r.aligned ? 0.5 : 0;
  const double left = double(roi[0]) * r.scale - offset, top = double(roi[1]) * r.scale - offset;
  double width = double(roi[2]) * r.scale - offset - left, height = double(roi[3]) * r.scale - offset - top;
  if (!r.aligned) {
    width = std::max(width, 1.0);
    height = std::max(height, 1.0);
  }
  const double bin_height = height / double(r.rows), bin_width = width / double(r.columns);
  // So many samples that each stands for about a pixel; no region asks for more than there are pixels.
  auto count = [&](double bin, int64_t size) {
    if (r.samples > 0) return r.samples;
    const double wanted = std::ceil(bin);
    return wanted > 0 ? static_cast<int64_t>(std::min(wanted, 4.0 * double(size) + 16)) : int64_t(0);
  };
  const int64_t down = count(bin_height, r.height), across = count(bin_width, r.width);
  for (int64_t p = 0; p < r.rows; p++)
    for (int64_t q = 0; q < r.columns; q++) {
      taps.clear();
      for (int64_t i = 0; i < down; i++)
        for (int64_t j = 0; j < across; j++)
          taps.push_back(tap_at(r, top + (double(p) + (double(i) + 0.5) / double(down)) * bin_height,
                                left + (double(q) + (double(j) + 0.5) / double(across)) * bin_width));
      visit(image, p * r.columns + q, std::span<const Tap>(taps));
    }
}

int64_t image_of(const Frame& f, const Regions& r, const Tensor& index, int64_t i) {
  const int64_t image = element_as_int(index, i);
  MOKA_CHECK_KIND(Index, image >= 0 && image < r.batch, f.name(), ": region ", i, " lies in image ", image,
                  " of ", r.batch);
  return image;
}

// The largest weighted pixel of all samples: which sample and which of its pixels; -1 without samples.
template <class T>
std::pair<int64_t, int> largest_of(std::span<const Tap> taps, const T* plane) {
  int64_t best = -1;
  int corner = 0;
  double value = 0;
  for (size_t s = 0; s < taps.size(); s++)
    for (int c = 0; c < 4; c++) {
      const double v = taps[s].weight[c] * double(plane[taps[s].place[c]]);
      if (best >= 0 && !(v > value)) continue;
      best = static_cast<int64_t>(s);
      corner = c;
      value = v;
    }
  return {best, corner};
}

void align_shape(Frame& f) {
  const Tensor& x = floating_argument(f, 0);
  floating_argument(f, 1);
  f.output(0, region_sizes(read_regions(f, x.sizes(), 1)), x.dtype());
}
void align_kernel(Frame& f) {
  const Regions r = read_regions(f, f.tensor(0).sizes(), 1);
  const Tensor x = as_contiguous(in_kernel_dtype(f.tensor(0)));
  const Tensor rois = as_contiguous(to_dtype(f.tensor(1), DType::F64));
  KernelOutput y(f, 0);
  const int64_t bins = r.rows * r.columns, pixels = r.height * r.width;
  by_kernel_dtype(x.dtype(), [&]<class T>(T*) {
    parallel_for(0, r.count, 1, [&](int64_t first, int64_t last) {
      std::vector<Tap> taps;
      for (int64_t i = first; i < last; i++)
        each_bin(r, rois.data<double>() + i * 4, image_of(f, r, f.tensor(2), i), taps,
                 [&](int64_t image, int64_t bin, std::span<const Tap> at) {
                   for (int64_t c = 0; c < r.channels; c++) {
                     const T* plane = x.data<T>() + (image * r.channels + c) * pixels;
                     double sum = 0;
                     if (r.largest) {
                       const auto [sample, corner] = largest_of(at, plane);
                       const Tap* t = sample < 0 ? nullptr : &at[static_cast<size_t>(sample)];
                       if (t) sum = t->weight[corner] * double(plane[t->place[corner]]);
                     } else {
                       for (const Tap& t : at)
                         for (int k = 0; k < 4; k++) sum += t.weight[k] * double(plane[t.place[k]]);
                       sum /= double(std::max<size_t>(at.size(), 1));
                     }
                     y.data<T>()[(i * r.channels + c) * bins + bin] = static_cast<T>(sum);
                   }
                 });
    });
  });
  y.finish();
}

void align_backward_shape(Frame& f) {
  floating_argument(f, 0);
  const Tensor& x = floating_argument(f, 1);
  check_shape(f, 0, region_sizes(read_regions(f, x.sizes(), 2)));
  f.output(0, x.sizes(), x.dtype());
}
void align_backward_kernel(Frame& f) {
  const Regions r = read_regions(f, f.tensor(1).sizes(), 2);
  const Tensor dy = as_contiguous(in_kernel_dtype(f.tensor(0))),
               x = as_contiguous(in_kernel_dtype(f.tensor(1)));
  const Tensor rois = as_contiguous(to_dtype(f.tensor(2), DType::F64));
  KernelOutput dx(f, 0);
  const int64_t bins = r.rows * r.columns, pixels = r.height * r.width;
  by_kernel_dtype(x.dtype(), [&]<class T>(T*) {
    std::fill_n(dx.data<T>(), dx.tensor().numel(), T(0));
    std::vector<Tap> taps;
    for (int64_t i = 0; i < r.count; i++)
      each_bin(r, rois.data<double>() + i * 4, image_of(f, r, f.tensor(3), i), taps,
               [&](int64_t image, int64_t bin, std::span<const Tap> at) {
                 for (int64_t c = 0; c < r.channels && !at.empty(); c++) {
                   const int64_t plane = (image * r.channels + c) * pixels;
                   const double g = double(dy.data<T>()[(i * r.channels + c) * bins + bin]);
                   if (r.largest) {
                     const auto [sample, corner] = largest_of(at, x.data<T>() + plane);
                     const Tap& t = at[static_cast<size_t>(sample)];
                     dx.data<T>()[plane + t.place[corner]] += static_cast<T>(g * t.weight[corner]);
                     continue;
                   }
                   for (const Tap& t : at)
                     for (int k = 0; k < 4; k++)
                       dx.data<T>()[plane + t.place[k]] +=
                           static_cast<T>(g * t.weight[k] / double(at.size()));
                 }
               });
  });
  dx.finish();
}
}  // namespace

constinit const Op roi_align_op{
    .schema =
        "roi_align(Tensor input, Tensor rois, Tensor batch_indices, int[2] output_size, float "
        "spatial_scale=1.0, int "
        "sampling_ratio=0, bool aligned=True, str mode='avg') -> Tensor",
    .doc =
        "Reads regions of images: input [batch, channels, height, width], rois [regions, 4] as (left, top, "
        "right, "
        "bottom) times spatial_scale, batch_indices [regions] says the image of each. Every region is cut "
        "into "
        "output_size bins with sampling_ratio x sampling_ratio samples each (0: about one for every pixel), "
        "of which "
        "the result [regions, channels, height, width] has the mean or the largest.",
    .method = "none",
    .shape = align_shape,
    .kernels = {KernelRow{.name = "loop", .run = align_kernel}},
    .derivative = {wrt("input",
                       [](auto dy, auto input, auto rois, auto batch_indices, auto output_size,
                          auto spatial_scale, auto sampling_ratio, auto aligned, auto mode) {
                         return roi_align_backward(dy, input, rois, batch_indices, output_size, spatial_scale,
                                                   sampling_ratio, aligned, mode);
                       })},
    .onnx = none("written as RoiAlign by an adapter"),
    .netdef = none("Caffe2's RoIAlign has the image in its boxes"),
    .samples = {},
};
constinit const Op roi_align_backward_op{
    .schema =
        "roi_align_backward(Tensor grad, Tensor input, Tensor rois, Tensor batch_indices, int[2] "
        "output_size, float "
        "spatial_scale=1.0, int sampling_ratio=0, bool aligned=True, str mode='avg') -> Tensor",
    .doc = "Gradient of roi_align with respect to its input.",
    .method = "none",
    .shape = align_backward_shape,
    .kernels = {KernelRow{.name = "loop", .run = align_backward_kernel}},
    .derivative = {unwritten("second derivatives of regions are not written")},
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {},
};

}  // namespace moka::ops
