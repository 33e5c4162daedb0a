// Sums of products over named dimensions: every step is one bmm, and the cheapest pair goes first.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "moka/ops/contraction/contraction.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/linear/linear.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/shaping/shaping.h"
#include "moka/tensor/scalar_name.h"

namespace moka::ops {

namespace {
// A tensor whose dimensions have labels, small integers. Sizes of 1 broadcast.
struct Labelled {
  Tensor tensor;
  std::vector<int> labels;
  int find(int label) const {
    auto at = std::find(labels.begin(), labels.end(), label);
    return at == labels.end() ? -1 : static_cast<int>(at - labels.begin());
  }
  int64_t size(int label) const {
    int d = find(label);
    return d < 0 ? 1 : tensor.size(d);
  }
};

// The diagonal where a label stands twice.
Labelled without_repeats(Labelled x, std::string_view op) {
  for (size_t i = 0; i < x.labels.size(); i++)
    for (size_t j = i + 1; j < x.labels.size();) {
      if (x.labels[i] != x.labels[j]) {
        j++;
        continue;
      }
      int a = static_cast<int>(i), b = static_cast<int>(j);
      int64_t m = x.tensor.size(a), n = x.tensor.size(b);
      MOKA_CHECK(m == n || m == 1 || n == 1, op, ": a label stands for sizes ", m, " and ", n,
                 " in one operand");
      if (m == 1) x.tensor = squeeze_dim(x.tensor, Dims{a}), x.labels.erase(x.labels.begin() + a);
      else if (n == 1) x.tensor = squeeze_dim(x.tensor, Dims{b}), x.labels.erase(x.labels.begin() + b);
      else {
        Dims order;
        for (int d = 0; d < x.tensor.dim(); d++)
          if (d != a && d != b) order.push_back(d);
        order.push_back(a), order.push_back(b);
        Tensor t = permute(x.tensor, order);
        // Every (n + 1)-th element of the flattened square lies on the diagonal.
        Dims sizes(t.sizes().first(size_t(t.dim() - 2)));
        sizes.push_back(n * n);
        x.tensor = slice(reshape(t, sizes), -1, int64_t(0), n * n, n + 1);
        int label = x.labels[i];
        x.labels.erase(x.labels.begin() + b);
        x.labels.erase(x.labels.begin() + a);
        x.labels.push_back(label);
        i = size_t(-1);
        break;
      }
    }
  return x;
}

Tensor summed(const Tensor& t, const Dims& dims) { return dims.empty() ? t : Tensor(sum(t, dims)); }

// Dimensions in the order of `labels`; those that x lacks get size 1.
Tensor arranged(const Labelled& x, const std::vector<int>& labels) {
  Dims order, sizes;
  for (int label : labels)
    if (int d = x.find(label); d >= 0) order.push_back(d);
  Tensor t = permute(x.tensor, order);
  bool all = order.size() == labels.size();
  if (all) return t;
  for (int label : labels) sizes.push_back(x.size(label));
  return reshape(t, sizes);
}

// One step: sums over the labels that `kept` does not hold.
Labelled contract(Labelled a, Labelled b, const std::vector<int>& kept) {
  auto is_kept = [&](int label) { return std::find(kept.begin(), kept.end(), label) != kept.end(); };
  // Sums over labels of one operand alone go first, and over those that the other has in size 1.
  auto reduce = [&](Labelled& x, const Labelled& other) {
    Dims gone;
    std::vector<int> rest;
    for (size_t d = 0; d < x.labels.size(); d++) {
      int label = x.labels[d];
      bool alone = other.find(label) < 0 || (other.size(label) == 1 && x.tensor.size(int(d)) != 1);
      if (!is_kept(label) && alone) gone.push_back(int64_t(d));
      else rest.push_back(label);
    }
    x.tensor = summed(x.tensor, gone);
    x.labels = rest;
  };
  reduce(a, b);
  reduce(b, a);
  std::vector<int> batch, left, right, inner;
  for (int label : a.labels) {
    if (b.find(label) < 0) (is_kept(label) ? left : inner).push_back(label);
    else if (!is_kept(label)) inner.push_back(label);
    else if (a.size(label) == b.size(label)) batch.push_back(label);
    else (b.size(label) == 1 ? left : right).push_back(label);  // the other size is 1: broadcast
  }
  for (int label : b.labels)
    if (a.find(label) < 0) (is_kept(label) ? right : inner).push_back(label);
  // A label in size 1 on the side that does not carry it is dropped there.
  auto drop = [](Labelled& x, const std::vector<int>& elsewhere) {
    for (int label : elsewhere)
      if (int d = x.find(label); d >= 0) {
        x.tensor = squeeze_dim(x.tensor, Dims{d});
        x.labels.erase(x.labels.begin() + d);
      }
  };
  drop(b, left);
  drop(a, right);
  Labelled out;
  out.labels = batch;
  out.labels.insert(out.labels.end(), left.begin(), left.end());
  out.labels.insert(out.labels.end(), right.begin(), right.end());
  if (inner.empty()) {
    out.tensor = arranged(a, out.labels) * arranged(b, out.labels);
    return out;
  }
  auto count = [](const Labelled& x, const std::vector<int>& labels) {
    int64_t n = 1;
    for (int label : labels) n *= x.size(label);
    return n;
  };
  auto order = [](std::vector<int> first, const std::vector<int>& second, const std::vector<int>& third) {
    first.insert(first.end(), second.begin(), second.end());
    first.insert(first.end(), third.begin(), third.end());
    return first;
  };
  int64_t nb = count(a, batch), m = count(a, left), n = count(b, right), k = count(a, inner);
  Tensor x = arranged(a, order(batch, left, inner)), y = arranged(b, order(batch, inner, right));
  Tensor product = batch.empty() ? mm(reshape(x, Dims{m, k}), reshape(y, Dims{k, n}))
                                 : bmm(reshape(x, Dims{nb, m, k}), reshape(y, Dims{nb, k, n}));
  Dims sizes;
  for (int label : batch) sizes.push_back(a.size(label));
  for (int label : left) sizes.push_back(a.size(label));
  for (int label : right) sizes.push_back(b.size(label));
  out.tensor = reshape(product, sizes);
  return out;
}

// ---- the equation: letters are labels 0..51, dimensions of an ellipsis 52 and on
constexpr int ellipsis_label = 52;
int label_of(char c) { return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : -1; }

struct Term {
  std::vector<int> before, after;
  bool ellipsis = false;
};
Term read_term(std::string_view text, std::string_view equation) {
  Term t;
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] == ' ') continue;
    if (text[i] == '.') {
      MOKA_CHECK(text.substr(i, 3) == "...", "einsum: found '.' that is not part of an ellipsis in '",
                 equation, "'");
      MOKA_CHECK(!t.ellipsis, "einsum: an ellipsis stands twice for one operand in '", equation, "'");
      t.ellipsis = true;
      i += 2;
      continue;
    }
    int label = label_of(text[i]);
    MOKA_CHECK(label >= 0, "einsum: invalid subscript '", std::string(1, text[i]),
               "', subscripts must be letters, in '", equation, "'");
    (t.ellipsis ? t.after : t.before).push_back(label);
  }
  return t;
}

