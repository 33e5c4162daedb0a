// The shaping family: views, joins, splits, copies.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/base/small_vector.h"
#include "moka/schema/reading.h"

// clang-format off
#define MOKA_SHAPING_OPS(OP) \
  OP(reshape) OP(view) OP(flatten) OP(unflatten) OP(permute) OP(transpose) OP(t) OP(squeeze) \
  OP(squeeze_dim) OP(unsqueeze) OP(expand) OP(slice) OP(slice_backward) OP(select) OP(select_backward) \
  OP(narrow) OP(narrow_backward) OP(permute_inverse) OP(detach) OP(alias) OP(concat) OP(stack) OP(split) \
  OP(chunk) OP(unbind) OP(cat_backward) OP(sizes) OP(contiguous) OP(clone) OP(to) OP(copy_) OP(repeat) \
  OP(flip) OP(pad_constant) OP(pad_inverse) OP(strided_part) OP(strided_part_backward) OP(strided_put)
// clang-format on
MOKA_SHAPING_OPS(MOKA_DECLARE_OP)

namespace moka {
// The strides with which `sizes` shows the elements of a tensor in order without a copy; false when there are none.
bool view_strides(std::span<const int64_t> old_sizes, std::span<const int64_t> old_strides,
                  std::span<const int64_t> sizes, Dims& strides);
// Replaces one -1 by the size that fits; errors name `op`.
Dims infer_sizes(std::span<const int64_t> sizes, int64_t numel, std::string_view op);

}  // namespace moka
