// Blocking, packing and sharing out of matrix products.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/linear/gemm.h"

#include <algorithm>
#include <cstring>

#include "moka/base/parallel.h"
#include "moka/ops/kernels/scratch.h"
#include "moka/ops/linear/gemm_kernels.h"

namespace moka {

namespace {
// Depth, rows and columns of the blocks: a panel of b (depth x 32 floats) stays in the first cache, a block of a in the
// second, the packed columns of b in the third. The depth also fixes the order of summation.
constexpr int64_t most_depth = 256, block_rows = 240, block_columns = 1536;

struct Parts {  // n shared out as evenly as possible over `count` parts of at most `most`
  int64_t count, base, extra;
  Parts(int64_t n, int64_t most)
      : count((n + most - 1) / most), base(count ? n / count : 0), extra(count ? n % count : 0) {}
  int64_t begin(int64_t i) const { return i * base + std::min(i, extra); }
  int64_t size(int64_t i) const { return base + (i < extra); }
};

template <class T>
void pack_rows(int64_t rows, int64_t k, MatrixView<T> a, T* to) {
  if (a.row == 1) {
    for (int64_t j = 0; j < k; j++, to += rows) {
      const T* from = a.data + j * a.column;
      for (int64_t i = 0; i < rows; i++) to[i] = from[i];
    }
    return;
  }
  int64_t i = 0;
  if constexpr (sizeof(T) == 4) {
    if (a.column == 1) {
      typedef T V __attribute__((vector_size(16)));
      auto load = [](const T* p) {
        V v;
        std::memcpy(&v, p, sizeof v);
        return v;
      };
      auto store = [](T* p, V v) { std::memcpy(p, &v, sizeof v); };
      for (; i + 4 <= rows; i += 4) {
        const T* from = a.data + i * a.row;
        int64_t j = 0;
        for (; j + 4 <= k; j += 4) {
          V r0 = load(from + j), r1 = load(from + a.row + j);
          V r2 = load(from + 2 * a.row + j), r3 = load(from + 3 * a.row + j);
          V l01 = __builtin_shufflevector(r0, r1, 0, 4, 1, 5),
            h01 = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
          V l23 = __builtin_shufflevector(r2, r3, 0, 4, 1, 5),
            h23 = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
          T* at = to + j * rows + i;
          store(at, __builtin_shufflevector(l01, l23, 0, 1, 4, 5));
          store(at + rows, __builtin_shufflevector(l01, l23, 2, 3, 6, 7));
          store(at + 2 * rows, __builtin_shufflevector(h01, h23, 0, 1, 4, 5));
          store(at + 3 * rows, __builtin_shufflevector(h01, h23, 2, 3, 6, 7));
        }
        for (; j < k; j++)
          for (int r = 0; r < 4; r++) to[j * rows + i + r] = from[r * a.row + j];
      }
    }
  }
  for (; i < rows; i++) {
    const T* from = a.data + i * a.row;
    for (int64_t j = 0; j < k; j++) to[j * rows + i] = from[j * a.column];
  }
}

template <class T>
void pack_columns(int64_t k, int64_t n, MatrixView<T> b, T* to, int64_t width) {
  if (b.column == 1) {
    for (int64_t i = 0; i < k; i++, to += width) {
      std::memcpy(to, b.data + i * b.row, static_cast<size_t>(n) * sizeof(T));
      for (int64_t j = n; j < width; j++) to[j] = T(0);
    }
    return;
  }
  if (n == width) return pack_rows(width, k, b.transposed(), to);
  for (int64_t i = 0; i < k; i++)
    for (int64_t j = 0; j < width; j++) to[i * width + j] = j < n ? b.data[i * b.row + j * b.column] : T(0);
}

// Panels of columns: two vectors wide, the last one if it fits.
struct Panels {
  int64_t lanes;
  int64_t width(int64_t columns) const { return columns <= lanes ? lanes : 2 * lanes; }
};

// c[rows of the packed panels, n] over one depth block; left and right are packed.
template <class T>
void multiply_block(const GemmKernels<T>& kernels, const Parts& rows, int64_t n, int64_t k, const T* left,
                    const T* right, T* c, int64_t ldc, GemmStart<T> start) {
  Panels panels{kernels.lanes};
  for (int64_t j = 0; j < n; j += 2 * kernels.lanes) {
    int64_t columns = std::min<int64_t>(n - j, 2 * kernels.lanes);
    int64_t width = panels.width(columns);
    for (int64_t p = 0; p < rows.count; p++) {
      int64_t i = rows.begin(p), height = rows.size(p);
      GemmKernel<T> kernel = kernels.kernel[height][width / kernels.lanes];
      T* to = c + i * ldc + j;
      bool added = start.row || start.column;
      if (added)
        for (int64_t r = 0; r < height; r++)
          for (int64_t s = 0; s < columns; s++)
            to[r * ldc + s] = start.row ? start.row[i + r] : start.column[j + s];
      added = added || start.accumulate;
      if (columns == width) {
        kernel(k, left + i * k, right + j * k, to, ldc, added);
        continue;
      }
      // The last columns do not fill the kernel's width: it works on a copy.
      T edge[most_rows * most_width];
      kernel(k, left + i * k, right + j * k, edge, width, false);
      for (int64_t r = 0; r < height; r++)
        for (int64_t s = 0; s < columns; s++)
          to[r * ldc + s] = edge[r * width + s] + (added ? to[r * ldc + s] : T(0));
    }
  }
}

int64_t padded(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// One thread's share of a product.
template <class T>
void gemm_serial(int64_t m, int64_t n, int64_t k, MatrixView<T> a, MatrixView<T> b, T* c, int64_t ldc,
                 GemmStart<T> start) {
  const GemmKernels<T>& kernels = gemm_kernels<T>();
  Parts depths(k, most_depth);
  int64_t unit = 2 * kernels.lanes;
  int64_t most_m = std::min(padded(m, kernels.rows), block_rows),
          most_n = std::min(padded(n, unit), block_columns);
  Scratch<T> scratch((most_m + most_n) * std::min(k, most_depth));
  T* right = scratch.data();
  T* left = right + most_n * std::min(k, most_depth);
  Panels panels{kernels.lanes};
  for (int64_t j0 = 0; j0 < n; j0 += block_columns) {
    int64_t columns = std::min(n - j0, block_columns);
    for (int64_t d = 0; d < depths.count; d++) {
      int64_t k0 = depths.begin(d), depth = depths.size(d);
      for (int64_t j = 0; j < columns; j += unit) {
        int64_t part = std::min(columns - j, unit);
        pack_columns(depth, part, b.from(k0, j0 + j), right + j * depth, panels.width(part));
      }
      GemmStart<T> here = start;
      if (d) here = {.accumulate = true};
      for (int64_t i0 = 0; i0 < m; i0 += block_rows) {
        Parts rows(std::min(m - i0, block_rows), kernels.rows);
        for (int64_t p = 0; p < rows.count; p++)
          pack_rows(rows.size(p), depth, a.from(i0 + rows.begin(p), k0), left + rows.begin(p) * depth);
        GemmStart<T> at{here.row ? here.row + i0 : nullptr, here.column ? here.column + j0 : nullptr,
                        here.accumulate};
        multiply_block(kernels, rows, columns, depth, left, right, c + i0 * ldc + j0, ldc, at);
      }
    }
  }
}

// Products so small that packing would cost more than it saves.
template <class T>
void gemm_tiny(int64_t m, int64_t n, int64_t k, MatrixView<T> a, MatrixView<T> b, T* c, int64_t ldc,
               GemmStart<T> start) {
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = 0; j < n; j++) {
      T sum = start.accumulate ? c[i * ldc + j]
              : start.row      ? start.row[i]
              : start.column   ? start.column[j]
                               : T(0);
      for (int64_t p = 0; p < k; p++)
        sum += a.data[i * a.row + p * a.column] * b.data[p * b.row + j * b.column];
      c[i * ldc + j] = sum;
    }
}
}  // namespace

template <class T>
void gemm(int64_t m, int64_t n, int64_t k, MatrixView<T> a, MatrixView<T> b, T* c, int64_t ldc,
          GemmStart<T> start) {
  if (m == 0 || n == 0) return;
  double work = double(m) * double(n) * double(k);
  if (k == 0 || work <= 512) return gemm_tiny(m, n, k, a, b, c, ldc, start);
  if (n == 1 && !start.column) return matrix_times_vector(m, k, a, b.data, b.row, c, ldc, start);
  if (m == 1 && !start.row)
    return matrix_times_vector(n, k, b.transposed(), a.data, a.column, c, int64_t(1),
                               {.row = start.column, .accumulate = start.accumulate});
  int threads = work < 1e5 || in_parallel() ? 1 : num_threads();
  if (threads == 1) return gemm_serial(m, n, k, a, b, c, ldc, start);
  // A grid of rows x columns of tasks; each packs what it needs, so the cheapest grid packs least.
  const GemmKernels<T>& kernels = gemm_kernels<T>();
  int64_t row_units = (m + kernels.rows - 1) / kernels.rows,
          column_units = (n + 2 * kernels.lanes - 1) / (2 * kernels.lanes);
  int64_t best_rows = 1, best_columns = 1;
  double best = 1e300;
  for (int64_t r = 1; r <= threads; r++) {
    int64_t rows = std::min<int64_t>(r, row_units), columns = std::min<int64_t>(threads / r, column_units);
    double share_m = double((row_units + rows - 1) / rows * kernels.rows),
           share_n = double((column_units + columns - 1) / columns * 2 * kernels.lanes);
    double cost = share_m * share_n * double(k) +
                  16.0 * (share_m + share_n) *
                      double(k);  // packing one element costs about as much as 16 lanes of one product
    if (cost < best) best = cost, best_rows = rows, best_columns = columns;
  }
  Parts rows(row_units, (row_units + best_rows - 1) / best_rows),
      columns(column_units, (column_units + best_columns - 1) / best_columns);
  parallel_for(0, rows.count * columns.count, 1, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; t++) {
      int64_t r = t / columns.count, s = t % columns.count;
      int64_t i0 = rows.begin(r) * kernels.rows,
              i1 = std::min(m, (rows.begin(r) + rows.size(r)) * kernels.rows);
      int64_t j0 = columns.begin(s) * 2 * kernels.lanes,
              j1 = std::min(n, (columns.begin(s) + columns.size(s)) * 2 * kernels.lanes);
      GemmStart<T> at{start.row ? start.row + i0 : nullptr, start.column ? start.column + j0 : nullptr,
                      start.accumulate};
      gemm_serial(i1 - i0, j1 - j0, k, a.from(i0, 0), b.from(0, j0), c + i0 * ldc + j0, ldc, at);
    }
  });
}
template void gemm<float>(int64_t, int64_t, int64_t, MatrixView<float>, MatrixView<float>, float*, int64_t,
                          GemmStart<float>);
