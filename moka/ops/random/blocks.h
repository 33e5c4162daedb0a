// Words, uniform and normal numbers by vectors of blocks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/random/generator.h"

namespace moka {

// Elements of the blocks [first, last) of a draw of n: low + width u, u uniform in [0, 1).
void draw_uniform(Generator::Draw d, int64_t first, int64_t last, int64_t n, float low, float width,
                  float* p);
// mean + deviation z, z normal (Box and Muller: pairs of words give pairs of numbers).
void draw_normal(Generator::Draw d, int64_t first, int64_t last, int64_t n, float mean, float deviation,
                 float* p);

// The words of the blocks [first, last), four each.
void draw_words(Generator::Draw d, int64_t first, int64_t last, uint32_t* p);

}  // namespace moka
