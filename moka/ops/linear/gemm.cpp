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

// to[i * width + j] = b(i, j), zeros for n <= j < width.
template <class T>
void pack_columns(int64_t k, int64_t n, const MatrixView<T>& b, T* to, int64_t width) {
  const GemmKernels<T>& kernels = gemm_kernels<T>();
  if (b.column == 1) return kernels.pack_along(k, n, b.data, b.row, to, width);
  if (b.row == 1) return kernels.pack_across(k, n, b.data, b.column, to, width);
  for (int64_t i = 0; i < k; i++)
    for (int64_t j = 0; j < width; j++) to[i * width + j] = j < n ? b.data[i * b.row + j * b.column] : T(0);
}
template <class T>
void pack_rows(int64_t rows, int64_t k, const MatrixView<T>& a, T* to) {
  pack_columns(k, rows, a.transposed(), to, rows);
}

// Panels of columns: two vectors wide, the last one if it fits.
struct Panels {
  int64_t lanes;
  int64_t width(int64_t columns) const { return columns <= lanes ? lanes : 2 * lanes; }
};

// Packed columns: panels of `depth` rows, of which those from `first` on are meant. Panels are as wide as the kernel that
// reads them, or `block` columns wide, of which a kernel reads some.
template <class T>
struct PackedColumns {
  const T* data;
  int64_t depth, first = 0, block = 0;
  const T* panel(int64_t column, int64_t width) const {
    return block ? data + column / block * block * depth + first * block + column % block
                 : data + column * depth + first * width;
  }
  int64_t step(int64_t width) const { return block ? block : width; }
};

// c[rows of the packed panels, n] over one depth block; left and right are packed.
template <class T>
void multiply_block(const GemmKernels<T>& kernels, const Parts& rows, int64_t n, int64_t k, const T* left,
                    PackedColumns<T> right, T* c, int64_t ldc, const GemmStart<T>& start) {
  Panels panels{kernels.lanes};
  for (int64_t j = 0; j < n; j += 2 * kernels.lanes) {
    int64_t columns = std::min<int64_t>(n - j, 2 * kernels.lanes);
    int64_t width = panels.width(columns);
    const T* panel = right.panel(j, width);
    for (int64_t p = 0; p < rows.count; p++) {
      int64_t i = rows.begin(p), height = rows.size(p);
      GemmKernel<T> kernel = kernels.kernel[height][width / kernels.lanes];
      T* to = c + i * ldc + j;
      bool added = start.row || start.column;
      for (int64_t r = 0; added && r < height; r++) {
        if (start.row) std::fill_n(to + r * ldc, columns, start.row[i + r]);
        else std::copy_n(start.column + j, columns, to + r * ldc);
      }
      added = added || start.accumulate;
      if (columns == width) {
        kernel(k, left + i * k, panel, right.step(width), to, ldc, added);
        continue;
      }
      // The last columns do not fill the kernel's width: it works on a copy.
      T edge[most_rows * most_width];
      kernel(k, left + i * k, panel, right.step(width), edge, width, false);
      for (int64_t r = 0; r < height; r++)
        for (int64_t s = 0; s < columns; s++)
          to[r * ldc + s] = edge[r * width + s] + (added ? to[r * ldc + s] : T(0));
    }
  }
}

int64_t padded(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// All rows of c over one depth block: a is packed into `left`, block after block. c begins at column j0 of the product;
// blocks after the first one add to it.
template <class T>
void multiply_depth(int64_t m, int64_t columns, int64_t depth, const MatrixView<T>& a, T* left,
                    PackedColumns<T> right, T* c, int64_t ldc, GemmStart<T> start, int64_t j0, bool later) {
  const GemmKernels<T>& kernels = gemm_kernels<T>();
  if (later) start = {.accumulate = true};
  for (int64_t i0 = 0; i0 < m; i0 += block_rows) {
    Parts rows(std::min(m - i0, block_rows), kernels.rows);
    for (int64_t p = 0; p < rows.count; p++)
      pack_rows(rows.size(p), depth, a.from(i0 + rows.begin(p), 0), left + rows.begin(p) * depth);
    GemmStart<T> at{start.row ? start.row + i0 : nullptr, start.column ? start.column + j0 : nullptr,
                    start.accumulate};
    multiply_block<T>(kernels, rows, columns, depth, left, right, c + i0 * ldc, ldc, at);
  }
}

// One thread's share of a product.
template <class T>
void gemm_serial(int64_t m, int64_t n, int64_t k, const MatrixView<T>& a, const MatrixView<T>& b, T* c,
                 int64_t ldc, const GemmStart<T>& start) {
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
      multiply_depth<T>(m, columns, depth, a.from(0, k0), left, {right, depth}, c + j0, ldc, start, j0,
                        d > 0);
    }
  }
}

