// Element conversion between all numeric types and strided copies.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <complex>
#include <cstring>
#include <limits>
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

#include "moka/base/cpu.h"
#include "moka/base/parallel.h"
#include "moka/tensor/complex_half.h"
#include "moka/tensor/half.h"
#include "moka/tensor/meta.h"
#include "moka/tensor/narrow.h"
#include "moka/tensor/strings.h"
#include "moka/tensor/tensor.h"

namespace moka {

namespace {
using ConvertFn = void (*)(const void*, void*, int64_t);

template <class T>
constexpr bool is_half = std::is_same_v<T, Float16> || std::is_same_v<T, BFloat16>;
template <class T>
constexpr bool is_complex_type =
    std::is_same_v<T, std::complex<float>> || std::is_same_v<T, std::complex<double>>;
// Conversions that lose nothing go through these: double for floats, int64 for integers.
struct BoolByte {
  uint8_t value;
};

struct ComplexHalf {
  Float16 real, imag;
};

template <class To, class From>
inline To convert_one(From v) {
  if constexpr (std::is_same_v<To, From>) {
    return v;
  } else if constexpr (std::is_same_v<From, ComplexHalf>) {
    return convert_one<To>(std::complex<float>(static_cast<float>(v.real), static_cast<float>(v.imag)));
  } else if constexpr (std::is_same_v<To, ComplexHalf>) {
    const auto z = convert_one<std::complex<float>>(v);
    return {Float16(z.real()), Float16(z.imag())};
  } else if constexpr (is_half<From>) {
    return convert_one<To>(static_cast<float>(v));
  } else if constexpr (std::is_same_v<From, BoolByte>) {
    return convert_one<To>(static_cast<int32_t>(v.value != 0));
  } else if constexpr (std::is_same_v<To, BoolByte>) {
    return BoolByte{static_cast<uint8_t>(v != From{})};
  } else if constexpr (is_complex_type<To>) {
    if constexpr (is_complex_type<From>) {
      return To(static_cast<typename To::value_type>(v.real()),
                static_cast<typename To::value_type>(v.imag()));
    } else {
      return To(static_cast<typename To::value_type>(v), 0);
    }
  } else if constexpr (is_complex_type<From>) {
    return convert_one<To>(v.real());
  } else if constexpr (is_half<To>) {
    return To(static_cast<float>(v));
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    if constexpr (std::is_same_v<To, uint64_t>) {
      if (v >= static_cast<From>(9223372036854775808.0))
        return v >= static_cast<From>(18446744073709551616.0) ? UINT64_MAX : static_cast<uint64_t>(v);
    }
    if constexpr (sizeof(To) < 4 || std::is_same_v<To, int32_t>) {
      // As processors do it: by way of int32, whose smallest number stands for what it cannot hold.
      const bool fits = v > static_cast<From>(-2147483649.0) && v < static_cast<From>(2147483648.0);
      return static_cast<To>(fits ? static_cast<int32_t>(v) : INT32_MIN);
    }
    if (!(v == v)) return 0;
    int64_t wide = v >= static_cast<From>(9223372036854775808.0)   ? INT64_MAX
                   : v < static_cast<From>(-9223372036854775808.0) ? INT64_MIN
                                                                   : static_cast<int64_t>(v);
    return static_cast<To>(wide);
  } else {
    return static_cast<To>(v);
  }
}

template <class From, class To>
void convert_run(const void* from, void* to, int64_t n) {
  const From* a = static_cast<const From*>(from);
  To* b = static_cast<To*>(to);
  for (int64_t i = 0; i < n; i++) b[i] = convert_one<To>(a[i]);
}

#if defined(__x86_64__)
#define MOKA_FOR_AVX2 __attribute__((target("avx2")))
#if defined(__clang__)  // it leaves a whole attribute with an unknown word out
#define MOKA_FOR_AVX512 __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl")))
#else
#define MOKA_FOR_AVX512 __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,prefer-vector-width=512")))
#endif
#endif
template <class T, int N>
struct VectorOf {
  typedef T type __attribute__((vector_size(sizeof(T) * N)));
};
// N at a time, as BFloat16 itself rounds; inlined into one function for each instruction set.
template <int N>
__attribute__((always_inline)) inline void round_run(const float* a, BFloat16* b, int64_t n) {
  using Words = typename VectorOf<uint32_t, N>::type;
  using Halves = typename VectorOf<uint16_t, N>::type;
  int64_t i = 0;
  for (; i + N <= n; i += N) {
    Words w;
    std::memcpy(&w, a + i, sizeof w);
    const Words top = w >> 16, rounded = (w + 0x7fffu + (top & 1u)) >> 16;
    const Words kept = (w & 0x7fffffffu) > 0x7f800000u ? top | 0x40u : rounded;
    const Halves h = __builtin_convertvector(kept, Halves);
    std::memcpy(b + i, &h, sizeof h);
  }
  for (; i < n; i++) b[i] = BFloat16(a[i]);
}
template <int N>
__attribute__((always_inline)) inline void widen_run(const BFloat16* a, float* b, int64_t n) {
  using Words = typename VectorOf<uint32_t, N>::type;
  using Halves = typename VectorOf<uint16_t, N>::type;
  int64_t i = 0;
  for (; i + N <= n; i += N) {
    Halves h;
    std::memcpy(&h, a + i, sizeof h);
    const Words w = __builtin_convertvector(h, Words) << 16;
    std::memcpy(b + i, &w, sizeof w);
  }
  for (; i < n; i++) b[i] = static_cast<float>(a[i]);
}
#if defined(__x86_64__)
// Compilers take wide conversions between words and halves apart: these are written as instructions, and with AVX2 the
// halves of the shifted words are packed instead.
MOKA_FOR_AVX512 void round_avx512(const float* a, BFloat16* b, int64_t n) {
  using Words = typename VectorOf<uint32_t, 16>::type;
  using Places = typename VectorOf<int64_t, 8>::type;
  const Places order = {0, 2, 4, 6, 1, 3, 5, 7};
  auto sixteen = [](const float* p) MOKA_FOR_AVX512 {
    Words w;
    std::memcpy(&w, p, sizeof w);
    const Words top = w >> 16, rounded = (w + 0x7fffu + (top & 1u)) >> 16;
    return Words((w & 0x7fffffffu) > 0x7f800000u ? top | 0x40u : rounded);
  };
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    Words both;
    asm("vpackusdw %2, %1, %0" : "=v"(both) : "v"(sixteen(a + i)), "v"(sixteen(a + i + 16)));
    asm("vpermq %1, %2, %0" : "=v"(both) : "v"(both), "v"(order));
    std::memcpy(b + i, &both, sizeof both);
  }
  for (; i < n; i++) b[i] = BFloat16(a[i]);
}
MOKA_FOR_AVX512 void widen_avx512(const BFloat16* a, float* b, int64_t n) {
  using Words = typename VectorOf<uint32_t, 16>::type;
  using Halves = typename VectorOf<uint16_t, 16>::type;
  auto sixteen = [&](int64_t at) MOKA_FOR_AVX512 {
    Halves h;
    Words w;
    std::memcpy(&h, a + at, sizeof h);
    asm("vpmovzxwd %1, %0" : "=v"(w) : "v"(h));
    w <<= 16;
    std::memcpy(b + at, &w, sizeof w);
  };
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) sixteen(i), sixteen(i + 16);
  for (; i + 16 <= n; i += 16) sixteen(i);
  for (; i < n; i++) b[i] = static_cast<float>(a[i]);
}
MOKA_FOR_AVX2 void round_avx2(const float* a, BFloat16* b, int64_t n) {
  int64_t i = 0;
  const __m256i one = _mm256_set1_epi32(1), bias = _mm256_set1_epi32(0x7fff), quiet = _mm256_set1_epi32(0x40);
  auto eight = [&](const float* p) MOKA_FOR_AVX2 {
    const __m256 x = _mm256_loadu_ps(p);
    const __m256i w = _mm256_castps_si256(x), top = _mm256_srli_epi32(w, 16);
    const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(w, bias), _mm256_and_si256(top, one));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(_mm256_srli_epi32(sum, 16), _mm256_or_si256(top, quiet), nan);
  };
  for (; i + 16 <= n; i += 16) {
    const __m256i both = _mm256_packus_epi32(eight(a + i), eight(a + i + 8));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(b + i), _mm256_permute4x64_epi64(both, 0xd8));
  }
  for (; i < n; i++) b[i] = BFloat16(a[i]);
}
MOKA_FOR_AVX2 void widen_avx2(const BFloat16* a, float* b, int64_t n) { widen_run<8>(a, b, n); }
#endif
#if defined(__x86_64__)
// Eight at a time with the instructions of F16C, which round as Float16 does; the last ones through a padded copy.
#define MOKA_FOR_F16C __attribute__((target("avx2,f16c")))
bool has_f16c() {
  static const bool has = [] {
    unsigned a, b, c, d;
    return isa() != Isa::Baseline && __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
  }();
  return has;
}
MOKA_FOR_F16C void halve_f16c(const float* a, Float16* b, int64_t n) {
  int64_t i = 0;
  auto eight = [](const float* p)
                   MOKA_FOR_F16C { return _mm256_cvtps_ph(_mm256_loadu_ps(p), _MM_FROUND_TO_NEAREST_INT); };
  for (; i + 8 <= n; i += 8) _mm_storeu_si128(reinterpret_cast<__m128i*>(b + i), eight(a + i));
  if (i == n) return;
  float rest[8] = {};
  Float16 result[8];
  std::memcpy(rest, a + i, static_cast<size_t>(n - i) * sizeof *a);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(result), eight(rest));
  std::memcpy(b + i, result, static_cast<size_t>(n - i) * sizeof *b);
}
MOKA_FOR_F16C void double_f16c(const Float16* a, float* b, int64_t n) {
  int64_t i = 0;
  auto eight = [](const Float16* p) MOKA_FOR_F16C {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  };
  for (; i + 8 <= n; i += 8) _mm256_storeu_ps(b + i, eight(a + i));
  if (i == n) return;
  Float16 rest[8] = {};
  float result[8];
  std::memcpy(rest, a + i, static_cast<size_t>(n - i) * sizeof *a);
  _mm256_storeu_ps(result, eight(rest));
  std::memcpy(b + i, result, static_cast<size_t>(n - i) * sizeof *b);
}
#endif
template <>
void convert_run<float, Float16>(const void* from, void* to, int64_t n) {
  const float* a = static_cast<const float*>(from);
  Float16* b = static_cast<Float16*>(to);
#if defined(__x86_64__)
  if (has_f16c()) return halve_f16c(a, b, n);
#endif
  for (int64_t i = 0; i < n; i++) b[i] = Float16(a[i]);
}
template <>
void convert_run<Float16, float>(const void* from, void* to, int64_t n) {
  const Float16* a = static_cast<const Float16*>(from);
  float* b = static_cast<float*>(to);
#if defined(__x86_64__)
  if (has_f16c()) return double_f16c(a, b, n);
#endif
  for (int64_t i = 0; i < n; i++) b[i] = static_cast<float>(a[i]);
}
template <>
void convert_run<float, BFloat16>(const void* from, void* to, int64_t n) {
  const float* a = static_cast<const float*>(from);
  BFloat16* b = static_cast<BFloat16*>(to);
#if defined(__x86_64__)
  if (isa() == Isa::Avx512) return round_avx512(a, b, n);
  if (isa() == Isa::Avx2) return round_avx2(a, b, n);
#endif
  round_run<4>(a, b, n);
}
template <>
void convert_run<BFloat16, float>(const void* from, void* to, int64_t n) {
  const BFloat16* a = static_cast<const BFloat16*>(from);
  float* b = static_cast<float*>(to);
#if defined(__x86_64__)
  if (isa() == Isa::Avx512) return widen_avx512(a, b, n);
  if (isa() == Isa::Avx2) return widen_avx2(a, b, n);
#endif
  widen_run<4>(a, b, n);
}

