// UTF-8 as code points, and helpers of string kernels.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "moka/schema/frame.h"

namespace moka::ops {

// The code point at `at`, which moves behind it; a byte that begins no character is U+FFFD.
uint32_t next_code_point(std::string_view text, size_t& at);
void append_code_point(std::string& out, uint32_t c);
bool is_space(uint32_t c);

// Upper or lower case, character by character by Unicode's simple rule.
std::string in_case(std::string_view text, bool upper);

const Tensor& string_argument(const Frame& f, int i);  // a tensor of strings; an error names the argument
Tensor as_shape(const Tensor& t, std::span<const int64_t> sizes);  // broadcast, contiguous

}  // namespace moka::ops
