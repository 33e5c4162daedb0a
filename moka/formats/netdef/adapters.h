// Tables of adapters between Caffe2's operators and ours.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "moka/formats/spelling/node_reader.h"
#include "moka/formats/spelling/writer.h"

namespace moka::netdef {

std::span<const spelling::Adapter> reading_adapters();
std::span<const spelling::WritingAdapter> writing_adapters();
// Arguments in one form: kernel, kernel_h and kernel_w become kernels, likewise strides, pads and dilations; what only
// steers an engine is dropped. An error where the layout is not NCHW.
void normalize(spelling::ForeignNode& node);
// The tensor of a fill operator that needs nothing but its arguments; false when it is no such operator.
bool run_fill(const spelling::ForeignNode& node, Tensor& out);

}  // namespace moka::netdef