template <class From>
ConvertFn find_to(DType to) {
  switch (to) {
    case DType::Bool: return convert_run<From, BoolByte>;
    case DType::U8: return convert_run<From, uint8_t>;
    case DType::I8: return convert_run<From, int8_t>;
    case DType::U16: return convert_run<From, uint16_t>;
    case DType::I16: return convert_run<From, int16_t>;
    case DType::U32: return convert_run<From, uint32_t>;
    case DType::I32: return convert_run<From, int32_t>;
    case DType::U64: return convert_run<From, uint64_t>;
    case DType::I64: return convert_run<From, int64_t>;
    case DType::F16: return convert_run<From, Float16>;
    case DType::BF16: return convert_run<From, BFloat16>;
    case DType::F32: return convert_run<From, float>;
    case DType::F64: return convert_run<From, double>;
    case DType::C64: return convert_run<From, std::complex<float>>;
    case DType::C128: return convert_run<From, std::complex<double>>;
    case complex_half: return convert_run<From, ComplexHalf>;
    default: return nullptr;
  }
}

ConvertFn find_convert(DType from, DType to) {
  switch (from) {
    case DType::Bool: return find_to<BoolByte>(to);
    case DType::U8: return find_to<uint8_t>(to);
    case DType::I8: return find_to<int8_t>(to);
    case DType::U16: return find_to<uint16_t>(to);
    case DType::I16: return find_to<int16_t>(to);
    case DType::U32: return find_to<uint32_t>(to);
    case DType::I32: return find_to<int32_t>(to);
    case DType::U64: return find_to<uint64_t>(to);
    case DType::I64: return find_to<int64_t>(to);
    case DType::F16: return find_to<Float16>(to);
    case DType::BF16: return find_to<BFloat16>(to);
    case DType::F32: return find_to<float>(to);
    case DType::F64: return find_to<double>(to);
    case DType::C64: return find_to<std::complex<float>>(to);
    case DType::C128: return find_to<std::complex<double>>(to);
    case complex_half: return find_to<ComplexHalf>(to);
    default: return nullptr;
  }
}

