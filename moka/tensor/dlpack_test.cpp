// Tests of DLPack: what goes out comes back on the same memory, and hostile structures are refused.
// SPDX-License-Identifier: Apache-2.0
#include "moka/tensor/dlpack.h"

#include <gtest/gtest.h>

namespace moka::dlpack {
namespace {

TEST(DLPack, comes_back_on_the_same_memory) {
  Tensor t = new_tensor(Dims{2, 3}, DType::F32);
  Tensor transposed = strided_view(t, Dims{3, 2}, Dims{1, 3}, 0);
  Tensor back = from_versioned(to_versioned(transposed, false));
  EXPECT_EQ(back.raw_data(), t.raw_data());
  EXPECT_EQ(back.stride(1), 3);
  Tensor old = from_managed(to_managed(transposed));
  EXPECT_EQ(old.raw_data(), t.raw_data());
}

TEST(DLPack, keeps_the_memory_of_a_dropped_tensor) {
  Tensor back;
  {
    Tensor t = new_tensor(Dims{100}, DType::I64);
    t.data<int64_t>()[99] = 7;
    back = from_versioned(to_versioned(t, false));
  }
  EXPECT_EQ(back.data<int64_t>()[99], 7);
}

int given_back = 0;
Versioned* hostile(int64_t* shape, int64_t* strides) {
  Versioned* v = new Versioned;
  static int64_t memory[8];
  v->tensor.data = memory;
  v->tensor.dtype = {0, 64, 1};
  v->tensor.ndim = 2;
  v->tensor.shape = shape;
  v->tensor.strides = strides;
  v->deleter = [](Versioned* self) {
    given_back++;
    delete self;
  };
  return v;
}

TEST(DLPack, refuses_what_it_cannot_read_and_gives_it_back) {
  given_back = 0;
  int64_t big[] = {INT64_MAX, 4}, small[] = {2, 2}, back_to_front[] = {-2, 1},
          far[] = {INT64_MAX / 2, INT64_MAX / 2};
  EXPECT_THROW(from_versioned(hostile(big, nullptr)), Error);
  EXPECT_THROW(from_versioned(hostile(small, back_to_front)), Error);
  EXPECT_THROW(from_versioned(hostile(small, far)), Error);
  Versioned* lanes = hostile(small, nullptr);
  lanes->tensor.dtype.lanes = 4;
  EXPECT_THROW(from_versioned(lanes), Error);
  Versioned* later = hostile(small, nullptr);
  later->major = 9;
  EXPECT_THROW(from_versioned(later), Error);
  EXPECT_EQ(given_back, 5);
}

}  // namespace
}  // namespace moka::dlpack
