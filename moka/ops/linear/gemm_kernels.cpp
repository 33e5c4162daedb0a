// Register-blocked kernels for baseline, AVX2 and AVX-512. The compiler fuses products and sums into multiply-adds where the
// instruction set has them.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/linear/gemm_kernels.h"

#include <utility>

#include "moka/base/cpu.h"
#include "moka/base/parallel.h"

#define MOKA_TARGET_PAGE "moka/ops/linear/gemm_target.h"
#include "moka/ops/kernels/each_target.h"

namespace moka {

namespace {
#define MOKA_FILL(name, r)                                                      \
  k.kernel[r][1] = name::block<T, r, 1>, k.kernel[r][2] = name::block<T, r, 2>, \
  k.direct[r] = name::block_direct<T, r, 2>
template <class T>
GemmKernels<T> choose_kernels() {
  GemmKernels<T> k{};
  switch (isa()) {
#if MOKA_COMPILED_ISA >= 2
    case Isa::Avx512:
      k.rows = 12;
      k.lanes = avx512::lanes<T>;
      k.row_dots = avx512::RowDots<T>::run;
      k.pack_along = avx512::Packing<T>::along;
      k.pack_across = avx512::Packing<T>::across;
      k.column_sums = avx512::ColumnSums<T>::run;
      k.row_panels = avx512::row_panels<T>;
      MOKA_FILL(avx512, 1);
      MOKA_FILL(avx512, 2);
      MOKA_FILL(avx512, 3);
      MOKA_FILL(avx512, 4);
      MOKA_FILL(avx512, 5);
      MOKA_FILL(avx512, 6);
      MOKA_FILL(avx512, 7);
      MOKA_FILL(avx512, 8);
      MOKA_FILL(avx512, 9);
      MOKA_FILL(avx512, 10);
      MOKA_FILL(avx512, 11);
      MOKA_FILL(avx512, 12);
      break;
#endif
#if MOKA_COMPILED_ISA >= 1
    case Isa::Avx2:
      k.rows = 6;
      k.lanes = avx2::lanes<T>;
      k.row_dots = avx2::RowDots<T>::run;
      k.pack_along = avx2::Packing<T>::along;
      k.pack_across = avx2::Packing<T>::across;
      k.column_sums = avx2::ColumnSums<T>::run;
      k.row_panels = avx2::row_panels<T>;
      MOKA_FILL(avx2, 1);
      MOKA_FILL(avx2, 2);
      MOKA_FILL(avx2, 3);
      MOKA_FILL(avx2, 4);
      MOKA_FILL(avx2, 5);
      MOKA_FILL(avx2, 6);
      break;
#endif
    default:
      k.rows = 4;
      k.lanes = baseline::lanes<T>;
      k.row_dots = baseline::RowDots<T>::run;
      k.pack_along = baseline::Packing<T>::along;
      k.pack_across = baseline::Packing<T>::across;
      k.column_sums = baseline::ColumnSums<T>::run;
      k.row_panels = baseline::row_panels<T>;
      MOKA_FILL(baseline, 1);
      MOKA_FILL(baseline, 2);
      MOKA_FILL(baseline, 3);
      MOKA_FILL(baseline, 4);
  }
  return k;
}
#undef MOKA_FILL

}  // namespace

template <class T>
const GemmKernels<T>& gemm_kernels() {
  static const GemmKernels<T> chosen = choose_kernels<T>();
  return chosen;
}
template const GemmKernels<float>& gemm_kernels();
template const GemmKernels<double>& gemm_kernels();

template <class T>
void matrix_times_vector(int64_t n, int64_t k, const MatrixView<T>& a, const T* x, int64_t x_step, T* y,
                         int64_t y_step, const GemmStart<T>& start) {
  // A multiple of the widest step, so that every element is computed the same way for every number of threads.
  constexpr int64_t unit = 4 * 64 / sizeof(T);
  int64_t grain = (1 << 16) / (k + 1) / unit + 1;
  parallel_for(0, (n + unit - 1) / unit, grain, [&](int64_t first, int64_t last) {
    first *= unit;
    last = last * unit < n ? last * unit : n;
    if (a.column == 1 && x_step == 1) {
      gemm_kernels<T>().row_dots(first, last, k, a, x, y, y_step, start);
    } else if (a.row == 1) {
      gemm_kernels<T>().column_sums(first, last, k, a, x, x_step, y, y_step, start);
    } else {
      for (int64_t i = first; i < last; i++) {
        T sum = 0;
        for (int64_t j = 0; j < k; j++) sum += a.data[i * a.row + j * a.column] * x[j * x_step];
        T* to = y + i * y_step;
        *to = sum + (start.accumulate ? *to : start.row ? start.row[i] : T(0));
      }
    }
  });
}
template void matrix_times_vector(int64_t, int64_t, const MatrixView<float>&, const float*, int64_t, float*,
                                  int64_t, const GemmStart<float>&);
template void matrix_times_vector(int64_t, int64_t, const MatrixView<double>&, const double*, int64_t,
                                  double*, int64_t, const GemmStart<double>&);

}  // namespace moka
