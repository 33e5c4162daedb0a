// Factors as matrices of their own, from their packed forms.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "moka/ops/creation/creation.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/linalg/linalg.h"
#include "moka/ops/linalg/matrices.h"
#include "moka/ops/linalg/tensors.h"
#include "moka/ops/linear/linear.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
using namespace matrix;

void unpack(const Tensor& lu, const Tensor& pivots, bool data, bool permutation, Any* out) {
  MOKA_CHECK(lu.dim() >= 2, "lu_unpack: LU_data must have at least 2 dimensions, got shape ", lu.sizes());
  MOKA_CHECK(!permutation || pivots.dtype() == DType::I32,
             "lu_unpack: LU_pivots is expected to be a contiguous tensor of "
             "torch.int32 dtype, got ",
             pivots.dtype());
  int64_t m = lu.size(-2), n = lu.size(-1), k = std::min(m, n);
  Tensor nothing = new_tensor(Dims{0}, lu.dtype());
  if (permutation) out[0] = Any(permutation_matrix(pivots, m, lu));
  else out[0] = Any(nothing);
  if (data) {
    out[1] = Any(matrix::tril(columns(lu, 0, k), -1) + identity(lu, m, k));
    out[2] = Any(matrix::triu(rows(lu, 0, k)));
  } else {
    out[1] = Any(nothing), out[2] = Any(nothing);
  }
}
void unpack_run(const Any* in, Any* out) {
  unpack(in[0].tensor(), in[1].tensor(), in[2].to_bool(), in[3].to_bool(), out);
}
void lu_run(const Any* in, Any* out) {
  Outputs packed = op_results(linalg_lu_factor_ex, in[0], in[1]);
  unpack(packed[0], packed[1], true, true, out);
}

// H_1 H_2 ... H_k applied to the first columns of the identity, H_i = 1 - tau_i v_i v_i^H.
Tensor reflected(const Tensor& a, const Tensor& tau, int64_t columns_wanted) {
  int64_t m = a.size(-2), k = tau.size(-1);
  Tensor q = identity(a, m, columns_wanted);
  for (int64_t i = k; i-- > 0;) {
    Tensor below = matrix::tril(a, -1);
    Tensor v = columns(below, i, 1) + columns(identity(a, m), i, 1);
    Tensor t = unsqueeze(narrow(tau, -1, i, int64_t(1)), -1);
    q = q - v * t * matmul(mH(v), q);
  }
  return q;
}
void householder_run(const Any* in, Any* out) {
  const Tensor &a = in[0].tensor(), &tau = in[1].tensor();
  if (!records({a, tau})) out[0] = Any(reflectors_product(a, tau));
  else if (tau.size(-1) == 0) out[0] = Any(where(full(Dims{}, true), identity(a, a.size(-2), a.size(-1)), a));
  else out[0] = Any(reflected(a, tau, a.size(-1)));
}
void ormqr_run(const Any* in, Any* out) {
  const Tensor &a = in[0].tensor(), &tau = in[1].tensor(), &other = in[2].tensor();
  bool left = in[3].to_bool(), adjoint = in[4].to_bool();
  if (!records({a, tau, other})) {
    out[0] = Any(reflectors_times(a, tau, other, left, adjoint));
    return;
  }
  Tensor q = reflected(a, tau, a.size(-2));
  if (adjoint) q = mH(q);
  out[0] = Any(left ? matmul(q, other) : matmul(other, q));
}

constexpr auto no_format = [] { return none("ONNX has no operator for it"); };
constexpr auto no_netdef = [] { return none("Caffe2 has no operator for it"); };
}  // namespace

constinit const Op lu_unpack_op{
    .schema =
        "lu_unpack(Tensor LU_data, Tensor LU_pivots, bool unpack_data=True, bool unpack_pivots=True) -> "
        "(Tensor P, "
        "Tensor L, Tensor U)",
    .doc = "P, L and U from what linalg.lu_factor gives.",
    .method = "function",
    .body = eager_body(unpack_run),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .samples = {},
};
constinit const Op linalg_lu_op{
    .schema = "linalg_lu(Tensor A, *, bool pivot=True) -> (Tensor P, Tensor L, Tensor U)",
    .doc = "A = P L U: a permutation, a lower triangle with ones on the diagonal, an upper triangle.",
    .method = "function",
    .body = eager_body(lu_run),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shape(3, 3), shape(2, 3, 2), shape(2, 4)},
};
constinit const Op linalg_householder_product_op{
    .schema = "linalg_householder_product(Tensor input, Tensor tau) -> Tensor",
    .doc = "The first columns of a product of Householder reflectors, which lie below the diagonal of input.",
    .method = "function",
    .body = eager_body(householder_run),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shapes({3, 3}, {3}), shapes({2, 4, 2}, {2, 2})},
};
constinit const Op orgqr_op{
    .schema = "orgqr(Tensor input, Tensor input2) -> Tensor",
    .doc = "The same as linalg.householder_product.",
    .body = eager_body(householder_run),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shapes({3, 3}, {3}), shapes({2, 4, 2}, {2, 2})},
};

constinit const Op ormqr_op{
    .schema = "ormqr(Tensor input, Tensor tau, Tensor other, bool left=True, bool transpose=False) -> Tensor",
    .doc = "Q other, Q^H other, other Q or other Q^H, with Q given by the reflectors of geqrf.",
    .body = eager_body(ormqr_run),
    .onnx = no_format(),
    .netdef = no_netdef(),
    .autocast = Autocast::Float32,
    .samples = {shapes({3, 3}, {3}, {3, 2}), shapes({2, 4, 2}, {2, 2}, {2, 4, 3})},
};

}  // namespace moka::ops