// Through float64, which holds what every narrow type can.
void convert_narrow(const void* from, DType from_type, void* to, DType to_type, int64_t n) {
  constexpr int64_t tile = 256;
  double values[tile];
  const char* a = static_cast<const char*>(from);
  char* b = static_cast<char*>(to);
  for (int64_t first = 0; first < n; first += tile) {
    const int64_t count = std::min(tile, n - first);
    if (is_narrow(from_type))
      for (int64_t i = 0; i < count; i++)
        values[i] = decode_narrow(from_type, static_cast<uint8_t>(a[first + i]));
    else
      convert_elements(a + first * static_cast<int64_t>(item_size(from_type)), from_type, values, DType::F64,
                       count);
    if (is_narrow(to_type))
      for (int64_t i = 0; i < count; i++) b[first + i] = static_cast<char>(encode_narrow(to_type, values[i]));
    else
      convert_elements(values, DType::F64, b + first * static_cast<int64_t>(item_size(to_type)), to_type,
                       count);
  }
}

// One conversion, found once for many runs of elements; false: the types are one.
struct Conversion {
  ConvertFn run = nullptr;
  DType from, to;
  bool narrow = false;
  explicit operator bool() const { return run || narrow; }
  void operator()(const void* a, void* b, int64_t n) const {
    if (run) run(a, b, n);
    else convert_narrow(a, from, b, to, n);
  }
};

