// How operands are walked in the order of the result; shared by the loops of one formula and of fused regions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "moka/schema/frame.h"

namespace moka {

constexpr int tile_elements = 1024;

// One operand in iteration order: sizes of the loop are shared, strides in elements.
struct Operand {
  enum Mode { Direct, Constant, Gather } mode;
  char* data;
  DType dtype;
  int64_t item;
  Dims strides;
};

struct Loop {
  Dims sizes;  // outermost first
  int64_t total = 1;
};

// Merges and orders dimensions so that the output is walked in memory order.
Loop make_loop(const Tensor& out, std::span<const Tensor> tensors, std::span<Operand> operands,
               Operand& target);
// Elements lie in iteration order; or are all the same one.
bool is_linear(const Loop& loop, const Operand& o);
bool is_constant(const Operand& o);
// In elements from the operand's start.
int64_t place_of(const Loop& loop, const Operand& o, int64_t linear);

// Elements [first, first + n) of an operand into a contiguous tile of type `compute`, and back from one of `from_type`;
// `raw` is room for a tile of the operand's own type.
void gather(const Loop& loop, const Operand& o, int64_t first, int64_t n, DType compute, char* tile,
            char* raw);
void scatter(const Loop& loop, const Operand& o, int64_t first, int64_t n, DType from_type, const char* tile,
             char* raw);
// One value n times.
void splat_item(void* to, const void* value, int64_t item, int64_t n);
// A number as an element.
void write_number(const Arg& a, DType dtype, void* to);

}  // namespace moka
