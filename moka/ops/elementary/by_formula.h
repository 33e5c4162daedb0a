// For kernels that look at their arguments before a formula runs: strings, options, divisors.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>

#include "moka/schema/frame.h"

namespace moka {

// Declares output 0: the broadcast shape of the first `streams` arguments and the type that `rule` gives them.
void formula_output(Frame& f, int streams, DTypeRule rule);

// Output 0 becomes `formula` of the operands, which are tensors or numbers.
void formula_result(Frame& f, const Formula& formula, std::initializer_list<Arg> operands);

// An error where integers are divided and argument i, the divisor, has a zero.
void check_divisor(const Frame& f, int i);

}  // namespace moka
