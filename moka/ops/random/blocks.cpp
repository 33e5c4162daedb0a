// Blocks of the counter-based generator, one a lane.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/random/blocks.h"

#include <algorithm>

#include "moka/ops/functions.h"
#include "moka/ops/kernels/by_isa.h"

#define MOKA_TARGET_PAGE "moka/ops/random/blocks_target.h"
#include "moka/ops/kernels/each_target.h"

namespace moka {

void draw_uniform(Generator::Draw d, int64_t first, int64_t last, int64_t n, float low, float width,
                  float* p) {
  MOKA_BY_ISA(Blocks::uniform)(d, first, last, n, low, width, p);
}
void draw_normal(Generator::Draw d, int64_t first, int64_t last, int64_t n, float mean, float deviation,
                 float* p) {
  MOKA_BY_ISA(Blocks::normal)(d, first, last, n, mean, deviation, p);
}
void draw_words(Generator::Draw d, int64_t first, int64_t last, uint32_t* p) {
  MOKA_BY_ISA(Blocks::words)(d, first, last, p);
}

}  // namespace moka