Labelled all_but_repeats(const Tensor& t, const Term& term, int widest, std::string_view equation,
                         int number) {
  int named = static_cast<int>(term.before.size() + term.after.size());
  int dots = t.dim() - named;
  MOKA_CHECK(term.ellipsis ? dots >= 0 : dots == 0, "einsum: the number of subscripts in the equation '",
             equation, "' (", named, ") ", term.ellipsis ? "is more than" : "does not match",
             " the number of dimensions (", t.dim(), ") for operand ", number);
  Labelled x{t, term.before};
  for (int i = 0; i < dots; i++) x.labels.push_back(ellipsis_label + widest - dots + i);
  x.labels.insert(x.labels.end(), term.after.begin(), term.after.end());
  return without_repeats(std::move(x), "einsum");
}

void einsum_run(const Any* in, Any* out) {
  std::string_view equation = in[0].string();
  std::vector<Tensor> tensors(in[1].tensors().begin(), in[1].tensors().end());
  MOKA_CHECK_KIND(Value, !tensors.empty(), "einsum: must provide at least one operand");
  size_t arrow = equation.find("->");
  std::string_view left = equation.substr(0, arrow);
  std::vector<Term> terms;
  for (size_t at = 0;;) {
    size_t comma = left.find(',', at);
    terms.push_back(
        read_term(left.substr(at, comma == std::string_view::npos ? comma : comma - at), equation));
    if (comma == std::string_view::npos) break;
    at = comma + 1;
  }
  MOKA_CHECK(terms.size() == tensors.size(), "einsum: ", terms.size() > tensors.size() ? "more" : "fewer",
             " operands are named in the equation '", equation, "' than were provided: ", terms.size(),
             " and ", tensors.size());
  int widest = 0;
  for (size_t i = 0; i < terms.size(); i++)
    if (terms[i].ellipsis)
      widest = std::max(widest, tensors[i].dim() - int(terms[i].before.size() + terms[i].after.size()));

  DType dtype = tensors[0].dtype();
  for (const Tensor& t : tensors)
    MOKA_CHECK(t.dtype() == dtype, "einsum: expected scalar type ", scalar_name(dtype), " but found ",
               scalar_name(t.dtype()), ": operands must have one type; convert one of them");
  std::vector<Labelled> operands;
  std::vector<int> times(size_t(ellipsis_label + widest), 0);
  std::vector<int64_t> sizes(times.size(), 1);
  for (size_t i = 0; i < terms.size(); i++) {
    for (const auto* part : {&terms[i].before, &terms[i].after})
      for (int label : *part) times[size_t(label)]++;
    operands.push_back(all_but_repeats(tensors[i], terms[i], widest, equation, int(i)));
    for (int label : operands.back().labels) {
      int64_t n = operands.back().size(label), &known = sizes[size_t(label)];
      MOKA_CHECK(n == known || n == 1 || known == 1, "einsum: subscript of operand ", int(i), " has size ", n,
                 " which does not broadcast with previously seen size ", known, " in '", equation, "'");
      if (n != 1) known = n;
    }
  }
  // The result's labels: as written, or those that stand once in alphabetical order behind the ellipsis.
  std::vector<int> result;
  auto add_ellipsis = [&] {
    for (int i = 0; i < widest; i++) result.push_back(ellipsis_label + i);
  };
  if (arrow == std::string_view::npos) {
    add_ellipsis();
    for (int label = 0; label < ellipsis_label; label++)
      if (times[size_t(label)] == 1) result.push_back(label);
  } else {
    Term term = read_term(equation.substr(arrow + 2), equation);
    result = term.before;
    if (term.ellipsis) add_ellipsis();
    result.insert(result.end(), term.after.begin(), term.after.end());
    for (size_t i = 0; i < result.size(); i++) {
      int label = result[i];
      MOKA_CHECK(label >= ellipsis_label || times[size_t(label)] > 0,
                 "einsum: an output subscript does not appear in the equation for any input operand: '",
                 equation, "'");
      MOKA_CHECK(std::count(result.begin(), result.end(), label) == 1,
                 "einsum: an output subscript appears more than once in '", equation, "'");
    }
  }

  // Greedy: the pair whose product is cheapest to compute, until one operand is left.
  while (operands.size() > 1) {
    size_t best_i = 0, best_j = 1;
    double best = std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < operands.size() && operands.size() > 2; i++)
      for (size_t j = i + 1; j < operands.size(); j++) {
        double cost = 1;
        std::vector<int> seen = operands[i].labels;
        for (int label : operands[j].labels)
          if (operands[i].find(label) < 0) seen.push_back(label);
        for (int label : seen) cost *= double(std::max(operands[i].size(label), operands[j].size(label)));
        if (cost < best) best = cost, best_i = i, best_j = j;
      }
    std::vector<int> kept = result;
    for (size_t o = 0; o < operands.size(); o++)
      if (o != best_i && o != best_j)
        kept.insert(kept.end(), operands[o].labels.begin(), operands[o].labels.end());
    Labelled product = contract(operands[best_i], operands[best_j], kept);
    operands.erase(operands.begin() + long(best_j));
    operands[best_i] = std::move(product);
  }
  Labelled last = operands[0];
  Dims gone;
  std::vector<int> rest;
  for (size_t d = 0; d < last.labels.size(); d++) {
    if (std::find(result.begin(), result.end(), last.labels[d]) == result.end()) gone.push_back(int64_t(d));
    else rest.push_back(last.labels[d]);
  }
  Tensor total = gone.empty() ? last.tensor : Tensor(sum(last.tensor, gone, false, last.tensor.dtype()));
  out[0] = Any(arranged(Labelled{total, rest}, result));
}