// Products so small that packing would cost more than it saves.
template <class T>
void gemm_tiny(int64_t m, int64_t n, int64_t k, const MatrixView<T>& a, const MatrixView<T>& b, T* c,
               int64_t ldc, const GemmStart<T>& start) {
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
void gemm(int64_t m, int64_t n, int64_t k, const MatrixView<T>& a, const MatrixView<T>& b, T* c, int64_t ldc,
          const GemmStart<T>& start) {
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
template void gemm<float>(int64_t, int64_t, int64_t, const MatrixView<float>&, const MatrixView<float>&,
                          float*, int64_t, const GemmStart<float>&);
template void gemm<double>(int64_t, int64_t, int64_t, const MatrixView<double>&, const MatrixView<double>&,
                           double*, int64_t, const GemmStart<double>&);

template <class T>
void pack_left(int64_t m, int64_t k, const MatrixView<T>& a, T* to) {
  Parts depths(k, most_depth), rows(m, gemm_kernels<T>().rows);
  for (int64_t d = 0; d < depths.count; d++)
    for (int64_t p = 0; p < rows.count; p++)
      pack_rows(rows.size(p), depths.size(d), a.from(rows.begin(p), depths.begin(d)),
                to + m * depths.begin(d) + rows.begin(p) * depths.size(d));
}
template void pack_left(int64_t, int64_t, const MatrixView<float>&, float*);
template void pack_left(int64_t, int64_t, const MatrixView<double>&, double*);

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
void gemm_packed(int64_t m, int64_t n, int64_t k, const T* left, PackColumns<T> right, T* c, int64_t ldc,
                 const GemmStart<T>& start, T* scratch) {
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
      multiply_block<T>(kernels, rows, columns, depth, left + m * k0, {scratch, depth}, c + j0, ldc, here);
    }
  }
}
template void gemm_packed(int64_t, int64_t, int64_t, const float*, PackColumns<float>, float*, int64_t,
                          const GemmStart<float>&, float*);
template void gemm_packed(int64_t, int64_t, int64_t, const double*, PackColumns<double>, double*, int64_t,
                          const GemmStart<double>&, double*);

template <class T>
PackedRight<T>::PackedRight(int64_t k, int64_t n, const MatrixView<T>& b)
    : k_(k), n_(n), panels_(padded(n, 2 * gemm_kernels<T>().lanes) * k) {
  if (k == 0) return;
  const int64_t lanes = gemm_kernels<T>().lanes, unit = 2 * lanes;
  Panels panels{lanes};
  parallel_for(0, (n + unit - 1) / unit, (1 << 15) / (unit * k + 1) + 1, [&](int64_t first, int64_t last) {
    for (int64_t j = first * unit; j < std::min(n, last * unit); j += unit) {
      int64_t columns = std::min(n - j, unit);
      pack_columns(k, columns, b.from(0, j), panels_.data() + j * k, panels.width(columns));
    }
  });
}

