// The published test vectors (FIPS 180-4's examples, RFC 4231).
// SPDX-License-Identifier: Apache-2.0
#include "moka/base/sha256.h"

#include <gtest/gtest.h>

#include <string>

namespace moka {
namespace {

std::string hex(const Digest& d) {
  std::string out;
  for (const uint8_t byte : d)
    for (const int half : {byte >> 4, byte & 15}) out += "0123456789abcdef"[half];
  return out;
}

TEST(Sha256, published_vectors) {
  EXPECT_EQ(hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hex(sha256(std::string(1000000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  EXPECT_EQ(hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(
      hex(hmac_sha256(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First")),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  EXPECT_TRUE(same_digest(sha256("abc"), sha256("abc")));
  EXPECT_FALSE(same_digest(sha256("abc"), sha256("abd")));
}

}  // namespace
}  // namespace moka