Conversion check_convert(DType from, DType to) {
  Conversion out{find_convert(from, to), from, to};
  out.narrow = !out.run && (is_narrow(from) || find_convert(from, DType::F64)) &&
               (is_narrow(to) || find_convert(DType::F64, to));
  if (!out) fail_kind(ErrorKind::NotImplemented, "conversion: no conversion from ", from, " to ", to);
  return out;
}

// memcpy that is as fast where both sides lie nearly at the same place of their pages: the processor's instruction for
// whole strings takes many times as long there on some (1,024 rows of 4 KiB rolled by 3 elements, Zen 4: 840 us, now 150).
void copy_bytes(void* to, const void* from, size_t n) {
  constexpr uintptr_t page = 4096, near = 64;
  constexpr size_t step = 1024;
  const uintptr_t apart = (reinterpret_cast<uintptr_t>(from) - reinterpret_cast<uintptr_t>(to)) % page;
  char* t = static_cast<char*>(to);
  const char* f = static_cast<const char*>(from);
  if (apart && (apart < near || page - apart < near))
    for (; n > step; n -= step, t += step, f += step) std::memcpy(t, f, step);
  if (n) std::memcpy(t, f, n);
}

// Copies `n` elements between runs with steps, through a tile when both conversion and a step are asked for.
void copy_run(const char* from, int64_t from_step, DType from_type, char* to, int64_t to_step, DType to_type,
              int64_t n, const Conversion& fn) {
  size_t a = item_size(from_type), b = item_size(to_type);
  if (from_step == 1 && to_step == 1) {
    if (fn) return fn(from, to, n);
    return copy_bytes(to, from, static_cast<size_t>(n) * a);
  }
  auto strided = [n](auto* to, int64_t to_step, const auto* from, int64_t from_step) {
    for (int64_t i = 0; i < n; i++) to[i * to_step] = from[i * from_step];
  };
  if (!fn) {
    switch (a) {
      case 1:
        return strided(reinterpret_cast<uint8_t*>(to), to_step, reinterpret_cast<const uint8_t*>(from),
                       from_step);
      case 2:
        return strided(reinterpret_cast<uint16_t*>(to), to_step, reinterpret_cast<const uint16_t*>(from),
                       from_step);
      case 4:
        return strided(reinterpret_cast<uint32_t*>(to), to_step, reinterpret_cast<const uint32_t*>(from),
                       from_step);
      case 8:
        return strided(reinterpret_cast<uint64_t*>(to), to_step, reinterpret_cast<const uint64_t*>(from),
                       from_step);
      case 16:
        return strided(reinterpret_cast<std::complex<double>*>(to), to_step,
                       reinterpret_cast<const std::complex<double>*>(from), from_step);
    }
  }
  for (int64_t i = 0; i < n; i++) {
    const char* x = from + i * from_step * static_cast<int64_t>(a);
    char* y = to + i * to_step * static_cast<int64_t>(b);
    if (fn) fn(x, y, 1);
    else std::memcpy(y, x, a);
  }
}