// ---- tensordot
Dims axes_of(const Any& a, int ndim) {
  Dims axes = a.tag() == Tag::Int ? Dims{a.to_int()} : a.tag() == Tag::List ? Dims{} : Dims(a.ints());
  MOKA_CHECK_KIND(Index, ndim > 0 || axes.empty(),
                  "tensordot: a tensor without dimensions has no dim to contract, got dims ", axes);
  uint64_t seen = 0;
  for (int64_t& d : axes) {
    d = wrap_dim(d, ndim, "tensordot");
    MOKA_CHECK(!(seen >> d & 1), "tensordot: dim ", d, " appears multiple times in the list of dims");
    seen |= uint64_t(1) << d;
  }
  return axes;
}
void tensordot_run(const Any* in, Any* out) {
  const Tensor &a = in[0].tensor(), &b = in[1].tensor();
  Dims da = axes_of(in[2], a.dim()), db = axes_of(in[3], b.dim());
  MOKA_CHECK(da.size() == db.size(), "tensordot: both dimension lists should have same length, got ", da,
             " and ", db);
  MOKA_CHECK(a.dtype() == b.dtype(), "tensordot: both inputs should have same dtype, got ", a.dtype(),
             " and ", b.dtype());
  Labelled x{a, {}}, y{b, {}};
  std::vector<int> kept;
  int next = 0;
  for (int d = 0; d < a.dim(); d++) x.labels.push_back(next++);
  for (int d = 0; d < b.dim(); d++) y.labels.push_back(next++);
  for (size_t i = 0; i < da.size(); i++) {
    int64_t m = a.size(int(da[i])), n = b.size(int(db[i]));
    MOKA_CHECK(m == n || m == 1 || n == 1,
               "tensordot: contracted dimensions need to match, but first has size ", m, " in dim ", da[i],
               " and second has size ", n, " in dim ", db[i]);
    y.labels[size_t(db[i])] = x.labels[size_t(da[i])];
  }
  for (int label : x.labels)
    if (y.find(label) < 0) kept.push_back(label);
  for (int label : y.labels)
    if (x.find(label) < 0) kept.push_back(label);
  Labelled product = contract(x, y, kept);
  out[0] = Any(arranged(product, kept));
}

