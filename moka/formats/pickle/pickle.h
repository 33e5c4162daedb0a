// The files of torch.save as plain values: read by an interpreter of our own, in which nothing can be called.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "moka/formats/files.h"

namespace moka::pickle {

enum class Kind : uint8_t {
  None,
  Bool,
  Int,
  BigInt,  // text: two's complement, little-endian
  Float,
  Complex,
  Text,
  Bytes,
  Tuple,
  List,
  Dict,  // items: key, value, key, value, ...
  Ordered,  // collections.OrderedDict, as Dict
  Set,
  Size,  // torch.Size, as Tuple
  DType,  // integer: the DType
  Device,  // text: "cpu", "cuda:0"
  Tensor,
  Parameter,  // as Tensor
  Name,  // a global name by itself (text: "torch.float32" and the like)
  Storage,  // integer: its number
};

struct Value {
  Kind kind = Kind::None;
  bool requires_grad = false;
  int64_t integer = 0;
  double real = 0, imaginary = 0;
  std::string text;
  std::vector<Value*> items;  // may form cycles: containers can hold themselves
  Tensor tensor;  // views of one storage share its memory
};

struct Document {
  std::deque<Value> values;  // owns all of them
  Value* root = nullptr;
};

// Whether bytes begin like a zip archive or a pickle of protocol 2 and later.
bool looks_like_one(std::string_view head);

// Tensors are read-only views of `bytes`, or copies where an address is not aligned.
Document read(const Bytes& bytes, std::string_view what, const Limits& limits = {});

}  // namespace moka::pickle