template void gemm<double>(int64_t, int64_t, int64_t, MatrixView<double>, MatrixView<double>, double*,
                           int64_t, GemmStart<double>);

template <class T>
void pack_left(int64_t m, int64_t k, MatrixView<T> a, T* to) {
  Parts depths(k, most_depth), rows(m, gemm_kernels<T>().rows);
  for (int64_t d = 0; d < depths.count; d++)
    for (int64_t p = 0; p < rows.count; p++)
      pack_rows(rows.size(p), depths.size(d), a.from(rows.begin(p), depths.begin(d)),
                to + m * depths.begin(d) + rows.begin(p) * depths.size(d));
}
template void pack_left(int64_t, int64_t, MatrixView<float>, float*);
template void pack_left(int64_t, int64_t, MatrixView<double>, double*);

namespace {
constexpr int64_t packed_columns =
    256;  // of the right operand at a time: with the full depth a quarter of the second cache
}

template <class T>
int64_t gemm_packed_scratch(int64_t n, int64_t k) {
  return std::min(padded(n, 2 * gemm_kernels<T>().lanes), packed_columns) * std::min(k, most_depth);
}
template int64_t gemm_packed_scratch<float>(int64_t, int64_t);
template int64_t gemm_packed_scratch<double>(int64_t, int64_t);

