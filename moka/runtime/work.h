// How much arithmetic and memory one call of an operator asks for, from the sizes of its operands.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "moka/schema/frame.h"

namespace moka::runtime {

// One operand or result; `known` is false where it is no tensor or its rank is not known.
struct Extent {
  bool known = false;
  bool weight = false;  // a constant: its size alone asks for no arithmetic
  Dims sizes;
};

// Floating-point operations; -1 where the sizes that decide are not known. A multiply-add counts as 2; elementwise
// operators as their formula's cost an element, views as 0, others as 1 an element of their largest tensor. `args` are
// the operands in the order of the schema.
int64_t arithmetic(const Op& op, std::span<const Extent> args, std::span<const Extent> outs);

struct Work {
  int64_t flop = 0,
          bytes = 0;  // bytes: every operand read once, every result written once; views move nothing
};
// Of a call whose results are there.
Work measure_work(const Frame& frame);

}  // namespace moka::runtime
