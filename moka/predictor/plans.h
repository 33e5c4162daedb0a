// The sizes for which a package's model is planned as soon as it is loaded.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "moka/tensor/tensor.h"

namespace moka {

inline constexpr std::string_view plans_name = "code/plans";  // the entry of packages
inline constexpr size_t most_plans_listed = 16;
inline constexpr int64_t most_planned_bytes = int64_t(256) << 20;  // of one input

// An input to plan with: nothing reads its elements.
Tensor planned_input(std::span<const int64_t> sizes, DType dtype, std::string_view what);

// One line for each list of inputs: "float32[8,128] int64[8]".
std::string print_plans(const std::vector<std::vector<Tensor>>& plans);
// As planned_input makes them; errors name the type.
std::vector<std::vector<Tensor>> read_plans(std::string_view text, std::string_view what);

}  // namespace moka
