// Convolution as matrix products whose right operand is gathered from the image while it is packed.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/convolution/geometry.h"

namespace moka {

// All tensors contiguous, T is float, double or (but for the weight's gradient) int64_t; bias may be null.
template <class T>
void convolve(const ConvGeometry& g, const T* input, const T* weight, const T* bias, T* output);
template <class T>
void convolve_backward_input(const ConvGeometry& g, const T* grad, const T* weight, const T* bias, T* input);
template <class T>
void convolve_backward_weight(const ConvGeometry& g, const T* grad, const T* input, T* weight);

// Adds the products of one channel's windows, [taps, out_pixels], to the plane that they were taken of.
template <class T>
void add_windows(const ConvGeometry& g, const T* products, T* plane);

// The explicit matrix of a convolution's windows, one image: columns[channels * taps, out_pixels]; and back, where what
// overlaps is added.
template <class T>
void image_to_columns(const ConvGeometry& g, const T* image, T* columns);
template <class T>
void columns_to_image(const ConvGeometry& g, const T* columns, T* image);

}  // namespace moka