namespace {
// The first columns of one row, as many as fill groups of four panels; returns how many.
template <class T>
int64_t multiply_row(int64_t n, int64_t k, const MatrixView<T>& a, PackedColumns<T> right, T* c,
                     const GemmStart<T>& start, int64_t j0) {
  const GemmKernels<T>& kernels = gemm_kernels<T>();
  const int64_t unit = 2 * kernels.lanes, group = 4 * unit;
  int64_t j = 0;
  for (; j + group <= n; j += group) {
    const T* panels[4];
    for (int64_t p = 0; p < 4; p++) panels[p] = right.panel(j + p * unit, unit);
    const T* add = start.column ? start.column + j0 + j : start.accumulate ? c + j : nullptr;
    kernels.row_panels(k, a.data, a.column, panels, right.step(unit), add, c + j);
  }
  return j;
}
template <class T>
void multiply_packed(int64_t m, int64_t n, int64_t k, const MatrixView<T>& a, PackedColumns<T> right, T* c,
                     int64_t ldc, const GemmStart<T>& start) {
  if (m == 0 || n == 0) return;
  if (k == 0) return gemm<T>(m, n, 0, a, a, c, ldc, start);
  const int64_t unit = right.block ? right.block : 2 * gemm_kernels<T>().lanes, work = unit * m * k;
  Parts depths(k, most_depth);
  parallel_for(0, (n + unit - 1) / unit, (1 << 17) / work + 1, [&](int64_t first, int64_t last) {
    int64_t j0 = first * unit, columns = std::min(n, last * unit) - j0;
    Scratch<T> left(std::min(m, block_rows) * std::min(k, most_depth));
    PackedColumns<T> part = right;
    part.data = right.panel(j0, unit);
    if (m == 1 && !start.row) {
      const int64_t done = multiply_row(columns, k, a, part, c + j0, start, j0);
      if (done == columns) return;
      part.data = part.panel(done, unit);
      j0 += done, columns -= done;
    }
    for (int64_t d = 0; d < depths.count; d++) {
      const int64_t k0 = depths.begin(d), depth = depths.size(d);
      part.first = k0;
      multiply_depth<T>(m, columns, depth, a.from(0, k0), left.data(), part, c + j0, ldc, start, j0, d > 0);
    }
  });
}
}  // namespace

template <class T>
void PackedRight<T>::multiply(int64_t m, const MatrixView<T>& a, T* c, int64_t ldc,
                              const GemmStart<T>& start) const {
  multiply_packed<T>(m, n_, k_, a, {panels_.data(), k_}, c, ldc, start);
}
template class PackedRight<float>;
template class PackedRight<double>;

template <class T>
void pack_panels(int64_t k, int64_t n, const MatrixView<T>& b, Panelled<T> to) {
  parallel_for(
      0, (n + to.block - 1) / to.block, (1 << 15) / (to.block * k + 1) + 1, [&](int64_t first, int64_t last) {
        for (int64_t j = first; j < last; j++) {
          T* panel = to.data + j * to.depth * to.block;
          pack_columns(k, std::min(n - j * to.block, to.block), b.from(0, j * to.block), panel, to.block);
          std::fill(panel + k * to.block, panel + to.depth * to.block, T(0));
        }
      });
}
template void pack_panels(int64_t, int64_t, const MatrixView<float>&, Panelled<float>);
template void pack_panels(int64_t, int64_t, const MatrixView<double>&, Panelled<double>);

void gemm_panels(int64_t m, int64_t n, int64_t k, const MatrixView<float>& a, Panelled<float> b, float* c,
                 int64_t ldc, const GemmStart<float>& start) {
  multiply_packed<float>(m, n, k, a, {b.data, b.depth, 0, b.block}, c, ldc, start);
}

template <class T>
void gemm_direct(int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row, Panelled<T> b, T* c, int64_t ldc,
                 bool accumulate) {
  const GemmKernels<T>& kernels = gemm_kernels<T>();
  const int64_t width = 2 * kernels.lanes;
  const Parts rows(m, kernels.rows);
  const PackedColumns<T> right{b.data, b.depth, 0, b.block};
  for (int64_t j = 0; j < n; j += width)
    for (int64_t p = 0; p < rows.count; p++)
      kernels.direct[rows.size(p)](k, a + rows.begin(p) * a_row, a_row, right.panel(j, width), b.block,
                                   c + rows.begin(p) * ldc + j, ldc, accumulate);
}
template void gemm_direct(int64_t, int64_t, int64_t, const float*, int64_t, Panelled<float>, float*, int64_t,
                          bool);
template void gemm_direct(int64_t, int64_t, int64_t, const double*, int64_t, Panelled<double>, double*,
                          int64_t, bool);

}  // namespace moka