// to[i * to_row + j] = from[i + j * from_row] for i < rows and j < columns: both sides are read and written in runs.
template <class Word>
void transpose_tile(const Word* from, int64_t from_row, Word* to, int64_t to_row, int64_t rows,
                    int64_t columns) {
  int64_t i = 0;
  if constexpr (sizeof(Word) == 4) {
    typedef Word V __attribute__((vector_size(16)));
    auto load = [](const Word* p) {
      V v;
      std::memcpy(&v, p, sizeof v);
      return v;
    };
    auto store = [](Word* p, V v) { std::memcpy(p, &v, sizeof v); };
    for (; i + 4 <= rows; i += 4) {
      int64_t j = 0;
      for (; j + 4 <= columns; j += 4) {
        const Word* x = from + i + j * from_row;
        V a = load(x), b = load(x + from_row), c = load(x + 2 * from_row), d = load(x + 3 * from_row);
        V low_ab = __builtin_shufflevector(a, b, 0, 4, 1, 5),
          high_ab = __builtin_shufflevector(a, b, 2, 6, 3, 7);
        V low_cd = __builtin_shufflevector(c, d, 0, 4, 1, 5),
          high_cd = __builtin_shufflevector(c, d, 2, 6, 3, 7);
        Word* y = to + i * to_row + j;
        store(y, __builtin_shufflevector(low_ab, low_cd, 0, 1, 4, 5));
        store(y + to_row, __builtin_shufflevector(low_ab, low_cd, 2, 3, 6, 7));
        store(y + 2 * to_row, __builtin_shufflevector(high_ab, high_cd, 0, 1, 4, 5));
        store(y + 3 * to_row, __builtin_shufflevector(high_ab, high_cd, 2, 3, 6, 7));
      }
      for (; j < columns; j++)
        for (int r = 0; r < 4; r++) to[(i + r) * to_row + j] = from[i + r + j * from_row];
    }
  }
  for (; i < rows; i++)
    for (int64_t j = 0; j < columns; j++) to[i * to_row + j] = from[i + j * from_row];
}
using TransposeTile = void (*)(const char* from, int64_t from_row, char* to, int64_t to_row, int64_t rows,
                               int64_t columns);
