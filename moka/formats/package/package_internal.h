// Names of a package's own entries.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace moka::package {

inline constexpr std::string_view manifest_name = "manifest.json";
inline constexpr std::string_view program_name = "program.txt";
inline constexpr std::string_view weights_name = "weights.safetensors";

}  // namespace moka::package
