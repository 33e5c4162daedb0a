// Memory formats by name: the strides of a tensor whose channels lie last, or like another tensor's.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/schema/frame.h"

namespace moka {

// "contiguous_format", "channels_last" (4 dimensions), "channels_last_3d" (5) or "preserve_format" (as `like` where its
// elements lie without gaps, else in order). Errors name the operator.
Dims format_strides(std::string_view format, const Tensor& like, std::string_view op);
Dims format_strides(std::string_view format, std::span<const int64_t> sizes, std::string_view op);
// Dense strides in the order of the operands' dimensions: the first that tells two dimensions apart decides.
Dims strides_like(std::span<const int64_t> shape, std::span<const Tensor> operands);
// The dimensions as they lie in memory, the outermost first; of equal strides, those of sizes of 1 last, then in order.
Dims memory_order(std::span<const int64_t> sizes, std::span<const int64_t> strides);
bool is_in_format(std::string_view format, const Tensor& t);
// Whether its strides are those of contiguous_strides, also where a size of 1 would allow others.
bool has_plain_strides(const Tensor& t);
// Whether the strides of an image tensor put its channels last, gaps or not; of 4 or 5 dimensions only.
bool has_channels_last(const Tensor& t);

// Frame::output for an operator whose argument `format` names a memory format or is None.
void output_in_format(Frame& f, int format, const Tensor& like, DType dtype, Device device);

// Lays fresh results of as many dimensions as `input` out with their channels last, where the input's channels lie
// last: the end of kernels of image operators.
void follow_format(Frame& f, const Tensor& input);

}  // namespace moka