template <class T>
void gemm_packed(int64_t m, int64_t n, int64_t k, const T* left, PackRight<T> right, T* c, int64_t ldc,
                 GemmStart<T> start, T* scratch) {
  const GemmKernels<T>& kernels = gemm_kernels<T>();
  Parts depths(k, most_depth), rows(m, kernels.rows);
  Panels panels{kernels.lanes};
  int64_t unit = 2 * kernels.lanes;
  for (int64_t j0 = 0; j0 < n; j0 += packed_columns) {
    int64_t columns = std::min(n - j0, packed_columns);
    for (int64_t d = 0; d < depths.count; d++) {
      int64_t k0 = depths.begin(d), depth = depths.size(d);
      for (int64_t j = 0; j < columns; j += unit) {
        int64_t part = std::min(columns - j, unit);
        right(k0, depth, j0 + j, part, scratch + j * depth, panels.width(part));
      }
      GemmStart<T> here{start.row, start.column ? start.column + j0 : nullptr, start.accumulate};
      if (d) here = {.accumulate = true};
      multiply_block(kernels, rows, columns, depth, left + m * k0, scratch, c + j0, ldc, here);
    }
  }
}
template void gemm_packed(int64_t, int64_t, int64_t, const float*, PackRight<float>, float*, int64_t,
                          GemmStart<float>, float*);
template void gemm_packed(int64_t, int64_t, int64_t, const double*, PackRight<double>, double*, int64_t,
                          GemmStart<double>, double*);

}  // namespace moka
