// The arranging family: further views, writes into views, triangles, and composites that join, split, turn and repeat.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/reading.h"

// clang-format off
#define MOKA_ARRANGING_OPS(OP) \
  OP(as_strided) OP(as_strided_backward) OP(as_strided_again) OP(as_strided_scatter) OP(diagonal) \
  OP(diagonal_backward) OP(diag_embed) OP(unfold) OP(unfold_backward) OP(view_dtype) OP(select_scatter) \
  OP(slice_scatter) OP(diagonal_scatter) OP(tril) OP(triu) OP(expand_as) OP(view_as) OP(reshape_as) \
  OP(broadcast_to) OP(swapaxes) OP(swapdims) OP(movedim) OP(moveaxis) OP(rot90) OP(fliplr) OP(flipud) OP(roll) \
  OP(tile) OP(ravel) OP(diag) OP(diagflat) OP(narrow_copy) OP(transpose_copy) OP(sum_to_size) \
  OP(repeat_backward) OP(repeat_interleave) OP(repeat_interleave_places) OP(hstack) OP(vstack) OP(row_stack) \
  OP(dstack) OP(column_stack) OP(block_diag) OP(broadcast_tensors) OP(meshgrid) OP(cartesian_prod) \
  OP(combinations) OP(atleast_1d) OP(atleast_2d) OP(atleast_3d) OP(tensor_split) OP(tensor_split_indices) \
  OP(tensor_split_tensor) OP(hsplit) OP(hsplit_indices) OP(vsplit) OP(vsplit_indices) OP(dsplit) \
  OP(dsplit_indices) OP(split_with_sizes) OP(vander) OP(positive)
// clang-format on
MOKA_ARRANGING_OPS(MOKA_DECLARE_OP)
