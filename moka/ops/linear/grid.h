// How products are shared out evenly.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

namespace moka {

struct Parts {  // n shared out as evenly as possible over `count` parts of at most `most`
  int64_t count, base, extra;
  Parts(int64_t n, int64_t most)
      : count((n + most - 1) / most), base(count ? n / count : 0), extra(count ? n % count : 0) {}
  int64_t begin(int64_t i) const { return i * base + std::min(i, extra); }
  int64_t size(int64_t i) const { return base + (i < extra); }
};

// A product of m rows and n columns shared out among threads: rows x columns of tasks, in whole units. Each task reads all
// that it needs, so of grids with equal shares the one that reads least is taken: an element of a row, or of a column, costs
// as much to read as so many products.
struct ReadingCost {
  double row, column;
};
class Grid {
 public:
  Grid(int64_t m, int64_t n, int64_t row_unit, int64_t column_unit, ReadingCost reading, int64_t threads)
      : m_(m), n_(n), row_unit_(row_unit), column_unit_(column_unit), rows_(0, 1), columns_(0, 1) {
    const int64_t rows = (m + row_unit - 1) / row_unit, columns = (n + column_unit - 1) / column_unit;
    double best = 1e300;
    for (int64_t r = 1; r <= threads; r++) {
      const int64_t high = (rows + std::min(r, rows) - 1) / std::min(r, rows),
                    across = std::min(threads / r, columns), wide = (columns + across - 1) / across;
      const double share_m = double(high * row_unit), share_n = double(wide * column_unit);
      const double cost = share_m * share_n + reading.row * share_m + reading.column * share_n;
      if (cost < best) best = cost, rows_ = Parts(rows, high), columns_ = Parts(columns, wide);
    }
  }
  int64_t count() const { return rows_.count * columns_.count; }
  struct Share {
    int64_t i0, i1, j0, j1;
  };
  Share share(int64_t task) const {
    const int64_t r = task / columns_.count, s = task % columns_.count;
    const int64_t i0 = rows_.begin(r) * row_unit_, j0 = columns_.begin(s) * column_unit_;
    return {i0, std::min(m_, i0 + rows_.size(r) * row_unit_), j0,
            std::min(n_, j0 + columns_.size(s) * column_unit_)};
  }

 private:
  int64_t m_, n_, row_unit_, column_unit_;
  Parts rows_, columns_;
};

}  // namespace moka
