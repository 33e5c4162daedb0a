// The shape of one convolution, read and checked in one place for operators, kernels and back ends.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/kernels/window.h"

namespace moka {

// input [batch, channels, (z.in, y.in,) x.in], weight [filters, channels / groups, (z.kernel, y.kernel,) x.kernel],
// output [batch, filters, (z.out, y.out,) x.out].
struct ConvGeometry : Window {
  int64_t batch = 1, channels = 0, filters = 0, groups = 1;
  bool batched = true;  // false: the tensors lack the batch dimension

  int64_t group_channels() const { return channels / groups; }
  int64_t group_filters() const { return filters / groups; }
  Dims input_sizes() const;
  Dims output_sizes() const;
  Dims weight_sizes() const;
};

// From the sizes of input and weight and the settings, which are arguments `first` (stride, padding, dilation, groups)
// and on; every impossible combination is an error. The declared size of stride is the number of axes.
ConvGeometry conv_geometry(const Frame& f, std::span<const int64_t> input, std::span<const int64_t> weight,
                           int first);
// The geometry of the operators of this family, whose arguments differ in what they know.
ConvGeometry conv_forward_geometry(const Frame& f);
ConvGeometry conv_backward_input_geometry(const Frame& f);
ConvGeometry conv_backward_weight_geometry(const Frame& f);

// The transpose computes the gradient of the convolution whose output has the shape of its input.
struct Transposed {
  ConvGeometry g;
  Dims result;
};
Transposed conv_transpose_geometry(const Frame& f);

}  // namespace moka
