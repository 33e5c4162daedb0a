// Vectors of blocks for one instruction set; blocks.cpp includes this once for each.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/target_begin.h"

struct Blocks {
  static constexpr int L = lanes<float>;
  using V = Vec<float>;
  using N = Num<float, L>;
  using Words = Vec<uint32_t>;

#if MOKA_TARGET_ISA != 0
  // Products of 32 bits by 32, their halves apart.
  static void multiply(Words a, uint32_t by, Words& high, Words& low) {
    using Wide = Vec<uint64_t>;
    const Wide factor = spread<Wide>(uint64_t(by)), upper = spread<Wide>(~uint64_t(UINT32_MAX));
    Wide even, odd;
    asm("vpmuludq %2, %1, %0" : "=v"(even) : "v"((Wide)a), "v"(factor));
    asm("vpmuludq %2, %1, %0" : "=v"(odd) : "v"((Wide)a >> 32), "v"(factor));
    low = (Words)((even & ~upper) | odd << 32);
    high = (Words)(even >> 32 | (odd & upper));
  }
  // As Philox::next, for the blocks from `block` on.
  static void draw(Generator::Draw d, uint64_t block, Words (&c)[4]) {
    alignas(64) uint32_t low[L], high[L];
    for (int i = 0; i < L; i++) {
      low[i] = static_cast<uint32_t>(block + uint64_t(i));
      high[i] = static_cast<uint32_t>((block + uint64_t(i)) >> 32);
    }
    c[0] = load<Words>(low), c[1] = load<Words>(high);
    c[2] = spread<Words>(static_cast<uint32_t>(d.offset));
    c[3] = spread<Words>(static_cast<uint32_t>(d.offset >> 32));
    uint32_t k0 = static_cast<uint32_t>(d.seed), k1 = static_cast<uint32_t>(d.seed >> 32);
    for (int round = 0; round < 10; round++) {
      Words a_high, a_low, b_high, b_low;
      multiply(c[0], 0xD2511F53u, a_high, a_low);
      multiply(c[2], 0xCD9E8D57u, b_high, b_low);
      c[0] = b_high ^ c[1] ^ spread<Words>(k0), c[1] = b_low;
      c[2] = a_high ^ c[3] ^ spread<Words>(k1), c[3] = a_low;
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
  }
#else
  static void draw(Generator::Draw d, uint64_t block, Words (&c)[4]) {
    for (int i = 0; i < L; i++) {
      uint32_t words[4];
      Philox(d.seed, d.offset, block + uint64_t(i)).next(words);
      for (int k = 0; k < 4; k++) c[k][i] = words[k];
    }
  }
#endif
  static V unit_of(Words w) {
    using Ints = Vec<int32_t>;
    return __builtin_convertvector((Ints)(w >> 8), V) * 0x1p-24f;
  }

  static void words(Generator::Draw d, int64_t first, int64_t last, uint32_t* p) {
    for (int64_t block = first; block < last; block += L) {
      Words c[4];
      draw(d, static_cast<uint64_t>(block), c);
      for (int i = 0; i < L && block + i < last; i++, p += 4)
        for (int k = 0; k < 4; k++) p[k] = c[k][i];
    }
  }

  template <bool Upper, int... I>
  static V zip_at(V a, V b, std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, ((I & 1) * L + I / 2 + (Upper ? L / 2 : 0))...);
  }
  template <bool Upper>
  static V zip(V a, V b) {
    return zip_at<Upper>(a, b, std::make_integer_sequence<int, L>{});
  }
  // Lane i of the four vectors after each other.
  static void put(const V (&z)[4], float* p) {
    const V a = zip<false>(z[0], z[2]), b = zip<false>(z[1], z[3]), c = zip<true>(z[0], z[2]),
            d = zip<true>(z[1], z[3]);
    store(p, zip<false>(a, b)), store(p + L, zip<true>(a, b));
    store(p + 2 * L, zip<false>(c, d)), store(p + 3 * L, zip<true>(c, d));
  }
  template <class F>
  static void each(Generator::Draw d, int64_t first, int64_t last, int64_t n, float* p, F f) {
    const int64_t end = last * 4 < n ? last * 4 : n;
    for (int64_t at = first * 4; at < end; at += 4 * L) {
      Words words[4];
      V z[4];
      draw(d, static_cast<uint64_t>(at / 4), words);
      f(words, z);
      if (at + 4 * L <= end) {
        put(z, p + at);
      } else {
        float rest[4 * L];
        put(z, rest);
        for (int64_t i = 0; at + i < end; i++) p[at + i] = rest[i];
      }
    }
  }

  static void uniform(Generator::Draw d, int64_t first, int64_t last, int64_t n, float low, float width,
                      float* p) {
    const V start = spread<V>(low), length = spread<V>(width);
    each(d, first, last, n, p, [=](const Words(&w)[4], V(&z)[4]) __attribute__((always_inline)) {
      for (int k = 0; k < 4; k++) {
        V part = length * unit_of(w[k]);
#if MOKA_TARGET_ISA != 0
        asm("" : "+v"(part));  // rounded before it is added, the same with every instruction set
#endif
        z[k] = start + part;
      }
    });
  }
  static void normal(Generator::Draw d, int64_t first, int64_t last, int64_t n, float mean, float deviation,
                     float* p) {
    const V m = spread<V>(mean), s = spread<V>(deviation);
    each(d, first, last, n, p, [=](const Words(&w)[4], V(&z)[4]) __attribute__((always_inline)) {
      for (int k = 0; k < 4; k += 2) {
        const N radius = number_sqrt(number_log(N{1.f - unit_of(w[k])}) * -2.f);
        auto [rest, turns] = turned(N{unit_of(w[k + 1]) * 6.2831853071795865f});
        auto [sine, cosine] = sine_and_cosine(rest);
        const auto quarters = bits_of(turns + FloatParts<float>::round_magic);
        const auto odd = has_bit<float, L>(quarters, 1);
        const N x = number_where(odd, sine, cosine), y = number_where(odd, cosine, sine);
        const V cos = from_bits<float, L>(bits_of(x) ^ (((quarters + 1) & 2) << 30)).v,
                sin = from_bits<float, L>(bits_of(y) ^ ((quarters & 2) << 30)).v;
        z[k] = m + s * (radius.v * cos);
        z[k + 1] = m + s * (radius.v * sin);
      }
    });
  }
};

#include "moka/ops/kernels/target_end.h"
