// libFuzzer target: any bytes as a file of torch.save. Every element of an accepted file's tensors can be read.
// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "moka/base/error.h"
#include "moka/formats/pickle/pickle.h"
#include "moka/tensor/tensor.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moka;
  Limits limits;
  limits.max_tensor_bytes = 1 << 24;
  limits.max_nodes = 1 << 16;
  try {
    const pickle::Document document =
        pickle::read(Bytes::copy({reinterpret_cast<const char*>(data), size}), "input", limits);
    if (!document.root) std::abort();
    unsigned sum = 0;
    for (const pickle::Value& value : document.values) {
      if (!value.tensor || value.tensor.numel() == 0 || value.tensor.numel() > 1 << 20) continue;
      // The first and the last element, by the strides.
      int64_t last = 0;
      for (size_t i = 0; i < value.tensor.sizes().size(); i++)
        last += (value.tensor.sizes()[i] - 1) * value.tensor.strides()[i];
      const auto* raw = static_cast<const unsigned char*>(value.tensor.raw_data());
      sum += raw[0] + raw[size_t(last) * item_size(value.tensor.dtype())];
    }
    if (sum == 0xffffffff) std::abort();
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::Internal) std::abort();
  }
  return 0;
}
