// Convolution as matrix products whose right operand is gathered from the image while it is packed.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/ops/convolution/geometry.h"

namespace moka {

// All tensors contiguous, T is float or double; bias may be null.
template <class T>
void convolve(const ConvGeometry& g, const T* input, const T* weight, const T* bias, T* output);
template <class T>
void convolve_backward_input(const ConvGeometry& g, const T* grad, const T* weight, const T* bias, T* input);
template <class T>
void convolve_backward_weight(const ConvGeometry& g, const T* grad, const T* input, T* weight);

}  // namespace moka
