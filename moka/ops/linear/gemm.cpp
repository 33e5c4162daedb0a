// Blocking, packing and sharing out of matrix products.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/linear/gemm.h"

#include <algorithm>
#include <cstring>

#include "moka/base/parallel.h"
#include "moka/ops/kernels/scratch.h"
#include "moka/ops/linear/gemm_kernels.h"
#include "moka/ops/linear/grid.h"

namespace moka {

namespace {
// Depth, rows and columns of the blocks: a panel of b (depth x 32 floats) stays in the first cache, a block of a in the
// second, the packed columns of b in the third. The depth also fixes the order of summation.
constexpr int64_t most_depth = 256, block_rows = 240, block_columns = 1536;
// The same for columns packed before: deep, for few passes over c. Rows that do not lie together are copied, so many at a
// time.
constexpr int64_t panel_depth = 768, panel_rows = 72;
// Packing an element costs about as much as so many lanes of one product.
constexpr double packing = 16;

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

// What elements [j, j + columns) of row i begin with.
template <class T>
void begin_row(const GemmStart<T>& start, int64_t i, int64_t j, int64_t columns, T* to) {
  if (start.row) {
    std::fill_n(to, columns, start.row[i]);
  } else if (start.matrix) {
    const T* from = start.matrix + i * start.step + j;
    for (int64_t s = 0; s < columns; s++) to[s] = start.column ? from[s] + start.column[j + s] : from[s];
  } else if (start.column) {
    std::copy_n(start.column + j, columns, to);
  }
}

// What follows a product goes over n elements of some rows of it.
template <class T>
void finish_rows(const GemmStart<T>& start, int64_t rows, int64_t n, T* c, int64_t ldc) {
  for (int64_t i = 0; start.after && i < rows; i++, c += ldc) {
    const void* const in[] = {c};
    start.after(c, in, n, nullptr);
  }
}
constexpr int64_t finished_columns = 256;  // at a time: they lie in the second cache still

// c[rows, n] over one depth block, tile by tile: run(j, p, panel, width, to, step, added, column) multiplies block p of the
// rows with a panel of `width` columns from j on, of which `to` has room. With `direct` panels have two vectors, and kernels
// begin with a column themselves where tiles are whole.
template <class T, class Run>
void each_tile(const Parts& rows, int64_t n, PackedColumns<T> right, T* c, int64_t ldc,
               const GemmStart<T>& start, bool direct, Run run) {
  const int64_t lanes = gemm_kernels<T>().lanes, unit = 2 * lanes;
  for (int64_t j = 0; j < n; j += unit) {
    const int64_t columns = std::min<int64_t>(n - j, unit);
    const int64_t width = direct ? unit : Panels{lanes}.width(columns);
    const T* panel = right.panel(j, width);
    const bool begun = direct && columns == width && start.column && !start.matrix;
    const bool added = start.begins() && !begun;
    for (int64_t p = 0; p < rows.count; p++) {
      const int64_t i = rows.begin(p), height = rows.size(p);
      T* to = c + i * ldc + j;
      for (int64_t r = 0; r < height; r++) {  // c is there when the kernel is done
        __builtin_prefetch(to + r * ldc, 1);
        __builtin_prefetch(to + r * ldc + columns - 1, 1);
        if (added) begin_row(start, i + r, j, columns, to + r * ldc);
      }
      if (columns == width) {
        run(j, p, panel, width, to, ldc, added, begun ? start.column + j : nullptr);
        continue;
      }
      // The last columns do not fill the kernel's width: it works on a copy.
      T edge[most_rows * most_width];
      run(j, p, panel, width, edge, width, false, nullptr);
      for (int64_t r = 0; r < height; r++)
        for (int64_t s = 0; s < columns; s++)
          to[r * ldc + s] = edge[r * width + s] + (added ? to[r * ldc + s] : T(0));
    }
    if (const int64_t done = j + columns; done == n || done % finished_columns == 0) {
      const int64_t from = (done - 1) / finished_columns * finished_columns;
      finish_rows(start, rows.begin(rows.count), done - from, c + from, ldc);
    }
  }
}

// The same with left and right packed.
template <class T>
void multiply_block(const Parts& rows, int64_t n, int64_t k, const T* left, PackedColumns<T> right, T* c,
                    int64_t ldc, const GemmStart<T>& start) {
  const GemmKernels<T>& kernels = gemm_kernels<T>();
  each_tile<T>(
      rows, n, right, c, ldc, start, false,
      [&](int64_t, int64_t p, const T* panel, int64_t width, T* to, int64_t step, bool added, const T*) {
        kernels.kernel[rows.size(p)][width / kernels.lanes](k, left + rows.begin(p) * k, panel,
                                                            right.step(width), to, step, added);
      });
}

// The same with rows of the left operand, a_row apart, and panels of two vectors. The next panel comes into the second
// cache meanwhile, a part with each block of rows.
template <class T>
void multiply_rows(int64_t m, int64_t n, int64_t k, const T* a, int64_t a_row, PackedColumns<T> right, T* c,
                   int64_t ldc, const GemmStart<T>& start) {
  const GemmKernels<T>& kernels = gemm_kernels<T>();
  const Parts rows(m, kernels.rows);
  const int64_t part = k / fetch_steps * fetch_lines * (64 / int64_t(sizeof(T)));
  each_tile<T>(rows, n, right, c, ldc, start, true,
               [&](int64_t j, int64_t p, const T* panel, int64_t width, T* to, int64_t step, bool added,
                   const T* column) {
                 const bool follows = j + width < n && right.step(width) == width && p * part < k * width;
                 const T* ahead = follows ? right.panel(j + width, width) + p * part : panel;
                 kernels.direct[rows.size(p)](k, a + rows.begin(p) * a_row, a_row, panel, right.step(width),
                                              to, step, added, column, ahead);
               });
}

int64_t padded(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// All rows of c over one depth block: a is packed into `left`, `most` rows at a time.
template <class T>
void multiply_depth(int64_t m, int64_t columns, int64_t depth, const MatrixView<T>& a, T* left,
                    PackedColumns<T> right, T* c, int64_t ldc, const GemmStart<T>& start, int64_t most) {
  const GemmKernels<T>& kernels = gemm_kernels<T>();
  for (int64_t i0 = 0; i0 < m; i0 += most) {
    Parts rows(std::min(m - i0, most), kernels.rows);
    for (int64_t p = 0; p < rows.count; p++)
      pack_rows(rows.size(p), depth, a.from(i0 + rows.begin(p), 0), left + rows.begin(p) * depth);
    multiply_block<T>(rows, columns, depth, left, right, c + i0 * ldc, ldc, start.from(i0, 0));
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
      multiply_depth<T>(m, columns, depth, a.from(0, k0), left, {right, depth}, c + j0, ldc,
                        start.from(0, j0).part(d == 0, d + 1 == depths.count), block_rows);
    }
  }
}

// Products so small that packing would cost more than it saves.
template <class T>
void gemm_tiny(int64_t m, int64_t n, int64_t k, const MatrixView<T>& a, const MatrixView<T>& b, T* c,
               int64_t ldc, const GemmStart<T>& start) {
  for (int64_t i = 0; i < m; i++) {
    T* const to = c + i * ldc;
    if (!start.begins()) std::fill_n(to, n, T(0));
    begin_row(start, i, 0, n, to);
    for (int64_t j = 0; j < n; j++)
      for (int64_t p = 0; p < k; p++)
        to[j] += a.data[i * a.row + p * a.column] * b.data[p * b.row + j * b.column];
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
  const GemmKernels<T>& kernels = gemm_kernels<T>();
  const Grid grid(m, n, kernels.rows, 2 * kernels.lanes, {packing, packing}, threads);
  parallel_for(0, grid.count(), 1, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; t++) {
      const auto [i0, i1, j0, j1] = grid.share(t);
      gemm_serial(i1 - i0, j1 - j0, k, a.from(i0, 0), b.from(0, j0), c + i0 * ldc + j0, ldc,
                  start.from(i0, j0));
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
      const GemmStart<T> here = start.from(0, j0).part(d == 0, d + 1 == depths.count);
      multiply_block<T>(rows, columns, depth, left + m * k0, {scratch, depth}, c + j0, ldc, here);
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
  const int64_t unit = 2 * gemm_kernels<T>().lanes;
  parallel_for(0, (n + unit - 1) / unit, (1 << 15) / (unit * k + 1) + 1, [&](int64_t first, int64_t last) {
    for (int64_t j = first * unit; j < std::min(n, last * unit); j += unit) {
      int64_t columns = std::min(n - j, unit);
      pack_columns(k, columns, b.from(0, j), panels_.data() + j * k, unit);
    }
  });
}

namespace {
// The first columns of one row, as many as fill groups of four panels; returns how many.
template <class T>
int64_t multiply_row(int64_t n, int64_t k, const MatrixView<T>& a, PackedColumns<T> right, T* c,
                     const GemmStart<T>& start) {
  const GemmKernels<T>& kernels = gemm_kernels<T>();
  const int64_t unit = 2 * kernels.lanes, group = 4 * unit;
  int64_t j = 0;
  for (; j + group <= n; j += group) {
    const T* panels[4];
    for (int64_t p = 0; p < 4; p++) panels[p] = right.panel(j + p * unit, unit);
    if (start.matrix) begin_row(start, 0, j, group, c + j);
    const T* add = start.matrix || start.accumulate ? c + j : start.column ? start.column + j : nullptr;
    kernels.row_panels(k, a.data, a.column, panels, right.step(unit), add, c + j);
  }
  return j;
}
template <class T>
void multiply_share(int64_t m, int64_t n, int64_t k, int64_t deepest, const MatrixView<T>& a,
                    PackedColumns<T> right, T* c, int64_t ldc, const GemmStart<T>& start) {
  const Parts depths(k, deepest);
  const bool in_place = a.column == 1;
  const int64_t most_rows = in_place ? m : panel_rows, step = std::min(k, deepest);
  Scratch<T> left(in_place ? 0 : std::min(m, panel_rows) * step);
  for (int64_t d = 0; d < depths.count; d++) {
    right.first = depths.begin(d);
    const GemmStart<T> here = start.part(d == 0, d + 1 == depths.count);
    for (int64_t i = 0; i < m; i += most_rows) {
      const int64_t rows = std::min(m - i, most_rows), depth = depths.size(d);
      const MatrixView<T> from = a.from(i, right.first);
      if (!in_place) pack_columns(rows, depth, from, left.data(), step);
      multiply_rows<T>(rows, n, depth, in_place ? from.data : left.data(), in_place ? a.row : step, right,
                       c + i * ldc, ldc, here.from(i, 0));
    }
  }
}
template <class T>
void multiply_packed(int64_t m, int64_t n, int64_t k, const MatrixView<T>& a, PackedColumns<T> right, T* c,
                     int64_t ldc, const GemmStart<T>& start) {
  if (m == 0 || n == 0) return;
  if (k == 0) {
    gemm<T>(m, n, 0, a, a, c, ldc, start);
    return finish_rows(start, m, n, c, ldc);
  }
  const int64_t unit = right.block ? right.block : 2 * gemm_kernels<T>().lanes;
  const double tasks = double(m) * double(n) * double(k) / (1 << 17);
  const int64_t threads = in_parallel() || tasks < 2 ? 1 : int64_t(std::min<double>(num_threads(), tasks));
  const Grid grid(m, n, gemm_kernels<T>().rows, unit, {packing, 0}, threads);
  parallel_for(0, grid.count(), 1, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; t++) {
      const auto [i0, i1, j0, j1] = grid.share(t);
      PackedColumns<T> part = right;
      part.data = right.panel(j0, unit);
      GemmStart<T> begin = start.from(i0, j0);
      T* to = c + i0 * ldc + j0;
      int64_t columns = j1 - j0;
      if (m == 1 && !start.row) {
        const int64_t done = multiply_row(columns, k, a, part, to, begin);
        finish_rows(begin, 1, done, to, ldc);
        if (done == columns) continue;
        part.data = part.panel(done, unit);
        begin = begin.from(0, done), to += done, columns -= done;
        // The rest as the groups do it, so that bits do not tell where a share ended: sums begin with what there is.
        if (begin.matrix || begin.accumulate) {
          begin_row(begin, 0, 0, columns, to);
          begin = {.column = to, .after = begin.after};
        }
      }
      // A single row is one chain, as in multiply_row.
      multiply_share(i1 - i0, columns, k, m == 1 ? k : panel_depth, a.from(i0, 0), part, to, ldc, begin);
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
                                   c + rows.begin(p) * ldc + j, ldc, accumulate, nullptr,
                                   right.panel(j, width));
}
template void gemm_direct(int64_t, int64_t, int64_t, const float*, int64_t, Panelled<float>, float*, int64_t,
                          bool);
template void gemm_direct(int64_t, int64_t, int64_t, const double*, int64_t, Panelled<double>, double*,
                          int64_t, bool);

}  // namespace moka