template <class Word>
void transpose_words(const char* from, int64_t from_row, char* to, int64_t to_row, int64_t rows,
                     int64_t columns) {
  constexpr int64_t tile = 32;
  const Word* x = reinterpret_cast<const Word*>(from);
  Word* y = reinterpret_cast<Word*>(to);
  for (int64_t j = 0; j < columns; j += tile)
    for (int64_t i = 0; i < rows; i += tile)
      transpose_tile(x + i + j * from_row, from_row, y + i * to_row + j, to_row, std::min(tile, rows - i),
                     std::min(tile, columns - j));
}
TransposeTile transpose_of(size_t item) {
  switch (item) {
    case 1: return transpose_words<uint8_t>;
    case 2: return transpose_words<uint16_t>;
    case 4: return transpose_words<uint32_t>;
    case 8: return transpose_words<uint64_t>;
    default: return transpose_words<std::complex<double>>;
  }
}
// Calls f(offset in from, offset in to) for the combinations [first, end) of the dimensions of `sizes`.
template <class F>
void for_each_offset(const Dims& sizes, const Dims& fs, const Dims& ts, int64_t first, int64_t end, F f) {
  Dims index(sizes.size());
  int64_t rest = first, x = 0, y = 0;
  for (size_t d = sizes.size(); d-- > 0;) {
    index[d] = rest % sizes[d];
    rest /= sizes[d];
    x += index[d] * fs[d];
    y += index[d] * ts[d];
  }
  for (int64_t k = first; k < end; k++) {
    f(x, y);
    for (size_t d = sizes.size(); d-- > 0;) {
      x += fs[d];
      y += ts[d];
      if (++index[d] < sizes[d]) break;
      x -= fs[d] * sizes[d];
      y -= ts[d] * sizes[d];
      index[d] = 0;
    }
  }
}
}  // namespace

void convert_elements(const void* from, DType from_type, void* to, DType to_type, int64_t n) {
  if (from_type == to_type) {
    if (n > 0) std::memcpy(to, from, static_cast<size_t>(n) * item_size(from_type));  // null when empty
    return;
  }
  check_convert(from_type, to_type)(from, to, n);
}

