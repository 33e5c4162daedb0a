// What the tests of operator families share: small tensors from lists, and comparison within a tolerance.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string>
#include <vector>

#include "moka/ops/all.h"
#include "moka/schema/frame.h"

namespace moka::testing {

inline Tensor make(std::initializer_list<int64_t> sizes, std::initializer_list<double> values,
                   DType dtype = DType::F32) {
  Tensor t = new_tensor(Dims(sizes), DType::F64);
  EXPECT_EQ(t.numel(), static_cast<int64_t>(values.size()));
  std::copy(values.begin(), values.end(), t.data<double>());
  return to_dtype(t, dtype);
}
// A tensor of values that no two places share, between -1 and 1.
inline Tensor spread(std::initializer_list<int64_t> sizes, DType dtype = DType::F32) {
  Tensor t = new_tensor(Dims(sizes), DType::F64);
  for (int64_t i = 0; i < t.numel(); i++) t.data<double>()[i] = double(i * 7919 % 10007) / 5003.5 - 1;
  return to_dtype(t, dtype);
}

inline std::vector<Tensor> run(const char* op, std::initializer_list<Arg> args) {
  register_all_ops();
  return call_boxed(get_op(op), std::span<const Arg>(args.begin(), args.size()));
}
inline Tensor run_one(const char* op, std::initializer_list<Arg> args) { return run(op, args)[0]; }

inline void expect_values(const Tensor& got, std::initializer_list<int64_t> sizes,
                          std::initializer_list<double> values, double tolerance = 2e-6) {
  ASSERT_EQ(Dims(got.sizes()), Dims(sizes));
  int64_t i = 0;
  for (double v : values) {
    double g = element_as_double(got, i);
    if (v != v) EXPECT_NE(g, g) << "element " << i;
    else if (v - v != 0) EXPECT_EQ(g, v) << "element " << i;
    else EXPECT_NEAR(g, v, tolerance * (1 + std::abs(v))) << "element " << i;
    i++;
  }
}
inline void expect_close(const Tensor& a, const Tensor& b, double tolerance) {
  ASSERT_EQ(Dims(a.sizes()), Dims(b.sizes()));
  for (int64_t i = 0; i < a.numel(); i++)
    ASSERT_NEAR(element_as_double(a, i), element_as_double(b, i), tolerance) << "element " << i;
}
// The text of the error that a call raises.
inline std::string error_of(const char* op, std::initializer_list<Arg> args) {
  try {
    run(op, args);
  } catch (const Error& e) {
    return e.message();
  }
  return "no error";
}

}  // namespace moka::testing
