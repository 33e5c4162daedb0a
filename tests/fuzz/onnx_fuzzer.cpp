// libFuzzer target: any bytes as an ONNX model. Accepted models must verify, and what can be written must be read again.
// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "moka/base/error.h"
#include "moka/formats/onnx/onnx.h"
#include "moka/ops/all.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  moka::register_all_ops();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moka;
  Limits limits;
  limits.max_tensor_bytes = 1 << 24;
  limits.max_nodes = 20'000;
  try {
    const auto graph = onnx::load(Bytes::copy({reinterpret_cast<const char*>(data), size}), "input", limits);
    graph::verify(*graph);
    std::string bytes;
    try {
      bytes = onnx::save(*graph);
    } catch (const Error& e) {
      if (e.kind() == ErrorKind::Internal) std::abort();
      return 0;  // not every graph can be written
    }
    const auto again = onnx::load(Bytes::copy(bytes), "written");
    if (again->inputs().size() != graph->inputs().size() ||
        again->outputs().size() != graph->outputs().size())
      std::abort();
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::Internal) std::abort();
  }
  return 0;
}
