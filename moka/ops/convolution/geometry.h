// The shape of one convolution, read and checked in one place for operators, kernels and back ends.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/kernels/window.h"

namespace moka {

// input [batch, channels, y.in, x.in], weight [filters, channels / groups, y.kernel, x.kernel], output
// [batch, filters, y.out, x.out].
struct ConvGeometry {
  int64_t batch = 1, channels = 0, filters = 0, groups = 1;
  Axis y, x;
  bool batched = true;  // false: the tensors lack the batch dimension

  int64_t group_channels() const { return channels / groups; }
  int64_t group_filters() const { return filters / groups; }
  int64_t taps() const { return y.kernel * x.kernel; }
  int64_t in_pixels() const { return y.in * x.in; }
  int64_t out_pixels() const { return y.out * x.out; }
  Dims input_sizes() const { return sizes(channels, y.in, x.in); }
  Dims output_sizes() const { return sizes(filters, y.out, x.out); }
  Dims weight_sizes() const { return {filters, group_channels(), y.kernel, x.kernel}; }

 private:
  Dims sizes(int64_t c, int64_t h, int64_t w) const { return batched ? Dims{batch, c, h, w} : Dims{c, h, w}; }
};

// From the sizes of input and weight and the settings, which are arguments `first` (stride, padding, dilation, groups)
// and on; every impossible combination is an error.
ConvGeometry conv_geometry(const Frame& f, std::span<const int64_t> input, std::span<const int64_t> weight,
                           int first);
// The geometry of the operators of this family, whose arguments differ in what they know.
ConvGeometry conv2d_geometry(const Frame& f);
ConvGeometry conv2d_backward_input_geometry(const Frame& f);
ConvGeometry conv2d_backward_weight_geometry(const Frame& f);

}  // namespace moka