void copy_elements(const Tensor& from, const Tensor& to) {
  if (is_meta(to)) return;
  check_has_values(from, "copy");
  keep_texts(from, to);
  const Conversion fn = from.dtype() == to.dtype() ? Conversion{nullptr, from.dtype(), to.dtype()}
                                                   : check_convert(from.dtype(), to.dtype());
  int ndim = to.dim();
  MOKA_CHECK(from.dim() <= ndim, "copy: shape ", from.sizes(), " does not broadcast to ", to.sizes());
  Dims sizes, fs, ts;  // dimensions of size 1 dropped, neighbours merged, innermost last
  for (int d = 0; d < ndim; d++) {
    int fd = d - (ndim - from.dim());
    int64_t n = to.size(d), m = fd < 0 ? 1 : from.sizes()[fd];
    MOKA_CHECK(m == n || m == 1, "copy: shape ", from.sizes(), " does not broadcast to ", to.sizes());
    if (n == 0) return;
    if (n == 1) continue;
    sizes.push_back(n);
    fs.push_back(m == 1 ? 0 : from.strides()[fd]);
    ts.push_back(to.strides()[d]);
  }
  // The innermost loop runs along the target's smallest stride.
  for (size_t i = 1; i < sizes.size(); i++)
    for (size_t j = i; j > 0 && ts[j - 1] < ts[j]; j--) {
      std::swap(ts[j - 1], ts[j]);
      std::swap(fs[j - 1], fs[j]);
      std::swap(sizes[j - 1], sizes[j]);
    }
  for (size_t i = sizes.size(); i-- > 1;) {
    if (ts[i - 1] == ts[i] * sizes[i] && fs[i - 1] == fs[i] * sizes[i]) {
      sizes[i - 1] *= sizes[i];
      ts[i - 1] = ts[i];
      fs[i - 1] = fs[i];
      sizes.erase(i);
      ts.erase(i);
      fs.erase(i);
    }
  }
  if (sizes.empty()) {
    sizes.push_back(1);
    fs.push_back(1);
    ts.push_back(1);
  }
  int64_t inner = sizes.back(), outer = 1;
  size_t last = sizes.size() - 1;
  for (size_t i = 0; i < last; i++) outer *= sizes[i];
  const char* a = static_cast<const char*>(from.raw_data());
  char* b = static_cast<char*>(to.raw_data());
  int64_t asize = static_cast<int64_t>(item_size(from.dtype())),
          bsize = static_cast<int64_t>(item_size(to.dtype()));
  if (outer == 1) {
    parallel_for(0, inner, 65536, [&](int64_t first, int64_t end) {
      copy_run(a + first * fs[last] * asize, fs[last], from.dtype(), b + first * ts[last] * bsize, ts[last],
               to.dtype(), end - first, fn);
    });
    return;
  }
  size_t across = last;  // a dimension along which the source is contiguous where the innermost one is not
  if (!fn && ts[last] == 1 && fs[last] != 1 && inner >= 4)
    for (size_t d = 0; d < last; d++)
      if (fs[d] == 1 && sizes[d] >= 4) across = d;
  if (across < last) {
    const int64_t rows = sizes[across], to_row = ts[across], from_row = fs[last];
    for (Dims* dims : {&sizes, &fs, &ts}) {
      dims->erase(last);
      dims->erase(across);
    }
    // Blocks of rows are shared out too: there may be one plane alone.
    const int64_t block = std::max<int64_t>(32, 65536 / inner / 32 * 32), blocks = (rows + block - 1) / block;
    TransposeTile transpose = transpose_of(static_cast<size_t>(asize));
    const int64_t grain = std::max<int64_t>(1, 65536 / (std::min(block, rows) * inner));
    parallel_for(0, outer / rows * blocks, grain, [&](int64_t first, int64_t end) {
      for (int64_t task = first; task < end; task++) {
        const int64_t plane = task / blocks, i = task % blocks * block;
        for_each_offset(sizes, fs, ts, plane, plane + 1, [&](int64_t x, int64_t y) {
          transpose(a + (x + i) * asize, from_row, b + (y + i * to_row) * asize, to_row,
                    std::min(block, rows - i), inner);
        });
      }
    });
    return;
  }
  if (!fn && inner < 8 && sizes[last - 1] > inner) {  // a short line is not worth a call
    std::swap(sizes[last - 1], sizes[last]);
    std::swap(fs[last - 1], fs[last]);
    std::swap(ts[last - 1], ts[last]);
    outer = outer / sizes[last] * inner;
    inner = sizes[last];
  }
  const int64_t grain = std::max<int64_t>(1, 65536 / inner), from_step = fs[last], to_step = ts[last];
  for (Dims* dims : {&sizes, &fs, &ts}) dims->erase(last);
  parallel_for(0, outer, grain, [&](int64_t first, int64_t end) {
    for_each_offset(sizes, fs, ts, first, end, [&](int64_t x, int64_t y) {
      copy_run(a + x * asize, from_step, from.dtype(), b + y * bsize, to_step, to.dtype(), inner, fn);
    });
  });
}

namespace {
const void* element(const Tensor& t, int64_t linear_index) {
  if (is_meta(t)) fail("Tensor.item() cannot be called on meta tensors: they have no values");
  MOKA_CHECK(t.has_storage(), "the value of ", t.sizes(), " is asked for, but only its shape is known");
  int64_t offset = 0;
  for (int d = t.dim(); d-- > 0;) {
    offset += (linear_index % t.size(d)) * t.stride(d);
    linear_index /= t.size(d);
  }
  return static_cast<const char*>(t.raw_data()) + offset * static_cast<int64_t>(item_size(t.dtype()));
}
}  // namespace

double element_as_double(const Tensor& t, int64_t linear_index) {
  double out;
  convert_elements(element(t, linear_index), t.dtype(), &out, DType::F64, 1);
  return out;
}
int64_t element_as_int(const Tensor& t, int64_t linear_index) {
  int64_t out;
  convert_elements(element(t, linear_index), t.dtype(), &out, DType::I64, 1);
  return out;
}

}  // namespace moka