// ---- chains: the order of fewest multiplications (Cormen et al., 15.2)
Tensor chain(std::span<const Tensor> m, std::string_view op) {
  size_t n = m.size();
  for (size_t i = 0; i < n; i++)
    MOKA_CHECK(m[i].dim() == 2, op, ": Tensor dimension is ", m[i].dim(), ", expected 2 instead: tensor ",
               int64_t(i), " must be 2D but has shape ", m[i].sizes());
  if (n == 1) return m[0];
  std::vector<std::vector<double>> cost(n, std::vector<double>(n, 0));
  std::vector<std::vector<size_t>> split(n, std::vector<size_t>(n, 0));
  for (size_t length = 1; length < n; length++)
    for (size_t i = 0; i + length < n; i++) {
      size_t j = i + length;
      cost[i][j] = std::numeric_limits<double>::infinity();
      for (size_t k = i; k < j; k++) {
        double c =
            cost[i][k] + cost[k + 1][j] + double(m[i].size(0)) * double(m[k].size(1)) * double(m[j].size(1));
        if (c < cost[i][j]) cost[i][j] = c, split[i][j] = k;
      }
    }
  auto product = [&](auto& self, size_t i, size_t j) -> Tensor {
    if (i == j) return m[i];
    return mm(self(self, i, split[i][j]), self(self, split[i][j] + 1, j));
  };
  return product(product, 0, n - 1);
}
void chain_run(const Any* in, Any* out) {
  MOKA_CHECK(!in[0].tensors().empty(), "chain_matmul(): Expected one or more matrices, got none");
  out[0] = Any(chain(in[0].tensors(), "chain_matmul"));
}
void multi_dot_run(const Any* in, Any* out) {
  std::vector<Tensor> m(in[0].tensors().begin(), in[0].tensors().end());
  MOKA_CHECK(m.size() >= 2, "linalg.multi_dot: expected at least 2 tensors but got ", int64_t(m.size()));
  bool row = m.front().dim() == 1, column = m.back().dim() == 1;
  MOKA_CHECK(row || m.front().dim() == 2, "linalg.multi_dot: the first tensor must be 1D or 2D but got ",
             m.front().dim(), "D");
  MOKA_CHECK(column || m.back().dim() == 2, "linalg.multi_dot: the last tensor must be 1D or 2D but got ",
             m.back().dim(), "D");
  if (row) m.front() = unsqueeze(m.front(), 0);
  if (column) m.back() = unsqueeze(m.back(), 1);
  for (size_t i = 0; i < m.size(); i++)
    MOKA_CHECK(m[i].dtype() == m[0].dtype(),
               "linalg.multi_dot: all tensors must have be the same dtype, tensor 0 is ", m[0].dtype(),
               " and tensor ", int64_t(i), " ", m[i].dtype());
  Tensor product = chain(m, "linalg.multi_dot");
  if (column) product = squeeze_dim(product, Dims{1});
  if (row) product = squeeze_dim(product, Dims{0});
  out[0] = Any(product);
}
}  // namespace

