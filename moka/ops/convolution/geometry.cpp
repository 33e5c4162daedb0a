// Reading and checking the shape of a convolution.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/convolution/geometry.h"

#include <algorithm>
#include <limits>

#include "moka/ops/kernels/differentiable.h"

namespace moka {

namespace {
Dims with_axes(const ConvGeometry& g, Dims sizes, int64_t Axis::* field) {
  for (int k = g.first(); k < 3; k++) sizes.push_back(g.axis(k).*field);
  return sizes;
}
Dims leading(const ConvGeometry& g, int64_t channels) {
  return g.batched ? Dims{g.batch, channels} : Dims{channels};
}
std::string joined(const Window& w, int64_t (*size)(const Axis&)) {
  std::string text;
  for (int k = w.first(); k < 3; k++) text += cat(k > w.first() ? " x " : "", size(w.axis(k)));
  return text;
}
int64_t reach(const Axis& a) {
  return checked_add(checked_mul(a.dilation, a.kernel - 1, "window"), 1, "window");
}
int64_t padded(const Axis& a) { return checked_add(a.in, checked_mul(2, a.padding, "padding"), "padding"); }
void check_reach(std::string_view op, const Window& w) {
  for (int k = w.first(); k < 3; k++)
    MOKA_CHECK(reach(w.axis(k)) <= padded(w.axis(k)), op, ": Calculated padded input size per channel: (",
               joined(w, padded), "). Kernel size: (", joined(w, reach),
               "). Kernel size can't be greater than actual input size");
}
void check_input_rank(std::string_view op, size_t rank, std::span<const int64_t> input) {
  MOKA_CHECK(input.size() == rank + 2 || input.size() == rank + 1, op, ": Expected ", rank + 1,
             "D (unbatched) or ", rank + 2, "D (batched) input to ", op, ", but got input of size: ", input);
}
void read_stride(const Frame& f, int i, Window& w) {
  read_axes(f, i, std::numeric_limits<int64_t>::min(), w, &Axis::stride);
  for (int k = w.first(); k < 3; k++)
    MOKA_CHECK(w.axis(k).stride >= 1, f.name(), ": non-positive stride is not supported, got ", f.args[i]);
}
}  // namespace

Dims ConvGeometry::input_sizes() const { return with_axes(*this, leading(*this, channels), &Axis::in); }
Dims ConvGeometry::output_sizes() const { return with_axes(*this, leading(*this, filters), &Axis::out); }
Dims ConvGeometry::weight_sizes() const {
  return with_axes(*this, Dims{filters, group_channels()}, &Axis::kernel);
}

ConvGeometry conv_geometry(const Frame& f, std::span<const int64_t> input, std::span<const int64_t> weight,
                           int first) {
  std::string_view op = f.name();
  ConvGeometry g;
  g.rank = declared_size(f, first);
  const size_t rank = static_cast<size_t>(g.rank);
  check_input_rank(op, rank, input);
  MOKA_CHECK(weight.size() == rank + 2, op, ": weight must have ", rank + 2,
             " dimensions [out, in / groups, kernel...], got ", weight);
  checked_numel(input, "convolution");
  checked_numel(weight, "convolution");
  g.batched = input.size() == rank + 2;
  g.batch = g.batched ? input[0] : 1;
  g.channels = input[input.size() - rank - 1];
  g.filters = weight[0];
  set_inputs(g, input);
  for (int k = 0; k < g.rank; k++) g.axis(g.first() + k).kernel = weight[static_cast<size_t>(k) + 2];
  read_stride(f, first, g);
  read_axes(f, first + 1, 0, g, &Axis::padding);
  read_axes(f, first + 2, 1, g, &Axis::dilation);
  g.groups = f.integer(first + 3);
  MOKA_CHECK(g.groups >= 1, op, ": groups must be at least 1, got ", g.groups);
  MOKA_CHECK(g.filters % g.groups == 0, op, ": weight has ", g.filters, " output channels (shape ", weight,
             "), which groups=", g.groups, " does not divide");
  const int64_t expected = checked_mul(weight[1], g.groups, "convolution");
  MOKA_CHECK(g.channels == expected, op, ": Given groups=", g.groups, ", weight of size ", weight,
             ", expected input", input, " to have ", expected, " channels, but got ", g.channels,
             " channels instead");
  MOKA_CHECK(g.taps() > 0, op, ": the kernel must not be empty, got weight of shape ", weight);
  check_reach(op, g);
  for (int k = g.first(); k < 3; k++) g.axis(k).out = window_outputs(f, axis_name(k), g.axis(k));
  return g;
}

ConvGeometry conv_forward_geometry(const Frame& f) {
  tensor_argument(f, 0);
  tensor_argument(f, 1);
  check_same_dtype(f, 1, 0);
  ConvGeometry g = conv_geometry(f, f.tensor(0).sizes(), f.tensor(1).sizes(), 3);
  if (optional_argument(f, 2, 0)) check_shape(f, 2, Dims{g.filters});
  return g;
}

ConvGeometry conv_backward_input_geometry(const Frame& f) {
  differentiable_argument(f, 0);
  differentiable_argument(f, 1);
  check_same_dtype(f, 0, 1);
  ConvGeometry g = conv_geometry(f, ints_argument(f, 2), f.tensor(1).sizes(), 3);
  check_shape(f, 0, g.output_sizes());
  return g;
}

ConvGeometry conv_backward_weight_geometry(const Frame& f) {
  differentiable_argument(f, 0);
  differentiable_argument(f, 1);
  check_same_dtype(f, 0, 1);
  ConvGeometry g = conv_geometry(f, f.tensor(1).sizes(), ints_argument(f, 2), 3);
  // The gradient of a transpose may lack the last outputs: output padding beyond the stride has no input.
  const Tensor& grad = f.tensor(0);
  const int spatial = grad.dim() - g.rank;
  for (int k = 0; k < g.rank && spatial >= 0; k++) {
    int64_t& out = g.axis(g.first() + k).out;
    out = std::min(out, grad.size(spatial + k));
  }
  check_shape(f, 0, g.output_sizes());
  return g;
}

Transposed conv_transpose_geometry(const Frame& f) {
  const Tensor &x = tensor_argument(f, 0), &w = tensor_argument(f, 1);
  std::string_view op = f.name();
  check_same_dtype(f, 1, 0);
  Window v;
  v.rank = declared_size(f, 3);
  check_input_rank(op, static_cast<size_t>(v.rank), x.sizes());
  MOKA_CHECK(w.dim() == v.rank + 2, op, ": weight must have ", v.rank + 2,
             " dimensions [in, out / groups, kernel...], got ", w.sizes());
  set_inputs(v, x.sizes());
  read_stride(f, 3, v);
  read_axes(f, 4, 0, v, &Axis::padding);
  read_axes(f, 5, 0, v, &Axis::out);  // output_padding
  read_axes(f, 7, 1, v, &Axis::dilation);
  int64_t groups = f.integer(6);
  MOKA_CHECK(groups >= 1, op, ": groups must be at least 1, got ", groups);
  Dims sizes(x.sizes());
  const size_t lead = sizes.size() - static_cast<size_t>(v.rank);
  sizes[lead - 1] = checked_mul(w.size(1), groups, "conv_transpose");
  for (int k = 0; k < v.rank; k++) {
    const Axis& a = v.axis(v.first() + k);
    MOKA_CHECK(a.out < a.stride || a.out < a.dilation, op,
               ": output_padding must be smaller than stride or dilation, got ", f.args[5]);
    MOKA_CHECK(a.in > 0, op, ": input must not be empty but in batch and channels, got shape ", x.sizes());
    int64_t n = checked_mul(a.in - 1, a.stride, "conv_transpose");
    n = checked_add(n, -checked_mul(2, a.padding, "conv_transpose"), "conv_transpose");
    n = checked_add(n, checked_mul(a.dilation, w.size(k + 2) - 1, "conv_transpose"), "conv_transpose");
    n = checked_add(n, checked_add(a.out, 1, "conv_transpose"), "conv_transpose");
    MOKA_CHECK(n > 0, op, ": the result would have size ", n, " (input ", x.sizes(), ", weight ", w.sizes(),
               ")");
    sizes[lead + static_cast<size_t>(k)] = n;
  }
  Arg settings[7] = {f.args[0], f.args[1], f.args[2], f.args[3], f.args[4], f.args[7], f.args[6]};
  Frame as_gradient(f.op, settings, 7);
  Transposed t{conv_geometry(as_gradient, sizes, w.sizes(), 3), sizes};
  MOKA_CHECK(x.size(static_cast<int>(lead) - 1) == t.g.filters, op, ": weight of shape ", w.sizes(),
             " takes ", t.g.filters, " channels but input has shape ", x.sizes());
  // With more output padding than stride, the convolution back would have further outputs; they have no input here.
  for (int k = v.first(); k < 3; k++) t.g.axis(k).out = v.axis(k).in;
  if (optional_argument(f, 2, 0)) check_shape(f, 2, Dims{sizes[lead - 1]});
  return t;
}

}  // namespace moka
