// .npy files: every type and order NumPy writes, and damaged ones.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/npy/npy.h"

#include <gtest/gtest.h>

#include <cstring>

#include "moka/base/error.h"

namespace moka::npy {
namespace {

std::string file_of(std::string dict, std::string_view data, char version = 1) {
  std::string out = "\x93NUMPY";
  out.push_back(version);
  out.push_back(0);
  for (int i = 0; i < (version == 1 ? 2 : 4); i++) out.push_back(static_cast<char>(dict.size() >> 8 * i));
  return out + dict + std::string(data);
}
Tensor read_text(std::string_view text) { return read(Bytes::copy(text), "test.npy"); }
std::string refusal(std::string_view text) {
  try {
    read_text(text);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::File);
    return e.message();
  }
  return "";
}

TEST(Npy, EveryTypeAndRankComesBack) {
  for (DType dtype : {DType::Bool, DType::U8, DType::I8, DType::U16, DType::I16, DType::U32, DType::I32,
                      DType::U64, DType::I64, DType::F16, DType::F32, DType::F64, DType::C64, DType::C128})
    for (Dims sizes : {Dims{}, Dims{5}, Dims{0}, Dims{2, 3}, Dims{1, 2, 3, 4}}) {
      Tensor t = new_tensor(sizes, dtype);
      for (size_t i = 0; i < t.bytes(); i++) t.data<uint8_t>()[i] = static_cast<uint8_t>(i % 2);
      const std::string text = to_bytes(t);
      EXPECT_EQ((text.size() - t.bytes()) % 64, 0u);
      const Tensor back = read_text(text);
      EXPECT_EQ(back.dtype(), dtype);
      EXPECT_EQ(Dims(back.sizes()), sizes);
      EXPECT_EQ(std::memcmp(back.raw_data(), t.raw_data(), t.bytes()), 0);
    }
}

TEST(Npy, HeaderIsWhatNumPyWrites) {
  Tensor t = new_tensor(Dims{3}, DType::F32);
  EXPECT_NE(to_bytes(t).find("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }"), std::string::npos);
  t = new_tensor(Dims{2, 4}, DType::Bool);
  EXPECT_NE(to_bytes(t).find("{'descr': '|b1', 'fortran_order': False, 'shape': (2, 4), }"),
            std::string::npos);
  EXPECT_NE(to_bytes(new_tensor(Dims{}, DType::I64)).find("'shape': (), }"), std::string::npos);
}

TEST(Npy, BigEndianAndFortranOrderAreRead) {
  const Tensor big = read_text(file_of("{'descr': '>i2', 'fortran_order': False, 'shape': (2,), }",
                                       std::string("\x01\x02\x03\x04", 4)));
  EXPECT_EQ(big.data<int16_t>()[0], 0x0102);
  const Tensor fortran =
      read_text(file_of("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }", "\1\2\3\4\5\6"));
  EXPECT_EQ(Dims(fortran.sizes()), (Dims{2, 3}));
  EXPECT_EQ(element_as_int(fortran, 1), 3);  // row 0, column 1
  const Tensor two = read_text(
      file_of("{'shape': (1,), 'descr': '<f8', 'fortran_order': False}\n", std::string(8, '\0'), 2));
  EXPECT_EQ(two.dtype(), DType::F64);
}

TEST(Npy, BFloat16IsWrittenAsFloat32) {
  Tensor t = new_tensor(Dims{1}, DType::BF16);
  t.data<uint16_t>()[0] = 0x3f80;
  EXPECT_EQ(read_text(to_bytes(t)).data<float>()[0], 1.0f);
}

TEST(Npy, RefusalsSayWhy) {
  const std::string good = "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }";
  EXPECT_NE(refusal("").find("no .npy file"), std::string::npos);
  EXPECT_NE(refusal("PK\x03\x04......").find("archive"), std::string::npos);
  EXPECT_NE(refusal(file_of("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", "ab"))
                .find("never unpickled"),
            std::string::npos);
  EXPECT_NE(refusal(file_of("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", "ab"))
                .find("records"),
            std::string::npos);
  EXPECT_NE(
      refusal(file_of("{'descr': '<U3', 'fortran_order': False, 'shape': (2,), }", "ab")).find("no number"),
      std::string::npos);
  EXPECT_NE(
      refusal(file_of("{'descr': '|f4', 'fortran_order': False, 'shape': (2,), }", "ab")).find("byte order"),
      std::string::npos);
  EXPECT_NE(refusal(file_of(good, "abc")).find("needs 2 bytes"), std::string::npos);
  EXPECT_NE(refusal(file_of(good, "a")).find("needs 2 bytes"), std::string::npos);
  EXPECT_NE(refusal(file_of(good, "ab", 4)).find("version"), std::string::npos);
  EXPECT_NE(refusal(file_of(good + "x", "ab")).find("behind"), std::string::npos);
  EXPECT_NE(refusal(file_of("{'descr': '|u1', 'shape': (2,), }", "ab")).find("lacks fortran_order"),
            std::string::npos);
  EXPECT_NE(refusal(file_of("{'descr': '|u1', 'descr': '|u1', 'shape': (2,), }", "ab")).find("twice"),
            std::string::npos);
  EXPECT_NE(
      refusal(file_of("{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 4), }", ""))
          .find("overflow"),
      std::string::npos);
  EXPECT_NE(
      refusal(file_of("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 4611686018427387904, 4), }", ""))
          .find("overflow"),
      std::string::npos);
  EXPECT_NE(
      refusal(file_of("{'descr': '|u1', 'fortran_order': False, 'shape': (-2,), }", "")).find("64 bits"),
      std::string::npos);
}

TEST(Npy, DamagedFilesAreRefusedOrReadable) {
  Tensor t = new_tensor(Dims{2, 3}, DType::I32);
  std::memset(t.raw_data(), 1, t.bytes());
  const std::string text = to_bytes(t);
  for (size_t n = 0; n < text.size(); n++) EXPECT_THROW(read_text(text.substr(0, n)), Error) << n;
  for (size_t at = 0; at < text.size(); at++)
    for (int bit = 0; bit < 8; bit++) {
      std::string damaged = text;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      try {
        (void)as_contiguous(read_text(damaged));
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::File) << e.message();
      }
    }
}

}  // namespace
}  // namespace moka::npy
