// The gradient of prod written with operators: the product of all others is that of those before and those behind.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/reduction/gradients.h"

#include <vector>

#include "moka/ops/creation/creation.h"
#include "moka/ops/pointwise/pointwise.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/reduction/scans.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
// Products of what stands before each element of the last dimension.
Tensor before(const Tensor& x) {
  const int64_t n = x.size(-1);
  Tensor first = ones_like(slice(x, -1, int64_t(0), int64_t(1)));
  return cumprod(concat(std::vector<Tensor>{first, slice(x, -1, int64_t(0), n - 1)}, -1), -1);
}
}  // namespace

// Arguments: grad, input, dim, keepdim.
void prod_gradient(const Any* in, Any* out) {
  const Tensor &dy = in[0].tensor(), &x = in[1].tensor();
  const int rank = x.dim();
  std::vector<bool> reduced(static_cast<size_t>(rank), in[2].is_none() || in[2].ints().empty());
  if (!in[2].is_none())
    for (int64_t d : in[2].ints())
      if (rank) reduced[static_cast<size_t>(wrap_dim(d, rank, "prod_backward"))] = true;
  Dims order, back, sizes, kept;
  for (int pass = 0; pass < 2; pass++)
    for (int d = 0; d < rank; d++)
      if (reduced[static_cast<size_t>(d)] == (pass == 1)) order.push_back(d);
  int64_t rows = 1, n = 1;
  back.resize(static_cast<size_t>(rank));
  for (int i = 0; i < rank; i++) {
    const int64_t d = order[static_cast<size_t>(i)];
    back[static_cast<size_t>(d)] = i;
    sizes.push_back(x.size(static_cast<int>(d)));
    const bool whole = reduced[static_cast<size_t>(d)];
    (whole ? n : rows) *= sizes.back();
    kept.push_back(whole ? 1 : sizes.back());
  }
  if (x.numel() == 0) {
    out[0] = Any(zeros_like(x));
    return;
  }
  Tensor flat = reshape(permute(x, order), Dims{rows, n});
  Tensor others = mul(before(flat), flip(before(flip(flat, Dims{1})), Dims{1}));
  Tensor slopes = mul(reshape(others, sizes), reshape(dy, kept));
  out[0] = Any(permute(slopes, back));
}

}  // namespace moka::ops
