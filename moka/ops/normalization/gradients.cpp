// The gradients of normalizations written with operators. With centred values c, 1 / deviation s and y = c s, means
// over what is normalized: dx = s (g - mean(g) - y mean(g y)), where g is the gradient of y.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/normalization/gradients.h"

#include <limits>

#include "moka/ops/kernels/arguments.h"
#include "moka/ops/pointwise/pointwise.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
Tensor in_type(const Tensor& t, DType type) { return t.dtype() == type ? t : to(t, type); }
Tensor wide(const Any& a) {  // in the type in which kernels compute, undefined for None
  return a.is_none() ? Tensor() : in_type(a.tensor(), kernel_dtype(a.tensor().dtype()));
}
Dims span_of(int first, int last) {
  Dims d;
  for (int i = first; i < last; i++) d.push_back(i);
  return d;
}
Tensor mean_over(const Tensor& t, const Dims& dims) { return mean(t, dims, true); }
Tensor sum_over(const Tensor& t, const Dims& dims) { return dims.empty() ? t : sum(t, dims, false); }

struct Normalized {
  Tensor y, scale;
};
Normalized normalized(const Tensor& x, const Dims& dims, double eps) {
  Tensor centred = sub(x, mean_over(x, dims));
  Tensor scale = rsqrt(add(mean_over(mul(centred, centred), dims), eps));
  return {mul(centred, scale), scale};
}
Tensor gradient(const Normalized& n, const Tensor& g, const Dims& dims) {
  return mul(n.scale, sub(sub(g, mean_over(g, dims)), mul(n.y, mean_over(mul(g, n.y), dims))));
}
void store(Any* out, const Any& input, const Any& weight, const Tensor& dx, const Tensor& dweight,
           const Tensor& dbias) {
  const DType type = input.tensor().dtype(), parameters = weight.is_none() ? type : weight.tensor().dtype();
  out[0] = Any(in_type(dx, type));
  out[1] = Any(in_type(dweight, parameters));
  if (dbias) out[2] = Any(in_type(dbias, parameters));
}
// [channels] beside [batch, channels, ...].
Tensor by_channel(const Tensor& t, int rank) {
  Dims sizes;
  for (int d = 0; d < rank; d++) sizes.push_back(d == 1 ? t.size(0) : 1);
  return reshape(t, sizes);
}
Dims but_channels(int rank) {
  Dims d{0};
  for (int i = 2; i < rank; i++) d.push_back(i);
  return d;
}
}  // namespace

void batch_norm_gradient(const Any* in, Any* out) {
  Tensor dy = wide(in[0]), x = wide(in[1]), weight = wide(in[2]), mean = wide(in[3]), invstd = wide(in[4]);
  const int rank = x.dim();
  const Dims dims = but_channels(rank);
  Tensor g = weight ? mul(dy, by_channel(weight, rank)) : dy, y, dx;
  if (in[5].to_bool()) {
    // The statistics follow the input again; eps is what they were saved with.
    Tensor centred = sub(x, mean_over(x, dims)), variance = mean_over(mul(centred, centred), dims);
    Tensor eps = detach(sub(reciprocal(square(by_channel(invstd, rank))), variance));
    Tensor scale = rsqrt(add(variance, eps));
    y = mul(centred, scale);
    dx = gradient({y, scale}, g, dims);
  } else {
    Tensor scale = by_channel(invstd, rank);
    y = mul(sub(x, by_channel(mean, rank)), scale);
    dx = mul(g, scale);
  }
  store(out, in[1], in[2], dx, sum_over(mul(dy, y), dims), sum_over(dy, dims));
}

void layer_norm_gradient(const Any* in, Any* out) {
  Tensor dy = wide(in[0]), x = wide(in[1]), weight = wide(in[3]);
  const int rank = x.dim(), first = rank - static_cast<int>(in[2].ints().size());
  const Dims inner = span_of(first, rank), outer = span_of(0, first);
  Normalized n = normalized(x, inner, in[4].to_double());
  Tensor dx = gradient(n, weight ? mul(dy, weight) : dy, inner);
  store(out, in[1], in[3], dx, sum_over(mul(dy, n.y), outer), sum_over(dy, outer));
}

void group_norm_gradient(const Any* in, Any* out) {
  Tensor dy = wide(in[0]), x = wide(in[1]), weight = wide(in[3]);
  const int rank = x.dim();
  const int64_t groups = in[2].to_int();
  const Dims sizes(x.sizes()), grouped{x.size(0), groups, x.numel() ? -1 : 0}, inner{2};
  Normalized n = normalized(reshape(x, grouped), inner, in[4].to_double());
  Tensor g = weight ? mul(dy, by_channel(weight, rank)) : dy;
  Tensor dx = reshape(gradient(n, reshape(g, grouped), inner), sizes);
  const Dims dims = but_channels(rank);
  store(out, in[1], in[3], dx, sum_over(mul(dy, reshape(n.y, sizes)), dims), sum_over(dy, dims));
}

void rms_norm_gradient(const Any* in, Any* out) {
  Tensor dy = wide(in[0]), x = wide(in[1]), weight = wide(in[3]);
  const int rank = x.dim(), first = rank - static_cast<int>(in[2].ints().size());
  const Dims inner = span_of(first, rank), outer = span_of(0, first);
  const double eps = !in[4].is_none()          ? in[4].to_double()
                     : x.dtype() == DType::F64 ? std::numeric_limits<double>::epsilon()
                                               : std::numeric_limits<float>::epsilon();
  Tensor scale = rsqrt(add(mean_over(mul(x, x), inner), eps)), y = mul(x, scale);
  Tensor g = weight ? mul(dy, weight) : dy;
  Tensor dx = mul(scale, sub(g, mul(y, mean_over(mul(g, y), inner))));
  store(out, in[1], in[3], dx, sum_over(mul(dy, y), outer), Tensor());
}

}  // namespace moka::ops
