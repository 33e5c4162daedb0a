// libFuzzer target: any bytes as a safetensors file. Accepted files must survive being written and read
// again.
// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <cstring>

#include "moka/base/error.h"
#include "moka/formats/safetensors/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moka;
  Limits limits;
  limits.max_tensor_bytes = 1 << 24;
  try {
    const auto first =
        safetensors::read(Bytes::copy({reinterpret_cast<const char*>(data), size}), "input", limits);
    const std::string text = safetensors::to_bytes(first.tensors, first.metadata);
    const auto second = safetensors::read(Bytes::copy(text), "written", limits);
    if (second.tensors.size() != first.tensors.size()) std::abort();
    for (const auto& [name, a] : first.tensors) {
      const Tensor& b = second.tensors.at(name);
      if (a.dtype() != b.dtype() || !(Dims(a.sizes()) == Dims(b.sizes()))) std::abort();
      if (a.bytes() && std::memcmp(a.raw_data(), b.raw_data(), a.bytes()) != 0) std::abort();
    }
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::Internal) std::abort();
  }
  return 0;
}
