// Class probabilities from those of pairs: T.-F. Wu, C.-J. Lin, R. C. Weng, JMLR 5 (2004), the second method, as libsvm.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <vector>

#include "moka/ops/define.h"
#include "moka/ops/ensembles/ensembles.h"
#include "moka/ops/kernels/arguments.h"

namespace moka::ops {

namespace {
int64_t classes_of(int64_t pairs) {
  int64_t k = 2;
  while (k * (k - 1) / 2 < pairs) k++;
  return k;
}

void shape(Frame& f) {
  const Tensor& x = floating_argument(f, 0);
  MOKA_CHECK(x.dim() == 2 && x.size(1) >= 1 && x.size(1) <= (int64_t(1) << 20), f.name(),
             ": 'input' must have shape [rows, pairs], got ", x.sizes());
  const int64_t k = classes_of(x.size(1));
  MOKA_CHECK(k * (k - 1) / 2 == x.size(1), f.name(), ": ", x.size(1), " is no number of pairs of classes");
  f.output(0, Dims{x.size(0), k}, x.dtype());
}

void run(Frame& f) {
  const Tensor x = to_dtype(f.tensor(0), DType::F64), out = new_tensor(f.outs[0].sizes(), DType::F64);
  const size_t k = static_cast<size_t>(out.size(1));
  std::vector<double> r(k * k), q(k * k), qp(k);
  for (int64_t row = 0; row < x.size(0); row++) {
    const double* pair = x.data<double>() + row * x.size(1);
    double* p = out.data<double>() + row * out.size(1);
    for (size_t i = 0; i < k; i++)
      for (size_t j = i + 1; j < k; j++) {
        const double v = std::clamp(*pair++, 1e-7, 1 - 1e-7);
        r[i * k + j] = v;
        r[j * k + i] = 1 - v;
      }
    for (size_t t = 0; t < k; t++) {
      p[t] = 1.0 / static_cast<double>(k);
      q[t * k + t] = 0;
      for (size_t j = 0; j < k; j++)
        if (j != t) {
          q[t * k + t] += r[j * k + t] * r[j * k + t];
          q[t * k + j] = -r[j * k + t] * r[t * k + j];
        }
    }
    const double enough = 0.005 / static_cast<double>(k);
    for (size_t turn = 0; turn < std::max<size_t>(100, k); turn++) {
      double total = 0, worst = 0;
      for (size_t t = 0; t < k; t++) {
        qp[t] = 0;
        for (size_t j = 0; j < k; j++) qp[t] += q[t * k + j] * p[j];
        total += p[t] * qp[t];
      }
      for (size_t t = 0; t < k; t++) worst = std::max(worst, std::abs(qp[t] - total));
      if (worst < enough) break;
      for (size_t t = 0; t < k; t++) {
        const double diff = (total - qp[t]) / q[t * k + t];
        p[t] += diff;
        total = (total + diff * (diff * q[t * k + t] + 2 * qp[t])) / (1 + diff) / (1 + diff);
        for (size_t j = 0; j < k; j++) {
          qp[j] = (qp[j] + diff * q[t * k + j]) / (1 + diff);
          p[j] /= 1 + diff;
        }
      }
    }
  }
  copy_elements(out, f.outs[0]);
}
}  // namespace

constinit const Op pairwise_coupling_op{
    .schema = "pairwise_coupling(Tensor input) -> Tensor",
    .doc =
        "Probabilities of k classes, [rows, k], from input [rows, k * (k - 1) / 2]: of each pair (0, 1), (0, "
        "2), ..., (1, "
        "2), ... the probability of the first.",
    .method = "none",
    .shape = shape,
    .kernels = {KernelRow{"iteration", run}},
    .derivative = none("an iteration that stops early"),
    .onnx = none("written as SVMClassifier by an adapter"),
    .netdef = none("NetDefs have no such operator"),
};

}  // namespace moka::ops
