// What convolutions and pools of ONNX have in common: sizes over the spatial dimensions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "moka/formats/onnx/importer_internal.h"

namespace moka::onnx {

struct Window {
  int spatial = 0;
  Dims kernel, stride, dilation, begin, end;
  bool symmetric() const { return begin == end; }
};

// False: the node declines, with its reason. `kernel` is that of the weight or empty.
bool read_window(NodeReader& n, Dims kernel, Window& w);
// The input with its borders added by themselves; the window then has none.
graph::Value* padded(NodeReader& n, graph::Value* x, Window& w, double value);
// The convolution that the node's attributes describe; null when it declines. `bias` may be null.
graph::Value* convolved(NodeReader& n, graph::Value* x, graph::Value* weight, graph::Value* bias);

}  // namespace moka::onnx
