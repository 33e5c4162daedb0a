// Numbers of uint64 from 2^63 on.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/frame.h"

namespace moka {

// Computes a formula whose operands meet at uint64 into frame.outs[0], where its kernels would misread large numbers;
// false: they do not. An error where such numbers come to a formula that has no kernel for them.
bool run_unsigned(Frame& frame);
// Why not: none of the first two arguments is of uint64.
std::string_view needs_unsigned(const Frame& frame);
// Runs the operator itself on numbers of int64 in the same order, and gives values back as uint64.
void run_in_unsigned_order(Frame& frame);
// An error where a tensor of uint64 among the operands has a number from 2^63 on.
void check_fits_signed(std::span<const Arg> operands, std::string_view name);

// The first row of what sorts, ranks or searches and knows no uint64.
inline constexpr KernelRow in_unsigned_order{
    .name = "unsigned", .run = run_in_unsigned_order, .declines = needs_unsigned};

}  // namespace moka
