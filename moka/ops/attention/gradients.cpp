// The gradients of attention written with operators: the scores are kept whole, for a derivative of them.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/attention/gradients.h"

#include <cmath>
#include <limits>

#include "moka/ops/arranging/arranging.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/linear/linear.h"
#include "moka/ops/normalization/normalization.h"
#include "moka/ops/pointwise/pointwise.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
Tensor in_type(const Tensor& t, DType type) { return t.dtype() == type ? t : to(t, type); }
Tensor turned(const Tensor& t) { return transpose(t, -1, -2); }
// The sizes of t with its heads as [groups, each].
Dims grouped(const Tensor& t, int64_t groups, int64_t each) {
  Dims sizes(t.sizes());
  const size_t at = sizes.size() - 3;
  sizes.push_back(sizes.back());
  sizes[at + 2] = t.size(-2);
  sizes[at + 1] = each;
  sizes[at] = groups;
  return sizes;
}
// One head of keys for each of `heads`.
Tensor repeated(const Tensor& t, int64_t heads) {
  if (t.dim() < 3 || t.size(-3) == heads) return t;
  MOKA_CHECK(t.size(-3) > 0 && heads % t.size(-3) == 0, "attention_backward: ", heads,
             " heads of queries do not fit keys or values of shape ", t.sizes());
  Dims sizes = grouped(t, t.size(-3), heads / t.size(-3)), whole(t.sizes());
  whole[whole.size() - 3] = heads;
  return reshape(expand(unsqueeze(t, -3), sizes), whole);
}
Tensor gathered(const Tensor& t, const Tensor& like) {  // sums over the heads that share keys
  if (t.dim() < 3 || t.size(-3) == like.size(-3)) return t;
  Dims sizes = grouped(t, like.size(-3), t.size(-3) / like.size(-3));
  return sum(reshape(t, sizes), Dims{-3}, false);
}
// Sums `t` to the sizes of `like`, which was broadcast to it.
Tensor summed_to(Tensor t, const Tensor& like) {
  Dims dims;
  const int lead = t.dim() - like.dim();
  for (int d = 0; d < t.dim(); d++)
    if (d < lead || (like.size(d - lead) == 1 && t.size(d) != 1)) dims.push_back(d);
  if (!dims.empty()) t = sum(t, dims, true);
  return reshape(t, Dims(like.sizes()));
}

struct Parts {
  Tensor query, key, value, weights, scores_grad, value_grad;
  double scale;
};
// Arguments: grad, query, key, value, attn_mask, output, logsumexp, is_causal, scale, enable_gqa.
Parts parts_of(const Any* in) {
  const Tensor& q = in[1].tensor();
  const DType type = kernel_dtype(q.dtype());
  const int64_t heads = q.dim() < 3 ? 1 : q.size(-3), queries = q.size(-2), width = q.size(-1);
  Parts p;
  p.query = in_type(q, type);
  p.key = repeated(in_type(in[2].tensor(), type), heads);
  p.value = repeated(in_type(in[3].tensor(), type), heads);
  p.scale = !in[8].is_none() ? in[8].to_double() : width ? 1 / std::sqrt(double(width)) : 1;
  const int64_t keys = p.key.size(-2);
  Tensor scores = mul(matmul(p.query, turned(p.key)), p.scale), hidden;
  if (!in[4].is_none()) {
    const Tensor& mask = in[4].tensor();
    if (mask.dtype() == DType::Bool) hidden = eq(mask, false);
    else scores = add(scores, in_type(mask, type));
  }
  if (in[7].to_bool()) {
    Tensor rows = reshape(arange(int64_t(0), queries, int64_t(1)), Dims{queries, 1});
    Tensor later = gt(arange(int64_t(0), keys, int64_t(1)), rows);
    scores = masked_fill(scores, later, -std::numeric_limits<double>::infinity());
  }
  if (hidden) scores = masked_fill(scores, hidden, -std::numeric_limits<double>::infinity());
  // Rows that see nothing have no weights.
  Tensor none = eq(amax(scores, Dims{-1}, true), -std::numeric_limits<double>::infinity());
  p.weights = masked_fill(softmax(masked_fill(scores, none, 0.0), -1), none, 0.0);
  Tensor dy = in_type(in[0].tensor(), type), weights_grad = matmul(dy, turned(p.value));
  p.value_grad = matmul(turned(p.weights), dy);
  p.scores_grad = mul(p.weights, sub(weights_grad, sum(mul(weights_grad, p.weights), Dims{-1}, true)));
  return p;
}
}  // namespace

void attention_gradient(const Any* in, Any* out) {
  Parts p = parts_of(in);
  const Tensor results[] = {mul(matmul(p.scores_grad, p.key), p.scale),
                            gathered(mul(matmul(turned(p.scores_grad), p.query), p.scale), in[2].tensor()),
                            gathered(p.value_grad, in[3].tensor())};
  for (int i = 0; i < 3; i++) out[i] = Any(in_type(results[i], in[i + 1].tensor().dtype()));
}

void attention_mask_gradient(const Any* in, Any* out) {
  const Tensor& mask = in[4].tensor();
  out[0] = Any(in_type(summed_to(parts_of(in).scores_grad, mask), mask.dtype()));
}

}  // namespace moka::ops
