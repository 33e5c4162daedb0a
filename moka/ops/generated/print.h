// Lane programs as source text for a compiler.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "moka/ops/generated/lanes.h"

namespace moka::lanes {

// What code is made for.
struct Target {
  std::string_view name;  // "x86-64-v3": also how LLVM calls the processor
  std::string_view triple;
  int vector_bytes;
};
// Null where there is none of that name: "x86-64-v3", "x86-64-v4", "aarch64".
const Target* find_target(std::string_view name);
// That of this processor and MOKA_MAX_ISA; null where nothing is generated: processors without AVX2.
const Target* host_target();

// A function of LLVM's text form: i32 name(ptr results, ptr inputs, i64 n), RegionPlan::Code with n at least
// `most_lanes`. The last elements are computed together with some before them.
std::string print_llvm(const Program& program, std::string_view name, const Target& target);
std::string print_llvm_rows(const Program& program, std::string_view name,
                            const Target& target);  // of row programs
// What stands before and behind the functions of a module.
std::string print_llvm_module(std::string_view functions, const Target& target);

// A kernel in CUDA's C++ for NVRTC: one thread an element, `long long n` and then results and inputs as pointers. Row
// programs are refused; elements that a page refuses come out as anything.
std::string print_cuda(const Program& program, std::string_view name);

}  // namespace moka::lanes
