// The places that an affine map reads, for grid_sample.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/ops/define.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/resample/resample.h"

namespace moka::ops {

namespace {
struct Grid {
  int64_t batch = 0;
  int rank = 2;
  int64_t sizes[3] = {1, 1, 1};  // (depth,) height, width, aligned at the end
  bool align = false;
  int64_t pixels() const { return sizes[0] * sizes[1] * sizes[2]; }
  // -1 to 1 over an axis: of the centres of the outer pixels, or of their outer borders.
  double coordinate(int axis, int64_t i) const {
    const double n = double(sizes[axis]);
    if (align) return n > 1 ? -1 + 2 * double(i) / (n - 1) : 0;
    return (2 * double(i) + 1) / n - 1;
  }
  // visit(pixel, (x, y, (z,) 1))
  template <class F>
  void each_place(F visit) const {
    double place[4];
    place[rank] = 1;
    for (int64_t z = 0, p = 0; z < sizes[0]; z++)
      for (int64_t y = 0; y < sizes[1]; y++)
        for (int64_t x = 0; x < sizes[2]; x++) {
          place[0] = coordinate(2, x);
          place[1] = coordinate(1, y);
          if (rank == 3) place[2] = coordinate(0, z);
          visit(p++, place);
        }
  }
};
Grid read_grid(const Frame& f) {
  Dims size = ints_argument(f, 1);
  MOKA_CHECK_KIND(NotImplemented, size.size() == 4 || size.size() == 5, f.name(),
                  ": size must be that of an image [batch, channels, height, width] or a volume, got ", size);
  Grid g;
  g.rank = static_cast<int>(size.size()) - 2;
  g.batch = size[0];
  g.align = f.flag(2);
  for (int64_t s : size) MOKA_CHECK_KIND(Value, s > 0, f.name(), ": size must be positive, got ", size);
  for (int k = 0; k < g.rank; k++) g.sizes[3 - g.rank + k] = size[static_cast<size_t>(k) + 2];
  return g;
}
Dims theta_sizes(const Grid& g) { return {g.batch, g.rank, g.rank + 1}; }
Dims place_sizes(const Grid& g) {
  Dims d{g.batch};
  for (int k = 3 - g.rank; k < 3; k++) d.push_back(g.sizes[k]);
  d.push_back(g.rank);
  return d;
}
void grid_shape(Frame& f) {
  floating_argument(f, 0);
  Grid g = read_grid(f);
  check_shape(f, 0, theta_sizes(g));
  f.output(0, place_sizes(g), f.tensor(0).dtype());
}
void grid_kernel(Frame& f) {
  Grid g = read_grid(f);
  Tensor theta = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput y(f, 0);
  by_kernel_dtype(theta.dtype(), [&]<class T>(T*) {
    g.each_place([&](int64_t p, const double* place) {
      for (int64_t b = 0; b < g.batch; b++)
        for (int r = 0; r < g.rank; r++) {
          const T* row = theta.data<T>() + (b * g.rank + r) * (g.rank + 1);
          T sum = 0;
          for (int c = 0; c <= g.rank; c++) sum += row[c] * static_cast<T>(place[c]);
          y.data<T>()[(b * g.pixels() + p) * g.rank + r] = sum;
        }
    });
  });
  y.finish();
}
void grid_backward_shape(Frame& f) {
  floating_argument(f, 0);
  Grid g = read_grid(f);
  check_shape(f, 0, place_sizes(g));
  f.output(0, theta_sizes(g), f.tensor(0).dtype());
}
void grid_backward_kernel(Frame& f) {
  Grid g = read_grid(f);
  Tensor dy = as_contiguous(in_kernel_dtype(f.tensor(0)));
  KernelOutput dx(f, 0);
  by_kernel_dtype(dy.dtype(), [&]<class T>(T*) {
    std::vector<double> sums(static_cast<size_t>(g.batch * g.rank * (g.rank + 1)));
    g.each_place([&](int64_t p, const double* place) {
      for (int64_t b = 0; b < g.batch; b++)
        for (int r = 0; r < g.rank; r++)
          for (int c = 0; c <= g.rank; c++)
            sums[static_cast<size_t>((b * g.rank + r) * (g.rank + 1) + c)] +=
                double(dy.data<T>()[(b * g.pixels() + p) * g.rank + r]) * place[c];
    });
    std::transform(sums.begin(), sums.end(), dx.data<T>(), [](double v) { return static_cast<T>(v); });
  });
  dx.finish();
}
}  // namespace

constinit const Op affine_grid_op{
    .schema = "affine_grid(Tensor theta, int[] size, bool align_corners=False) -> Tensor",
    .doc =
        "The places [batch, height, width, 2] (or [batch, depth, height, width, 3]) to which the affine maps "
        "theta "
        "[batch, 2, 3] ([batch, 3, 4]) take the pixels of an image of `size`, whose coordinates go from -1 "
        "to 1.",
    .method = "function",
    .shape = grid_shape,
    .kernels = {KernelRow{.name = "loop", .run = grid_kernel}},
    .derivative = {wrt("theta",
                       [](auto dy, auto, auto size, auto align_corners) {
                         return affine_grid_backward(dy, size, align_corners);
                       })},
    .onnx = Format{{.map = "AffineGrid(theta, size, align_corners=align_corners)", .since = 20}},
    .netdef = none("Caffe2 has no such operator"),
    .samples = {shape(2, 2, 3).with("size", {2, 1, 3, 4}),
                shape(1, 3, 4).with("size", {1, 2, 2, 3, 1}).with("align_corners", true)},
};
constinit const Op affine_grid_backward_op{
    .schema = "affine_grid_backward(Tensor grad, int[] size, bool align_corners=False) -> Tensor",
    .doc = "Gradient of affine_grid with respect to theta.",
    .method = "function",
    .shape = grid_backward_shape,
    .kernels = {KernelRow{.name = "loop", .run = grid_backward_kernel}},
    .derivative = {wrt("grad", [](auto dy, auto, auto size,
                                  auto align_corners) { return affine_grid(dy, size, align_corners); })},
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {shape(2, 3, 4, 2).with("size", {2, 1, 3, 4}),
                shape(1, 2, 3, 1, 3).with("size", {1, 2, 2, 3, 1}).with("align_corners", true)},
};

}  // namespace moka::ops
