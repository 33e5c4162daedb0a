// Numbers that a seed alone decides, for files that name seeds. They are those of NumPy's RandomState, with which ONNX's
// reference evaluator draws.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/ops/define.h"
#include "moka/ops/random/mersenne.h"
#include "moka/ops/random/random.h"

namespace moka::ops {

namespace {

double uniform(Mersenne& m) {
  const uint32_t high = m.word() >> 5, low = m.word() >> 6;
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

void shape_numbers(Frame& f) { f.output(0, f.ints(0), DType::F64); }
void run_numbers(Frame& f) {
  Mersenne m(static_cast<uint32_t>(f.integer(1)));
  const Tensor& out = f.outs[0];
  double* p = out.data<double>();
  const int64_t count = out.numel();
  if (!f.flag(2)) {
    for (int64_t i = 0; i < count; i++) p[i] = uniform(m);
    return;
  }
  // Marsaglia and Bray's polar method; of a pair the second comes first.
  for (int64_t i = 0; i < count; i += 2) {
    double x, y, square;
    do {
      x = 2 * uniform(m) - 1;
      y = 2 * uniform(m) - 1;
      square = x * x + y * y;
    } while (square >= 1 || square == 0);
    const double factor = std::sqrt(-2 * std::log(square) / square);
    p[i] = factor * y;
    if (i + 1 < count) p[i + 1] = factor * x;
  }
}

}  // namespace

constinit const Op _seeded_numbers_op{
    .schema = "_seeded_numbers(int[] size, int seed, bool normal=False) -> Tensor",
    .doc =
        "float64 numbers that the seed decides: uniform in [0, 1) or normal, as NumPy's RandomState draws "
        "them.",
    .method = "function",
    .shape = shape_numbers,
    .kernels = {KernelRow{"sequential", run_numbers}},
    .derivative = none("it has no tensor arguments"),
    .onnx = none("no generator of ONNX promises these numbers"),
    .netdef = none("no generator of Caffe2 promises these numbers"),
    .samples = {no_tensors().with("size", {2, 3}).with("seed", 7),
                no_tensors().with("size", {3}).with("seed", 0).with("normal", true)},
};

}  // namespace moka::ops
