// Converting Python values to Args by the types of a schema.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "moka/ops/complex/scalar.h"
#include "moka/schema/frame.h"
#include "moka/schema/reading.h"
#include "python/bindings/tensor_object.h"

namespace moka::python {

// Room for what Args borrow during one call: lists, strings. Small calls never touch the heap.
class Scratch {
 public:
  int64_t* ints(size_t n);
  double* floats(size_t n);
  Tensor* tensors(size_t n);
  Scratch() {}
  ~Scratch() {
    for (size_t i = 0; i < used_tensors_; i++) small_tensors_[i].~Tensor();
  }
  Scratch(const Scratch&) = delete;

 private:
  int64_t small_ints_[24];
  size_t used_ints_ = 0, used_tensors_ = 0;
  union {
    Tensor small_tensors_[8];  // made as they are handed out
  };
  struct More {  // what is too long or too much
    std::vector<std::unique_ptr<int64_t[]>> ints;
    std::vector<std::unique_ptr<double[]>> floats;
    std::vector<std::unique_ptr<Tensor[]>> tensors;
  };
  More& more();
  std::unique_ptr<More> more_;
};

// The element of a tensor that has one.
ComplexNumber as_complex_number(const Tensor& t);
// An int that fits 64 bits; false for what is none (bools too), an error for a larger one.
bool to_int(PyObject* value, int64_t& out);
// An int, or what stands for one where sizes are expected: NumPy's integers and 0-d integer tensors.
bool is_single_int(PyObject* value);
// Converts; false (and no Python error) where the value does not fit the type.
bool convert(PyObject* value, const ArgType& type, Arg& out, Scratch& scratch);
bool to_dtype_value(PyObject* value, DType& out);   // dtype objects, Python's float/int/bool
bool to_device_value(PyObject* value, Device& out);
PyObject* dtype_object(DType dtype);                // new reference
PyObject* device_object(Device device);

// For messages: the type of a value, and the value itself where it is short; a string as UTF-8.
std::string described(PyObject* value);
std::string utf8(PyObject* text);

}  // namespace moka::python
