// Fourier transforms of pairs: one dimension at a time, forward ones of real values where half the spectrum is wanted; as
// products with matrices for files that have no operator for them.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <numeric>

#include "moka/formats/spelling/pairs.h"

namespace moka::spelling {

using graph::Value;

namespace {

constexpr int64_t largest_matrix = 4096;  // points of a transform that is written as a product

// The transform of `points` points as a matrix from inputs ([points] or pairs of them) to `results` pairs.
Tensor transform_matrix(int64_t points, int64_t results, bool from_pairs, bool forward, double scale,
                        DType type) {
  const int64_t rows = points * (from_pairs ? 2 : 1);
  Tensor out = new_tensor(Dims{rows, results * 2}, DType::F64);
  double* to = out.data<double>();
  for (int64_t n = 0; n < points; n++)
    for (int64_t k = 0; k < results; k++) {
      const double angle = (forward ? -2 : 2) * M_PI * static_cast<double>(n * k % points) / double(points);
      const double c = scale * std::cos(angle), s = scale * std::sin(angle);
      double* at = to + n * (from_pairs ? 2 : 1) * results * 2 + k * 2;
      at[0] = c;
      at[1] = s;
      if (!from_pairs) continue;
      at[results * 2] = -s;
      at[results * 2 + 1] = c;
    }
  return to_dtype(out, type);
}

// Of one dimension. `x` is real, or a pair; `half`: only the first points / 2 + 1 results.
Term transform(const PairRewriting& r, Term x, bool from_pairs, int64_t dim, double scale, bool forward,
               bool half) {
  const int rank = r.rank(x.value) - from_pairs;
  const graph::Dim& size = x.value->type.dims[static_cast<size_t>(dim)];
  MOKA_CHECK_KIND(NotImplemented, size.fixed(), "a transform of a size that is known only when running");
  const int64_t results = half ? size.size / 2 + 1 : size.size;
  if (r.pairs.has_transforms) {
    const Term in = from_pairs ? r.call("view_as_complex", {x}) : x;
    // Only forward transforms of real values, as files have them; the others are their conjugates.
    const bool turned = half && !forward;
    const Term y = r.call(half ? "fft_r2c" : "fft_c2c", {in, Dims{dim}, scale, forward || turned});
    const Term pair = r.call("view_as_real", {y});
    return turned ? r.conjugate(pair) : pair;
  }
  MOKA_CHECK_KIND(NotImplemented, size.size <= largest_matrix, "a transform of ", size.size,
                  " points, more than ", largest_matrix, ", has no form here: ONNX has one from opset 17 on");
  DType type = DType::F32;
  (void)has_dtype(x, &type);
  Dims order, back;  // the dimension behind the others, and back; the pair stays last
  for (int64_t i = 0; i < rank; i++) {
    if (i != dim) order.push_back(i);
    back.push_back(i < dim ? i : i == dim ? rank - 1 : i - 1);
  }
  order.push_back(dim);
  back.push_back(rank);
  if (from_pairs) order.push_back(rank);
  x = r.call("permute", {x, order});
  std::vector<Size> sizes = r.sizes(x);
  while (sizes.size() >= static_cast<size_t>(rank)) sizes.pop_back();
  if (from_pairs) {
    std::vector<Size> rows = sizes;
    rows.push_back(size.size * 2);
    x = r.reshape(x, rows);
  }
  const Tensor matrix = transform_matrix(size.size, results, from_pairs, forward, scale, type);
  const Term y = r.call("matmul", {x, r.constant_tensor(matrix)});
  sizes.push_back(results);
  sizes.push_back(2);
  return r.call("permute", {r.reshape(y, sizes), back});
}
// Along each of `dims`; the last one scales.
Term transforms(const PairRewriting& r, Term pair, std::span<const int64_t> dims, double scale) {
  for (size_t i = 0; i < dims.size(); i++)
    pair = transform(r, pair, true, dims[i], i + 1 == dims.size() ? scale : 1, r.flag("forward"), false);
  return pair;
}
Dims transformed_dims(const PairRewriting& r) {
  Dims dims;
  MOKA_CHECK_KIND(NotImplemented, r.ints("dim", dims) && r.rank("input") >= 0,
                  "its dimensions are not known");
  for (int64_t& d : dims) d = wrap(d, r.rank("input"));
  return dims;
}
Term transform(const PairRewriting& r) {
  return transforms(r, r.pair("input"), transformed_dims(r), r.number("scale"));
}
Term real_transform(const PairRewriting& r) {
  const Dims dims = transformed_dims(r);
  const bool one = dims.size() == 1;
  const Term half =
      transform(r, r.term("input"), false, dims.back(), one ? r.number("scale") : 1, r.flag("forward"), true);
  return transforms(r, half, std::span(dims).first(dims.size() - 1), r.number("scale"));
}
// The other half of the spectrum is the conjugate of the first, backwards.
Term transform_to_real(const PairRewriting& r) {
  const Dims dims = transformed_dims(r);
  int64_t points = 0;
  MOKA_CHECK_KIND(NotImplemented, r.integer("last_size", points), "a size that is known only when running");
  const int64_t last = dims.back();
  const Term half = transforms(r, r.pair("input"), std::span(dims).first(dims.size() - 1), 1);
  Term all = half;
  if (points > 2) {
    Dims mirrored;
    for (int64_t i = (points - 1) / 2; i > 0; i--) mirrored.push_back(i);
    const Term other = r.conjugate(r.select(half, last, mirrored));
    all = r.call("cat", {std::vector<Value*>{half.value, other.value}, last});
  }
  return r.part(transform(r, all, true, last, r.number("scale"), r.flag("forward"), false), 0);
}

constexpr PairRuleEntry rules[] = {
    {"fft_c2c", transform},
    {"fft_r2c", real_transform},
    {"fft_c2r", transform_to_real},
};

}  // namespace

std::span<const PairRuleEntry> fourier_rules() { return rules; }

}  // namespace moka::spelling
