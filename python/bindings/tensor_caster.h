// Lets nanobind functions take and return moka::Tensor and moka::Any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nanobind/nanobind.h>

#include "python/bindings/arguments.h"

NAMESPACE_BEGIN(NB_NAMESPACE)
NAMESPACE_BEGIN(detail)
template <>
struct type_caster<moka::Tensor> {
  NB_TYPE_CASTER(moka::Tensor, const_name("moka.Tensor"))
  bool from_python(handle src, uint8_t, cleanup_list*) noexcept {
    if (!moka::python::is_tensor(src.ptr())) return false;
    value = moka::python::unwrap(src.ptr());
    return true;
  }
  static handle from_cpp(const moka::Tensor& t, rv_policy, cleanup_list*) noexcept {
    try {
      return moka::python::wrap(t);
    } catch (...) {
      moka::python::set_python_error();
      return {};
    }
  }
};
NAMESPACE_END(detail)
NAMESPACE_END(NB_NAMESPACE)
