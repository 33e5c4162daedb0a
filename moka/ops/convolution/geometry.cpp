// Reading and checking the shape of a convolution.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/convolution/geometry.h"

#include <algorithm>

namespace moka {

ConvGeometry conv_geometry(const Frame& f, std::span<const int64_t> input, std::span<const int64_t> weight,
                           int first) {
  std::string_view op = f.name();
  MOKA_CHECK(input.size() == 4 || input.size() == 3, op,
             ": input must have shape [batch, channels, height, width] or [channels, height, width], got ",
             input);
  MOKA_CHECK(weight.size() == 4, op,
             ": weight must have shape [out, in / groups, kernel height, kernel width], got ", weight);
  checked_numel(input, "convolution");
  checked_numel(weight, "convolution");
  ConvGeometry g;
  g.batched = input.size() == 4;
  g.batch = g.batched ? input[0] : 1;
  g.channels = input[input.size() - 3];
  g.y.in = input[input.size() - 2];
  g.x.in = input[input.size() - 1];
  g.filters = weight[0];
  g.y.kernel = weight[2];
  g.x.kernel = weight[3];
  Pair stride = pair_argument(f, first, 1), padding = pair_argument(f, first + 1, 0),
       dilation = pair_argument(f, first + 2, 1);
  g.y.stride = stride.h, g.x.stride = stride.w;
  g.y.padding = padding.h, g.x.padding = padding.w;
  g.y.dilation = dilation.h, g.x.dilation = dilation.w;
  g.groups = f.integer(first + 3);
  MOKA_CHECK_KIND(Value, g.groups >= 1, op, ": groups must be at least 1, got ", g.groups);
  MOKA_CHECK(g.filters % g.groups == 0, op, ": weight has ", g.filters, " output channels (shape ", weight,
             "), which groups=", g.groups, " does not divide");
  MOKA_CHECK(g.channels == checked_mul(weight[1], g.groups, "convolution"), op, ": weight has ", weight[1],
             " input channels", g.groups > 1 ? cat(" in each of ", g.groups, " groups") : "", " (shape ",
             weight, ") but input has ", g.channels, " channels (shape ", input, ")");
  MOKA_CHECK(g.y.kernel > 0 && g.x.kernel > 0, op, ": the kernel must not be empty, got weight of shape ",
             weight);
  g.y.out = window_outputs(f, "height", g.y);
  g.x.out = window_outputs(f, "width", g.x);
  return g;
}

ConvGeometry conv2d_geometry(const Frame& f) {
  floating_argument(f, 0);
  floating_argument(f, 1);
  check_same_dtype(f, 1, 0);
  ConvGeometry g = conv_geometry(f, f.tensor(0).sizes(), f.tensor(1).sizes(), 3);
  if (optional_argument(f, 2, 0)) check_shape(f, 2, Dims{g.filters});
  return g;
}

ConvGeometry conv2d_backward_input_geometry(const Frame& f) {
  floating_argument(f, 0);
  floating_argument(f, 1);
  check_same_dtype(f, 0, 1);
  ConvGeometry g = conv_geometry(f, ints_argument(f, 2), f.tensor(1).sizes(), 3);
  check_shape(f, 0, g.output_sizes());
  return g;
}

ConvGeometry conv2d_backward_weight_geometry(const Frame& f) {
  floating_argument(f, 0);
  floating_argument(f, 1);
  check_same_dtype(f, 0, 1);
  ConvGeometry g = conv_geometry(f, f.tensor(1).sizes(), ints_argument(f, 2), 3);
  check_shape(f, 0, g.output_sizes());
  return g;
}

}  // namespace moka