constinit const Op tensordot_op{
    .schema = "tensordot(Tensor input, Tensor other, int[] dims_input, int[] dims_other) -> Tensor",
    .doc = "Sums of products over dimensions dims_input of input paired with dims_other of other.",
    .method = "none",  // moka.tensordot takes torch's forms of dims
    .body = eager_body(tensordot_run),
    .onnx = none("written by its parts"),
    .netdef = none("written by its parts"),
    .samples = {shapes({2, 3, 4}, {4, 3, 5}).with("dims_input", {1, 2}).with("dims_other", {1, 0}),
                shapes({2}, {3}).with("dims_input", {}).with("dims_other", {})},
};
constinit const Op einsum_op{
    .schema = "einsum(str equation, Tensor[] operands) -> Tensor",
    .doc =
        "Einstein's sums: \"ij,jk->ik\" names every dimension by a letter, and sums over letters that the "
        "result lacks.",
    .method = "none",  // moka.einsum takes the operands one by one, and torch's sublist form
    .body = eager_body(einsum_run),
    .onnx = {{.map = "Einsum(operands, equation=equation)", .since = 12}},
    .netdef = none("written by its parts"),
};
constinit const Op chain_matmul_op{
    .schema = "chain_matmul(Tensor[] matrices) -> Tensor",
    .doc = "The product of matrices in the order that takes fewest multiplications.",
    .method = "none",
    .body = eager_body(chain_run),
    .onnx = none("written by its parts"),
    .netdef = none("written by its parts"),
    .autocast = Autocast::Lower,
};
constinit const Op linalg_multi_dot_op{
    .schema = "linalg_multi_dot(Tensor[] tensors) -> Tensor",
    .doc =
        "The product of matrices in the order that takes fewest multiplications; the first and last may be "
        "vectors.",
    .method = "function",
    .body = eager_body(multi_dot_run),
    .onnx = none("written by its parts"),
    .netdef = none("written by its parts"),
    .samples = {shapes({2, 3}, {3, 4}, {4, 2}).as_list(), shapes({3}, {3, 4}, {4}).as_list()},
};

}  // namespace moka::ops
