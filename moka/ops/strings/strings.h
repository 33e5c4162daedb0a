// The strings family: operators on tensors of strings, and look-ups of elements in tables.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_STRINGS_OPS(OP) \
  OP(string_concat) OP(string_equal) OP(string_where) OP(string_case) OP(string_filter) OP(string_split) \
  OP(string_match) OP(string_format) OP(string_parse) OP(string_unique) OP(lookup) OP(ngram_counts)
// clang-format on
MOKA_STRINGS_OPS(MOKA_DECLARE_OP)
