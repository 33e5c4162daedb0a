// Dimensions and stages of reductions.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/reduction/geometry.h"

namespace moka {

DimSet dims_argument(const Frame& f, int i, int ndim) {
  Dims dims = ints_argument(f, i);
  DimSet all = ndim >= 64 ? ~DimSet(0) : (DimSet(1) << ndim) - 1;
  if (dims.empty()) return all;
  DimSet set = 0;
  for (int64_t dim : dims) {
    int n = ndim ? ndim : 1;
    MOKA_CHECK_KIND(Index, dim >= -n && dim < n, f.name(), ": ", argument_name(f, i), " must be between ", -n,
                    " and ", n - 1, " for a tensor of ", ndim, " dimensions, got ", f.args[i]);
    DimSet bit = DimSet(1) << (dim < 0 ? dim + n : dim);
    MOKA_CHECK(!(set & bit), f.name(), ": ", argument_name(f, i), " names dimension ", dim, " twice in ",
               f.args[i]);
    set |= bit;
  }
  return set & all;
}

DimSet dim_or_all_argument(const Frame& f, int i, int ndim) {
  if (!f.has(i)) return ndim >= 64 ? ~DimSet(0) : (DimSet(1) << ndim) - 1;
  int dim = dim_argument(f, i, ndim);
  return ndim ? DimSet(1) << dim : 0;
}

Dims reduced_sizes(std::span<const int64_t> sizes, DimSet dims, bool keepdim) {
  Dims out;
  for (size_t d = 0; d < sizes.size(); d++) {
    if (!(dims >> d & 1)) out.push_back(sizes[d]);
    else if (keepdim) out.push_back(1);
  }
  return out;
}

int64_t reduced_count(std::span<const int64_t> sizes, DimSet dims) {
  int64_t n = 1;
  for (size_t d = 0; d < sizes.size(); d++)
    if (dims >> d & 1) n = checked_mul(n, sizes[d], "reduction");
  return n;
}

SmallVector<Stage, 4> reduction_stages(std::span<const int64_t> sizes, DimSet dims) {
  struct Segment {
    int64_t size;
    bool reduced;
  };
  SmallVector<Segment, 8> segments;
  for (size_t d = 0; d < sizes.size(); d++) {
    bool reduced = dims >> d & 1;
    if (sizes[d] == 1) continue;
    if (!segments.empty() && segments.back().reduced == reduced)
      segments.back().size = checked_mul(segments.back().size, sizes[d], "reduction");
    else segments.push_back({sizes[d], reduced});
  }
  SmallVector<Stage, 4> stages;
  int64_t inner = 1;
  for (size_t i = segments.size(); i-- > 0;) {
    if (!segments[i].reduced) {
      inner *= segments[i].size;
      continue;
    }
    Stage s{1, segments[i].size, inner};
    for (size_t j = 0; j < i; j++) s.outer *= segments[j].size;
    stages.push_back(s);
  }
  return stages;
}

Tensor with_dims_last(const Tensor& t, DimSet dims) {
  Dims sizes, strides;
  for (int pass = 0; pass < 2; pass++)
    for (int d = 0; d < t.dim(); d++)
      if ((dims >> d & 1) == static_cast<DimSet>(pass)) {
        sizes.push_back(t.size(d));
        strides.push_back(t.stride(d));
      }
  return as_contiguous(strided_view(t, sizes, strides, t.impl()->offset));
}

}  // namespace moka
