// The gradients of fused losses written with operators.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/loss/gradients.h"

#include "moka/ops/activation/activation.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/normalization/normalization.h"
#include "moka/ops/pointwise/pointwise.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/shaping/shaping.h"

#include <algorithm>

namespace moka::ops {

namespace {
Tensor in_type(const Tensor& t, DType type) { return t.dtype() == type ? t : to(t, type); }
}  // namespace

// With weights q of the classes of one item: dx = dy (softmax(x) sum(q) - q).
void cross_entropy_gradient(const Any* in, Any* out) {
  const Tensor& input = in[1].tensor();
  const DType type = kernel_dtype(input.dtype());
  Tensor x = in_type(input, type), dy = in_type(in[0].tensor(), type), target = in[2].tensor(), q, divisor;
  const int dim = x.dim() == 1 ? 0 : 1;
  const double smoothing = in[6].to_double(), classes = double(x.size(dim));
  Dims along;  // [classes] beside the input
  for (int d = 0; d < x.dim(); d++) along.push_back(d == dim ? x.size(dim) : 1);
  Tensor weight = in[3].is_none() ? Tensor() : reshape(in_type(in[3].tensor(), type), along);
  if (is_floating(target.dtype())) {
    q = add(mul(in_type(target, type), 1 - smoothing), smoothing / classes);
    if (weight) q = mul(q, weight);
  } else {
    Tensor seen = unsqueeze(ne(target, in[4].to_int()), dim);
    Tensor steps = reshape(arange(int64_t(0), x.size(dim), int64_t(1)), along);
    Tensor own = mul(in_type(eq(unsqueeze(target, dim), steps), type), in_type(seen, type));
    divisor = sum(weight ? mul(own, weight) : own);
    q = add(mul(own, 1 - smoothing), mul(in_type(seen, type), smoothing / classes));
    if (weight) q = mul(q, weight);
  }
  std::string_view reduction = in[5].string();
  if (reduction == "none") dy = unsqueeze(dy, dim);
  else if (reduction == "mean") dy = divisor ? div(dy, divisor) : div(dy, double(x.numel()) / classes);
  Tensor dx = mul(dy, sub(mul(softmax(x, dim), sum(q, Dims{dim}, true)), q));
  out[0] = Any(in_type(dx, input.dtype()));
}

// -(p t log s(x) + (1 - t) log(1 - s(x))) has the slope (1 - t) - (1 + (p - 1) t) s(-x).
void binary_cross_entropy_with_logits_gradient(const Any* in, Any* out) {
  const Tensor& input = in[1].tensor();
  const DType type = kernel_dtype(input.dtype());
  Tensor x = in_type(input, type), dy = in_type(in[0].tensor(), type), t = in_type(in[2].tensor(), type);
  Tensor others = sub(ones_like(t), t), positive = t;
  if (!in[4].is_none()) positive = mul(t, in_type(in[4].tensor(), type));
  Tensor slope = sub(others, mul(add(others, positive), sigmoid(neg(x))));
  if (!in[3].is_none()) slope = mul(slope, in_type(in[3].tensor(), type));
  if (in[5].string() == "mean") dy = div(dy, double(x.numel()));
  out[0] = Any(in_type(mul(slope, dy), input.dtype()));
}

}  // namespace moka::ops
