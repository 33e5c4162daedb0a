// Tensors: shapes, strides, views that share storage, versions, overlap, broadcasting, copies; sizes beyond 2^31.
// SPDX-License-Identifier: Apache-2.0
#include "moka/tensor/tensor.h"

#include <gtest/gtest.h>

#include <array>
#include <complex>
#include <map>
#include <random>
#include <set>
#include <vector>

namespace moka {
namespace {

std::string error_of(auto&& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.message();
  }
  return "no error";
}

Dims sizes_of(const Tensor& t) { return Dims(t.sizes()); }
Dims strides_of(const Tensor& t) { return Dims(t.strides()); }

Tensor counting(const Dims& sizes, DType dtype = DType::F32) {
  Tensor t = new_tensor(sizes, dtype);
  for (int64_t i = 0; i < t.numel(); i++)
    convert_elements(&i, DType::I64,
                     static_cast<char*>(t.raw_data()) + i * static_cast<int64_t>(item_size(dtype)), dtype, 1);
  return t;
}

// Offsets of all elements in row-major order, by definition.
std::vector<int64_t> offsets(std::span<const int64_t> sizes, std::span<const int64_t> strides) {
  std::vector<int64_t> out{0};
  for (size_t d = 0; d < sizes.size(); d++) {
    std::vector<int64_t> longer;
    for (int64_t base : out)
      for (int64_t i = 0; i < sizes[d]; i++) longer.push_back(base + i * strides[d]);
    out = longer;
  }
  return out;
}

TEST(Tensor, NewOnesAreContiguous) {
  const Tensor t = new_tensor(Dims{2, 3, 4}, DType::F64);
  EXPECT_EQ(sizes_of(t), (Dims{2, 3, 4}));
  EXPECT_EQ(strides_of(t), (Dims{12, 4, 1}));
  EXPECT_EQ(t.numel(), 24);
  EXPECT_EQ(t.bytes(), 192u);
  EXPECT_EQ(t.size(-1), 4);
  EXPECT_EQ(t.stride(-3), 12);
  EXPECT_TRUE(t.is_contiguous());
  EXPECT_FALSE(Tensor().defined());
}

TEST(Tensor, ZeroDimensionsAndZeroSizesAreOrdinary) {
  const Tensor scalar = new_tensor(Dims{}, DType::F32);
  EXPECT_EQ(scalar.dim(), 0);
  EXPECT_EQ(scalar.numel(), 1);
  EXPECT_TRUE(scalar.is_contiguous());
  const Tensor empty = new_tensor(Dims{3, 0, 5}, DType::F32);
  EXPECT_EQ(empty.numel(), 0);
  EXPECT_EQ(empty.bytes(), 0u);
  EXPECT_TRUE(empty.is_contiguous());
  EXPECT_NE(empty.raw_data(), nullptr);
}

TEST(Tensor, MoreThanSixDimensionsAndUpToSixtyFour) {
  const Tensor t = counting(Dims(7, 2));
  EXPECT_EQ(strides_of(t), (Dims{64, 32, 16, 8, 4, 2, 1}));
  const Dims most(64, 1);
  EXPECT_EQ(new_tensor(most, DType::U8).dim(), 64);
  EXPECT_EQ(error_of([] { new_tensor(Dims(65, 1), DType::U8); }), "tensor: at most 64 dimensions, got 65");
}

TEST(Tensor, SizesThatCannotBeAreErrors) {
  EXPECT_EQ(error_of([] { new_tensor(Dims{2, -1}, DType::F32); }),
            "tensor: negative size -1 in shape [2, -1]");
  const int64_t big = int64_t(1) << 62;
  EXPECT_EQ(error_of([&] { new_tensor(Dims{big, 2}, DType::U8); }),
            cat("tensor: shape [", big, ", 2] has more elements than 64 bits can count"));
  EXPECT_EQ(error_of([&] { new_tensor(Dims{big}, DType::F64); }),
            cat("tensor: ", big, " * 8 does not fit in 64 bits"));
  EXPECT_NO_THROW(new_tensor(Dims{big, 0, big}, DType::F64));  // no element, whatever the others say
}

TEST(Tensor, ShapesBeyondTwoToThe31Count) {
  for (int64_t n : {(int64_t(1) << 31) - 1, int64_t(1) << 31, (int64_t(1) << 32) + 5, int64_t(1) << 45}) {
    const Tensor t = shape_only(Dims{n, 3}, DType::F64);
    EXPECT_FALSE(t.has_storage());
    EXPECT_EQ(t.numel(), 3 * n);
    EXPECT_EQ(t.stride(0), 3);
    EXPECT_EQ(t.bytes(), static_cast<size_t>(24 * n));
    const Tensor turned = strided_view(t, Dims{3, n}, Dims{1, 3}, 0);
    EXPECT_FALSE(turned.is_contiguous());
    EXPECT_TRUE(is_non_overlapping(turned.sizes(), turned.strides()));
    EXPECT_EQ(broadcast_shape(t.sizes(), Dims{1}, "add"), (Dims{n, 3}));
  }
}

TEST(Tensor, OneByteShownBillionsOfTimesIsRead) {
  const Tensor one = counting(Dims{1}, DType::U8);
  one.data<uint8_t>()[0] = 7;
  const int64_t n = (int64_t(1) << 33) + 1;
  const Tensor many = strided_view(one, Dims{n}, Dims{0}, 0);
  EXPECT_EQ(many.numel(), n);
  EXPECT_EQ(element_as_int(many, n - 1), 7);
}

TEST(Tensor, ViewsShareStorageAndVersion) {
  const Tensor t = counting(Dims{4, 5});
  const Tensor column = strided_view(t, Dims{4}, Dims{5}, 2);
  EXPECT_EQ(column.impl()->storage, t.impl()->storage);
  EXPECT_EQ(element_as_double(column, 3), 17);
  column.data<float>()[5] = -1;
  EXPECT_EQ(element_as_double(t, 7), -1);
  t.impl()->storage->version++;
  EXPECT_EQ(column.version(), t.version());
  EXPECT_EQ(t.impl()->storage->references, 2u);
  EXPECT_NE(column, t);
  EXPECT_EQ(Tensor(t), t);
}

TEST(Tensor, AStorageLivesAsLongAsItsLastView) {
  Tensor view;
  {
    const Tensor t = counting(Dims{1000}, DType::I32);
    view = strided_view(t, Dims{2}, Dims{1}, 998);
  }
  EXPECT_EQ(element_as_int(view, 1), 999);
  EXPECT_EQ(view.impl()->storage->references, 1u);
}

TEST(Tensor, ViewsBeyondTheStorageAreRefused) {
  const Tensor t = counting(Dims{4, 5});
  EXPECT_NO_THROW(strided_view(t, Dims{20}, Dims{1}, 0));
  EXPECT_NO_THROW(strided_view(t, Dims{}, Dims{}, 19));
  EXPECT_NO_THROW(strided_view(t, Dims{0, 9}, Dims{100, 100}, 1000));  // shows nothing
  EXPECT_EQ(error_of([&] { strided_view(t, Dims{21}, Dims{1}, 0); }),
            "strided_view: sizes [21], strides [1] and offset 0 reach past the 80 bytes of the storage");
  EXPECT_EQ(error_of([&] { strided_view(t, Dims{2}, Dims{-1}, 5); }),
            "strided_view: negative stride -1 in [-1]");
  EXPECT_EQ(error_of([&] { strided_view(t, Dims{2}, Dims{1}, -1); }), "strided_view: negative offset -1");
  EXPECT_EQ(error_of([&] { strided_view(t, Dims{2}, Dims{1, 1}, 0); }),
            "strided_view: 1 sizes but 2 strides");
  for (int64_t huge : {INT64_MAX, INT64_MAX / 2, int64_t(1) << 61}) {
    EXPECT_THROW(strided_view(t, Dims{2}, Dims{huge}, 0), Error);
    EXPECT_THROW(strided_view(t, Dims{2, 2}, Dims{huge, huge}, 0), Error);
    EXPECT_THROW(strided_view(t, Dims{1}, Dims{1}, huge), Error);
    EXPECT_THROW(strided_view(t, Dims{huge}, Dims{2}, 0), Error);
  }
}

TEST(Tensor, BorrowedMemoryIsGivenBackOnce) {
  static int freed = 0;
  static void* seen = nullptr;
  std::vector<float> memory{1, 2, 3, 4, 5, 6};
  int context = 0;
  {
    Tensor t = from_memory(
        memory.data(), 24, Dims{3, 2}, Dims{1, 3}, DType::F32, Device{},
        [](Storage* s) {
          freed++;
          seen = s->context;
        },
        &context, true);
    const Tensor view = strided_view(t, Dims{2}, Dims{1}, 4);
    EXPECT_TRUE(t.impl()->storage->read_only);
    EXPECT_EQ(element_as_double(t, 1), 4);
    t = Tensor();
    EXPECT_EQ(freed, 0);
    EXPECT_EQ(element_as_double(view, 1), 6);
  }
  EXPECT_EQ(freed, 1);
  EXPECT_EQ(seen, &context);
  auto nothing = [](Storage*) {};
  EXPECT_EQ(error_of([&] {
              from_memory(memory.data(), 23, Dims{6}, Dims{1}, DType::F32, Device{}, nothing, nullptr, true);
            }),
            "from_memory: sizes [6] and strides [1] of float32 reach past the 23 bytes given");
}

TEST(Tensor, StridedOnesHaveRoomForEveryElement) {
  const Tensor t = new_strided_tensor(Dims{2, 3}, Dims{1, 2}, DType::F64);
  EXPECT_EQ(t.impl()->storage->bytes, 48u);
  EXPECT_FALSE(t.is_contiguous());
  EXPECT_THROW(new_strided_tensor(Dims{2}, Dims{1, 2}, DType::F64), Error);
  EXPECT_THROW(new_strided_tensor(Dims{2}, Dims{-1}, DType::F64), Error);
  EXPECT_THROW(new_strided_tensor(Dims{2}, Dims{INT64_MAX}, DType::F64), Error);
}

// Every small shape with every small stride: the two questions about strides against their definitions.
TEST(Tensor, ContiguityAndOverlapAgreeWithTheirDefinitions) {
  int overlapping = 0, refused = 0;
  for (int64_t a = 0; a <= 3; a++)
    for (int64_t b = 0; b <= 3; b++)
      for (int64_t c = 1; c <= 3; c++)
        for (int64_t x = 0; x <= 9; x++)
          for (int64_t y = 0; y <= 9; y++)
            for (int64_t z = 0; z <= 4; z++) {
              const Dims sizes{a, b, c}, strides{x, y, z};
              const std::vector<int64_t> all = offsets(sizes, strides);
              bool in_order = true;
              for (size_t i = 0; i < all.size(); i++)
                in_order = in_order && all[i] == static_cast<int64_t>(i);
              ASSERT_EQ(is_contiguous(sizes, strides), in_order) << cat(sizes, strides);
              const bool overlaps = std::set(all.begin(), all.end()).size() != all.size();
              // Never true where elements meet; may be false where strides interleave without meeting.
              if (is_non_overlapping(sizes, strides)) {
                ASSERT_FALSE(overlaps) << cat(sizes, strides);
              } else {
                refused++;
                overlapping += overlaps;
              }
            }
  EXPECT_GT(overlapping, 0);
  EXPECT_GT(2 * overlapping, refused);  // the cautious answer stays the exception
}

TEST(Tensor, OverlapOfEnormousStridesIsNoOverflow) {
  const int64_t huge = int64_t(1) << 62;
  EXPECT_TRUE(is_non_overlapping(Dims{2, 2}, Dims{huge, 1}));
  EXPECT_TRUE(is_non_overlapping(Dims{2, 4}, Dims{1, huge}));
  EXPECT_FALSE(is_non_overlapping(Dims{4, 4}, Dims{huge, huge}));
}

TEST(Tensor, PermutedOnesDoNotOverlapAndExpandedOnesDo) {
  EXPECT_TRUE(is_non_overlapping(Dims{4, 3, 2}, Dims{1, 4, 12}));
  EXPECT_FALSE(is_non_overlapping(Dims{4, 3}, Dims{0, 1}));
  EXPECT_TRUE(is_non_overlapping(Dims{1, 3}, Dims{0, 1}));
  EXPECT_TRUE(is_non_overlapping(Dims{0, 3}, Dims{0, 0}));
}

TEST(Shape, BroadcastingFollowsNumPysRule) {
  EXPECT_EQ(broadcast_shape(Dims{2, 1, 4}, Dims{3, 1}, "add"), (Dims{2, 3, 4}));
  EXPECT_EQ(broadcast_shape(Dims{}, Dims{5}, "add"), (Dims{5}));
  EXPECT_EQ(broadcast_shape(Dims{0}, Dims{1}, "add"), (Dims{0}));
  EXPECT_EQ(broadcast_shape(Dims{}, Dims{}, "add"), (Dims{}));
  EXPECT_EQ(error_of([] { broadcast_shape(Dims{2, 3}, Dims{4}, "add"); }),
            "add: The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 1: "
            "shapes [2, 3] and [4] do not broadcast, sizes must be equal or 1");
  EXPECT_THROW(broadcast_shape(Dims{0}, Dims{2}, "add"), Error);
}

TEST(Shape, DimensionsWrapOnce) {
  EXPECT_EQ(wrap_dim(-1, 3, "sum"), 2);
  EXPECT_EQ(wrap_dim(0, 0, "sum"), 0);
  EXPECT_EQ(wrap_dim(-1, 0, "sum"), 0);
  for (int64_t dim : {int64_t(3), int64_t(-4), INT64_MAX, INT64_MIN})
    EXPECT_EQ(error_of([&] { wrap_dim(dim, 3, "sum"); }),
              cat("sum: Dimension out of range (expected to be in range of [-3, 2], but got ", dim, ")"));
}

TEST(Shape, StridesOfShapesThatCannotBeAddressed) {
  // Strides of an empty tensor never address anything, so they may not overflow either.
  const int64_t huge = int64_t(1) << 62;
  const Dims strides = contiguous_strides(Dims{huge, huge, 0});
  EXPECT_EQ(strides.size(), 3u);
  EXPECT_TRUE(is_contiguous(Dims{huge, huge, 0}, strides));
}

TEST(Copy, AnyGeometryAndBroadcast) {
  std::mt19937 random(17);
  for (int round = 0; round < 500; round++) {
    // A target of a random permutation of a random shape, and a source that broadcasts to it.
    const size_t ndim = random() % 5;
    Dims sizes(ndim), source_sizes(ndim), order(ndim);
    for (size_t d = 0; d < ndim; d++) {
      sizes[d] = static_cast<int64_t>(random() % 4);
      source_sizes[d] = random() % 3 ? sizes[d] : 1;
      order[d] = static_cast<int64_t>(d);
    }
    std::shuffle(order.begin(), order.end(), random);
    Dims strides(ndim);
    int64_t step = 1 + static_cast<int64_t>(random() % 2);
    for (size_t i = ndim; i-- > 0;) {
      strides[static_cast<size_t>(order[i])] = step;
      step *= std::max<int64_t>(sizes[static_cast<size_t>(order[i])], 1);
    }
    const DType from_type = random() % 2 ? DType::I32 : DType::I64,
                to_type = random() % 2 ? DType::F32 : DType::I64;
    const Tensor to = new_strided_tensor(sizes, strides, to_type), from = counting(source_sizes, from_type);
    copy_elements(from, to);
    // Index by index.
    Dims index(ndim);
    for (int64_t i = 0; i < to.numel(); i++) {
      int64_t rest = i, at = 0;
      for (size_t d = ndim; d-- > 0;) {
        index[d] = rest % sizes[d];
        rest /= sizes[d];
      }
      for (size_t d = 0; d < ndim; d++) at += source_sizes[d] == 1 ? 0 : index[d] * from.strides()[d];
      ASSERT_EQ(element_as_int(to, i), at) << cat(sizes, source_sizes, strides);
    }
  }
}

TEST(Copy, TransposesEveryWidth) {
  for (DType type : {DType::U8, DType::I16, DType::F32, DType::F64, DType::C128})
    for (auto [rows, columns, planes] :
         {std::array<int64_t, 3>{4, 4, 1}, {5, 7, 3}, {33, 70, 2}, {130, 9, 1}, {700, 300, 1}}) {
      const Tensor whole = to_dtype(counting(Dims{planes, columns, rows}, DType::I64), type);
      const Tensor turned =
          strided_view(whole, Dims{planes, rows, columns}, Dims{rows * columns, 1, rows}, 0);
      const Tensor copy = as_contiguous(turned);
      for (int64_t p = 0; p < planes; p++)
        for (int64_t i = 0; i < rows; i++)
          for (int64_t j = 0; j < columns; j++)
            ASSERT_EQ(element_as_double(copy, (p * rows + i) * columns + j),
                      element_as_double(whole, (p * columns + j) * rows + i));
    }
}

TEST(Copy, LargeOnesUseThreadsAndMissNothing) {
  const Tensor from = counting(Dims{300, 700}, DType::I32);
  const Tensor to = new_strided_tensor(Dims{300, 700}, Dims{1, 300}, DType::F64);
  copy_elements(from, to);
  for (int64_t i = 0; i < from.numel(); i += 97) ASSERT_EQ(element_as_double(to, i), double(i));
  const Tensor again = as_contiguous(to);
  EXPECT_TRUE(again.is_contiguous());
  EXPECT_EQ(as_contiguous(again), again);  // the same tensor where nothing is to do
  EXPECT_EQ(to_dtype(again, DType::F64), again);
  EXPECT_EQ(to_dtype(again, DType::I32).dtype(), DType::I32);
}

TEST(Copy, ShapesThatDoNotBroadcastAreErrors) {
  EXPECT_EQ(error_of([] { copy_elements(counting(Dims{3}), counting(Dims{2})); }),
            "copy: shape [3] does not broadcast to [2]");
  EXPECT_EQ(error_of([] { copy_elements(counting(Dims{1, 2}), counting(Dims{2})); }),
            "copy: shape [1, 2] does not broadcast to [2]");
}

template <class T>
T converted(auto value, DType from, DType to) {
  T out;
  convert_elements(&value, from, &out, to, 1);
  return out;
}

TEST(Convert, FloatsSaturateThroughInt64AndNaNIsZero) {
  EXPECT_EQ(converted<int32_t>(2.9, DType::F64, DType::I32), 2);
  EXPECT_EQ(converted<int32_t>(-2.9f, DType::F32, DType::I32), -2);
  EXPECT_EQ(converted<int64_t>(1e300, DType::F64, DType::I64), INT64_MAX);
  EXPECT_EQ(converted<int64_t>(-INFINITY, DType::F32, DType::I64), INT64_MIN);
  EXPECT_EQ(converted<int64_t>(std::nan(""), DType::F64, DType::I64), 0);
  EXPECT_EQ(converted<uint8_t>(300.0, DType::F64, DType::U8), 300 % 256);
  EXPECT_EQ(converted<uint64_t>(1e19, DType::F64, DType::U64), 10'000'000'000'000'000'000u);
  EXPECT_EQ(converted<uint64_t>(1e30, DType::F64, DType::U64), UINT64_MAX);
}

TEST(Convert, IntegersWrapAndBoolsAreZeroOrOne) {
  EXPECT_EQ(converted<int8_t>(int64_t(200), DType::I64, DType::I8), -56);
  EXPECT_EQ(converted<uint16_t>(int32_t(-1), DType::I32, DType::U16), 65535);
  EXPECT_EQ(converted<uint8_t>(0.25f, DType::F32, DType::Bool), 1);
  EXPECT_EQ(converted<uint8_t>(int64_t(256), DType::I64, DType::Bool), 1);
  EXPECT_EQ(converted<float>(uint8_t(200), DType::Bool, DType::F32), 1.0f);  // whatever byte a file held
  EXPECT_EQ(converted<int64_t>((int64_t(1) << 53) + 1, DType::I64, DType::I64), (int64_t(1) << 53) + 1);
}

TEST(Convert, ComplexKeepsItsRealPart) {
  const std::complex<float> z(1.5f, -2.0f);
  EXPECT_EQ(converted<double>(z, DType::C64, DType::F64), 1.5);
  EXPECT_EQ(converted<std::complex<double>>(z, DType::C64, DType::C128), (std::complex<double>(1.5, -2)));
  EXPECT_EQ(converted<std::complex<float>>(int32_t(3), DType::I32, DType::C64), (std::complex<float>(3, 0)));
}

TEST(Convert, EveryPairOfNumericTypesCarriesSmallNumbers) {
  for (int a = 0; a <= static_cast<int>(DType::C128); a++)
    for (int b = 0; b <= static_cast<int>(DType::C128); b++) {
      const DType from = static_cast<DType>(a), to = static_cast<DType>(b);
      const Tensor t = to_dtype(counting(Dims{2}, from), to);
      ASSERT_EQ(element_as_double(t, 0), 0) << cat(from, " to ", to);
      ASSERT_EQ(element_as_double(t, 1), 1) << cat(from, " to ", to);
    }
}

TEST(Convert, NarrowTypesKeepWhatTheyHold) {
  const std::pair<DType, int> types[] = {{DType::F8E4M3FN, 8},   {DType::F8E4M3FNUZ, 8}, {DType::F8E5M2, 8},
                                         {DType::F8E5M2FNUZ, 8}, {DType::F8E8M0, 8},     {DType::F6E2M3, 6},
                                         {DType::F6E3M2, 6},     {DType::F4E2M1, 4},     {DType::U4, 4},
                                         {DType::I4, 4},         {DType::U2, 2},         {DType::I2, 2}};
  for (auto [type, bits] : types)
    for (int i = 0; i < 1 << bits; i++) {
      const uint8_t pattern = static_cast<uint8_t>(i);
      const float value = converted<float>(pattern, type, DType::F32);
      const uint8_t back = converted<uint8_t>(value, DType::F32, type);
      const float again = converted<float>(back, type, DType::F32);
      ASSERT_TRUE(again == value || (again != again && value != value)) << cat(type, " ", i);
    }
  EXPECT_EQ(
      converted<float>(converted<uint8_t>(1000.0f, DType::F32, DType::F8E4M3FN), DType::F8E4M3FN, DType::F32),
      448);
  EXPECT_EQ(converted<float>(converted<uint8_t>(1e6f, DType::F32, DType::F8E5M2), DType::F8E5M2, DType::F32),
            INFINITY);
  EXPECT_EQ(converted<float>(converted<uint8_t>(2.5f, DType::F32, DType::F4E2M1), DType::F4E2M1, DType::F32),
            2);
}

}  // namespace
}  // namespace moka
