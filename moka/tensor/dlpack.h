// DLPack: tensors of other libraries without copies, and ours for them (https://dmlc.github.io/dlpack, version 1.1).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "moka/tensor/tensor.h"

namespace moka::dlpack {

// The structures of dlpack.h, whose layout is its ABI.
struct DLDevice {
  int32_t type = 1;  // 1: CPU
  int32_t index = 0;
};
struct DLDataType {
  uint8_t code = 0, bits = 0;
  uint16_t lanes = 1;
};
struct DLTensor {
  void* data = nullptr;
  DLDevice device;
  int32_t ndim = 0;
  DLDataType dtype;
  int64_t* shape = nullptr;
  int64_t* strides = nullptr;  // in elements; null: contiguous
  uint64_t byte_offset = 0;
};
struct Managed {  // DLManagedTensor
  DLTensor tensor;
  void* context = nullptr;
  void (*deleter)(Managed*) = nullptr;
};
struct Versioned {  // DLManagedTensorVersioned
  uint32_t major = 1, minor = 0;
  void* context = nullptr;
  void (*deleter)(Versioned*) = nullptr;
  uint64_t flags = 0;
  DLTensor tensor;
};
inline constexpr uint64_t read_only_flag = 1, copied_flag = 2;

// The caller owns the result and gives it back through its deleter. Types without a DLPack code are an error.
Managed* to_managed(const Tensor& t);
Versioned* to_versioned(const Tensor& t, bool copied);
// Takes ownership, also when it raises.
Tensor from_managed(Managed* m);
Tensor from_versioned(Versioned* v);

}  // namespace moka::dlpack
