// 1 x 1 filters over blocked channels against conv2d of plain pictures.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/blocked/pointwise.h"

#include <array>

#include "moka/base/cpu.h"
#include "moka/base/parallel.h"
#include "moka/ops/kernels/testing.h"

namespace moka::testing {
namespace {

const char* const activations[] = {"none", "relu", "relu6", "sigmoid"};

// batch, channels, filters, height, width
void compare(const std::array<int64_t, 5>& z, bool extras, int activation) {
  const int64_t block = isa() == Isa::Avx512 ? 16 : isa() == Isa::Avx2 ? 8 : 4;
  const Tensor x = spread({z[0], z[1], z[3], z[4]}), w = spread({z[2], z[1], 1, 1}), bias = spread({z[2]}),
               more = spread({z[0], z[2], z[3], z[4]});
  const Dims one{1, 1}, zero{0, 0};
  Tensor want = run_one("conv2d", {x, w, extras ? Arg(bias) : Arg(), one, zero});
  if (extras) want = run_one("add", {want, more});
  if (activation) want = run_one(activations[activation], {want});
  const Tensor packed = run_one("pack_filters", {w, block, "dense"}),
               picture = run_one("block_channels", {x, block}),
               addend = run_one("block_channels", {more, block});
  const int before = num_threads();
  for (int threads : {1, 2, 3}) {
    set_num_threads(threads);
    const Tensor got =
        run_one("conv2d_blocked", {picture, packed, extras ? Arg(bias) : Arg(), one, zero, one, z[1], z[2],
                                   extras ? Arg(addend) : Arg(), activations[activation]});
    expect_close(run_one("unblock_channels", {got, z[2]}), want, 1e-5 * double(z[1] + 10));
    for (int64_t o = z[2]; o < got.size(1) * block && !extras; o++)  // zeros behind the last filter
      EXPECT_EQ(got.data<float>()[(o / block * z[3] * z[4]) * block + o % block], 0.f);
  }
  set_num_threads(before);
}

TEST(Pointwise, EqualsConv2dOfPlainPictures) {
  int variant = 0;
  for (const std::array<int64_t, 5>& z : std::initializer_list<std::array<int64_t, 5>>{{1, 40, 50, 7, 7},
                                                                                       {3, 33, 17, 2, 3},
                                                                                       {1, 700, 30, 13, 11},
                                                                                       {2, 24, 144, 20, 21},
                                                                                       {1, 64, 16, 1, 5}})
    for (bool extras : {false, true}) compare(z, extras, variant++ % 4);
}

TEST(Pointwise, SaysWhatItDoesNotServe) {
  const int64_t block = isa() == Isa::Avx512 ? 16 : isa() == Isa::Avx2 ? 8 : 4;
  register_all_ops();
  const auto why = [&](int64_t channels, int64_t size, int64_t kernel, int64_t stride, int64_t in_block) {
    const Tensor x = spread({1, (channels + in_block - 1) / in_block, size, size, in_block});
    const Tensor w = run_one("pack_filters", {spread({32, channels, kernel, kernel}), in_block, "dense"});
    const Dims steps{stride, stride}, zero{0, 0}, one{1, 1};
    const Arg args[] = {x, w, Arg(), steps, zero, one, channels, int64_t(32), Arg(), "none"};
    Frame f(get_op("conv2d_blocked"), args, 10);
    return std::string(ops::pointwise_declines(f));
  };
  EXPECT_EQ(why(48, 6, 1, 1, block), "");
  EXPECT_NE(why(48, 6, 3, 1, block).find("1 x 1"), std::string::npos);
  EXPECT_NE(why(48, 6, 1, 2, block).find("stride 1"), std::string::npos);
  EXPECT_NE(why(48, 6, 1, 1, 2 * block).find("processor"), std::string::npos);
  EXPECT_NE(why(48, 1, 1, 1, block).find("pixels"), std::string::npos);
  EXPECT_NE(why(block, 6, 1, 1, block).find("channels"), std::string::npos);
}

}  // namespace
}  // namespace moka::testing
