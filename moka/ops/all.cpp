// The list of operator families: the one place that knows all tables.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/all.h"

#include <mutex>

#include "moka/ops/complex/kernels.h"
#include "moka/ops/pointwise/driver.h"
#include "moka/ops/pointwise/unsigned.h"
#include "moka/schema/formula_runner.h"

// Families that this build has; each is a function made by MOKA_OP_TABLE.
// clang-format off
#define MOKA_FAMILIES(F) \
  F(bounds) F(pointwise) F(shaping) F(creation) F(indexing) F(random) F(reduction) F(linear) F(convolution) \
  F(normalization) F(pooling) F(loss) F(optimizer) F(fused) F(blocked) F(arranging) F(selecting) F(elementary) \
  F(special) F(activation) F(loss_terms) F(scan) F(scan_derivative) F(resample) F(attention) F(recurrent) F(embedding) \
  F(contraction) F(linalg) F(complex) F(fft) F(strings) F(ensembles) F(images)
// clang-format on

namespace moka {

namespace ops {
#define MOKA_DECLARE_FAMILY(family) void register_##family();
MOKA_FAMILIES(MOKA_DECLARE_FAMILY)
#undef MOKA_DECLARE_FAMILY
}  // namespace ops

void register_all_ops() {
  static std::once_flag once;
  std::call_once(once, [] {
    formula_runner = run_formula;
#define MOKA_REGISTER_FAMILY(family) ops::register_##family();
    MOKA_FAMILIES(MOKA_REGISTER_FAMILY)
#undef MOKA_REGISTER_FAMILY
    ops::add_complex_arithmetic();
    ops::add_complex_functions();
    ops::add_complex_reductions();
    ops::add_complex_linear();
  });
}

}  // namespace moka
