// Batching rules (vmap) that operator pages name in `.batch`. A rule says false where it does not fit. An operator
// without a rule runs once for every element of the batch; formulas and bodies need none.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/op.h"

namespace moka {

#ifdef MOKA_PREDICTOR
template <class... A>
constexpr Nothing over_dims(A...) {
  return {};
}
template <class... A>
constexpr Nothing as_it_is(A...) {
  return {};
}
inline constexpr Nothing batch_view_sizes, batch_permute, batch_t, batch_repeat, batch_squeeze, batch_product,
    batch_addmm, batch_linear, batch_linear_backward_weight, batch_images, batch_convolution;
#else
bool shift_dims(BatchCall& c, std::string_view names);
// The arguments `names` are dimensions of the first argument and move up by one: "dim", "dim0 dim1". `name+` counts
// dimensions of the result, which has one more; a leading `*` says that all tensors need the batch, a leading `=` that a
// 0-d tensor becomes 1-d. A list left out stands for all dimensions.
constexpr Batch over_dims(std::string_view names) { return {shift_dims, names}; }

bool call_as_it_is(BatchCall& c, std::string_view name);
// Leading dimensions mean nothing to the operator, as long as only that argument has the batch.
constexpr Batch as_it_is(std::string_view name = "input") { return {call_as_it_is, name}; }

bool prepend_size(BatchCall& c, std::string_view);
inline constexpr Batch batch_view_sizes{prepend_size,
                                        {}};  // reshape, view, expand: the second argument lists sizes
bool permute_dims(BatchCall& c, std::string_view);
inline constexpr Batch batch_permute{permute_dims, {}};
bool transpose_matrix(BatchCall& c, std::string_view);
inline constexpr Batch batch_t{transpose_matrix, {}};
bool repeat_dims(BatchCall& c, std::string_view);
inline constexpr Batch batch_repeat{repeat_dims, {}};
bool squeeze_dims(BatchCall& c, std::string_view);
inline constexpr Batch batch_squeeze{squeeze_dims, {}};

bool multiply(BatchCall& c, std::string_view);
inline constexpr Batch batch_product{multiply, {}};  // matmul and its relatives
bool multiply_and_add(BatchCall& c, std::string_view);
inline constexpr Batch batch_addmm{multiply_and_add, {}};
bool affine_map(BatchCall& c, std::string_view);
inline constexpr Batch batch_linear{affine_map, {}};
bool affine_weight_gradient(BatchCall& c, std::string_view);
inline constexpr Batch batch_linear_backward_weight{affine_weight_gradient, {}};

bool fold_images(BatchCall& c, std::string_view);
// Images [N, C, H, W]: the batch joins N. Poolings, resampling.
inline constexpr Batch batch_images{fold_images, {}};
bool convolve(BatchCall& c, std::string_view);
inline constexpr Batch batch_convolution{convolve, {}};  // batched weights become groups
#endif

}  // namespace moka
