// What the ONNX exporter's parts share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "moka/formats/spelling/writer.h"

namespace moka::onnx {

std::span<const spelling::WritingAdapter> writing_adapters();

}  // namespace moka::onnx
