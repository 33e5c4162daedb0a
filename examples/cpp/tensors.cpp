// Makes a tensor, looks at it through a view, and shows what an error says.
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "moka/tensor/tensor.h"

int main() {
  const int64_t sizes[] = {2, 3};
  moka::Tensor x = moka::new_tensor(sizes, moka::DType::F32);
  for (int64_t i = 0; i < x.numel(); i++) x.data<float>()[i] = 0.5f * static_cast<float>(i);

  const int64_t column_sizes[] = {2}, column_strides[] = {3};
  moka::Tensor column = moka::strided_view(x, column_sizes, column_strides, 1);
  std::printf("column 1: %g %g\n", moka::element_as_double(column, 0), moka::element_as_double(column, 1));

  try {
    moka::wrap_dim(2, x.dim(), "softmax");
  } catch (const moka::Error& error) {
    std::printf("error: %s\n", error.what());
    return 0;
  }
  return 1;
}
