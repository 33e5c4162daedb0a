// Complex tensors as real ones, for files that have no arithmetic with them: real and imaginary part in a last dimension
// of size 2, as view_as_real gives them. One rule an operator.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstring>
#include <numeric>

#include "moka/formats/spelling/rewriting.h"
#include "moka/formats/spelling/writer.h"
#include "moka/schema/frame.h"

namespace moka::spelling {

using graph::Block;
using graph::Graph;
using graph::Node;
using graph::NodeKind;
using graph::Type;
using graph::Value;

namespace {

bool is_complex_value(const Value* v) {
  DType type;
  return has_dtype(v, &type) && is_complex(type);
}
// The type of the parts of a complex type.
DType part_of(DType complex) {
  switch (item_size(complex)) {
    case 4: return DType::F16;
    case 8: return DType::F32;
    default: return DType::F64;
  }
}
Tensor parts_of(const Tensor& complex) {
  const Tensor t = as_contiguous(complex);
  Dims sizes(t.sizes());
  sizes.push_back(2);
  Tensor out = new_tensor(sizes, part_of(t.dtype()));
  if (t.numel()) std::memcpy(out.raw_data(), t.raw_data(), t.bytes());
  return out;
}
Tensor small_tensor(std::initializer_list<double> numbers, DType type) {
  Tensor out = new_tensor(Dims{static_cast<int64_t>(numbers.size())}, DType::F64);
  std::copy(numbers.begin(), numbers.end(), out.data<double>());
  return to_dtype(out, type);
}

// The graph's complex values and the real ones that stand for them.
class Pairs {
 public:
  Pairs(Graph& graph, bool has_transforms) : has_transforms(has_transforms), graph_(graph) {}
  void replace_all();

  const bool has_transforms;  // the file has an operator for Fourier transforms

  bool is_complex(const Value* v) const { return pairs_.count(v) || is_complex_value(v); }
  // The pair of a complex value, or of a real one or a number, whose parts have the given type.
  Value* of(const Rewriting& r, Value* v, DType type) const;

 private:
  bool touches_complex(const Node& node) const;
  bool has_complex(const Block& block) const;
  void replace_unpack(Node& node);
  bool replace(Node& node);  // false: there is no rule for it
  Value* moved_otherwise(
      Node& node);  // the same by other operators that move elements; null: no rule knows how
  void split_at_boundary();
  Graph& graph_;
  std::map<const Value*, Value*> pairs_;  // lists too
};

// What a rule sees: a node with complex values.
struct PairRewriting : Rewriting {
  const Pairs& pairs;
  PairRewriting(Builder& build, Node& node, const Pairs& pairs) : Rewriting{build, node}, pairs(pairs) {}

  bool complex(Value* v) const { return pairs.is_complex(v); }
  bool complex(std::string_view arg) const { return complex(node.argument(arg)); }
  // The pair of an operand, which may be real or a number.
  Term pair(Value* v) const { return term(pairs.of(*this, v, part_type())); }
  Term pair(std::string_view arg) const { return pair(node.argument(arg)); }
  Term part(Term pair, int64_t which) const { return call("select", {pair, int64_t(-1), which}); }
  Term re(std::string_view arg) const { return part(pair(arg), 0); }
  Term im(std::string_view arg) const { return part(pair(arg), 1); }
  Term join(Term re, Term im) const {
    return call("stack", {std::vector<Value*>{re.value, im.value}, int64_t(-1)});
  }
  // A real operand beside a pair: with a dimension of size 1 behind, or the number that it is.
  Argument beside(Value* v) const {
    if (v->type.kind != graph::TypeKind::Tensor) return v;
    return call("unsqueeze", {v, int64_t(-1)});
  }
  DType part_type() const;
  Term conjugate(Term pair) const { return pair * constant_tensor(small_tensor({1, -1}, part_type())); }
};
using PairRule = Term (*)(const PairRewriting& r);

DType PairRewriting::part_type() const {
  DType type = DType::F32;
  for (const Value* v : node.outputs())
    if (is_complex_value(v)) return part_of(v->type.dtype);
  for (Value* v : node.inputs())
    if (complex(v) && has_dtype(v, &type)) return is_complex_value(v) ? part_of(type) : type;
  return type;
}

// ---- operators that move elements: the same operator on the pair, its dimensions counted from the front

struct Moves {
  std::string_view op;
  std::string_view dims[2] = {};  // arguments that count dimensions
  std::string_view sizes = {};  // an argument that gets one element more: the size of a pair, or what follows
  enum class Last : uint8_t { Two, One, Rank } last = Last::Two;
  int further = 0;  // the result has so many dimensions more
};
constexpr Moves moves[] = {
    {"neg"},
    {"contiguous"},
    {"clone"},
    {"detach"},
    {"copy_"},
    {"resolve_conj"},
    {"squeeze"},
    {"index"},
    {"index_put"},
    {"zeros_like"},
    {"empty_like"},
    {"transpose", {"dim0", "dim1"}},
    {"select", {"dim"}},
    {"slice", {"dim"}},
    {"narrow", {"dim"}},
    {"split", {"dim"}},
    {"split_with_sizes", {"dim"}},
    {"chunk", {"dim"}},
    {"unbind", {"dim"}},
    {"cat", {"dim"}},
    {"stack", {"dim"}, {}, {}, 1},
    {"unsqueeze", {"dim"}, {}, {}, 1},
    {"squeeze.dim", {"dim"}},
    {"flip", {"dims"}},
    {"roll", {"dims"}},
    {"index_select", {"dim"}},
    {"slice_scatter", {"dim"}},
    {"select_scatter", {"dim"}},
    {"index_add", {"dim"}},
    {"flatten", {"start_dim", "end_dim"}},
    {"unflatten", {"dim"}},
    {"movedim", {"source", "destination"}},
    {"sum", {"dim"}},
    {"mean", {"dim"}},
    {"cumsum", {"dim"}},
    {"permute", {"dims"}, "dims", Moves::Last::Rank},
    {"reshape", {}, "shape"},
    {"view", {}, "size"},
    {"expand", {}, "size"},
    {"zeros", {}, "size"},
    {"empty", {}, "size"},
    {"new_zeros", {}, "size"},
    {"repeat", {}, "repeats", Moves::Last::One},
    {"tile", {}, "dims", Moves::Last::One},
};

Argument counted(const PairRewriting& r, std::string_view arg, int rank) {
  Dims dims;
  if (const Any* c = r.constant(arg); c && c->is_none()) {
    dims.resize(static_cast<size_t>(rank));
    std::iota(dims.begin(), dims.end(), 0);
    return dims;
  }
  MOKA_CHECK_KIND(NotImplemented, r.ints(arg, dims) && rank >= 0, "its dimensions are not known");
  MOKA_CHECK_KIND(NotImplemented, !dims.empty(), "all dimensions together, with complex values");
  for (int64_t& d : dims) d = wrap(d, rank);
  return r.constant(arg)->tag() == Tag::Ints ? Argument(dims) : Argument(dims[0]);
}
Argument with_last(const PairRewriting& r, Argument given, int64_t last) {
  if (!given.slot.value) {
    Dims sizes = given.slot.constant.ints();
    sizes.push_back(last);
    return sizes;
  }
  const Node* list = given.slot.value->producer();
  MOKA_CHECK_KIND(NotImplemented, list && list->kind == NodeKind::List, "its sizes are not known one by one");
  std::vector<Value*> all(list->inputs().begin(), list->inputs().end());
  all.push_back(r.build.constant(Any(last)));
  return all;
}
Argument sizes_of(const PairRewriting& r, std::string_view arg) {
  Dims known;
  return r.ints(arg, known) ? Argument(known) : Argument(r[arg]);
}

// The node's operator with pairs for complex arguments, and some arguments given anew.
std::vector<Value*> again(const PairRewriting& r, std::map<std::string_view, Argument> given) {
  std::vector<Argument> args;
  const Schema& schema = info(*r.node.op).schema;
  for (size_t i = 0; i < schema.args.size(); i++) {
    Value* v = r.node.input(static_cast<int>(i));
    const std::string_view name = schema.args[i].name;
    const Node* list = v->producer();
    if (auto at = given.find(name); at != given.end()) {
      args.push_back(at->second);
    } else if (schema.args[i].type.kind == Kind::Tensor && schema.args[i].type.list && name != "indices" &&
               list && list->kind == NodeKind::List) {
      std::vector<Value*> elements;
      for (Value* e : list->inputs()) elements.push_back(r.pair(e));
      args.push_back(elements);
    } else if (r.complex(v) || name == "src" || name == "values" || name == "source") {
      args.push_back(r.pair(v));
    } else if (const Any* c = v->constant(); c && c->tag() == Tag::DType && is_complex(c->dtype())) {
      args.push_back(part_of(c->dtype()));
    } else {
      args.push_back(v);
    }
  }
  return r.build.call_all(r.node.op_name(), args);
}

std::vector<Value*> moved(const PairRewriting& r, const Moves& how) {
  std::map<std::string_view, Argument> given;
  int rank = -1;
  for (Value* v : r.node.inputs()) {
    const Node* list = v->producer();
    if (r.complex(v)) rank = std::max(rank, r.rank(v));
    else if (list && list->kind == NodeKind::List)
      for (Value* e : list->inputs())
        if (r.complex(e)) rank = std::max(rank, r.rank(e));
    if (rank >= 0) break;
  }
  for (std::string_view dim : how.dims)
    if (!dim.empty()) given.insert_or_assign(dim, counted(r, dim, rank + how.further));
  if (!how.sizes.empty()) {
    const auto at = given.find(how.sizes);
    const Argument sizes = at == given.end() ? sizes_of(r, how.sizes) : at->second;
    const int64_t last = how.last == Moves::Last::Two ? 2 : how.last == Moves::Last::One ? 1 : rank;
    given.insert_or_assign(how.sizes, with_last(r, sizes, last));
  }
  return again(r, std::move(given));
}

// ---- parts

Term both(const PairRewriting& r) {
  const Term re = r.term("real"), im = r.term("imag");
  if (re.value->type == im.value->type) return r.join(re, im);
  return r.join(re + r.call("zeros_like", {im}), im + r.call("zeros_like", {re}));  // they broadcast
}
Term polar(const PairRewriting& r) {
  const Term angle = r.term("angle");
  return r.join(r.term("abs") * r.call("cos", {angle}), r.term("abs") * r.call("sin", {angle}));
}
Term of_parts(const PairRewriting& r) { return r.pair("input"); }
Term real_part(const PairRewriting& r) { return r.re("input"); }
Term imaginary_part(const PairRewriting& r) { return r.im("input"); }
Term magnitude(const PairRewriting& r, Term pair) {
  return r.call("sqrt", {r.call("sum", {pair * pair, Dims{-1}})});
}
Term magnitude(const PairRewriting& r) { return magnitude(r, r.pair("input")); }
Term angle(const PairRewriting& r) { return r.call("atan2", {r.im("input"), r.re("input")}); }
Term conj(const PairRewriting& r) { return r.conjugate(r.pair("input")); }
Term full(const PairRewriting& r) {
  const Term real =
      r.call(r.node.op_name(), {sizes_of(r, "size"), r["fill_value"], named("dtype", r.part_type())});
  return r.join(real, r.call("zeros_like", {real}));
}
Term ones(const PairRewriting& r) {
  const Term real = r.call("ones", {sizes_of(r, "size"), named("dtype", r.part_type())});
  return r.join(real, r.call("zeros_like", {real}));
}
Term to(const PairRewriting& r) {
  if (!is_complex_value(r.node.output())) return r.cast(r.re("input"), r.node.output()->type.dtype);
  return r.cast(r.pair("input"), r.part_type());
}
Term where(const PairRewriting& r) {
  return r.call("where", {r.beside(r["condition"]), r.pair("input"), r.pair("other")});
}
Term masked_fill(const PairRewriting& r) {
  return r.call("where", {r.beside(r["mask"]), r.pair("value"), r.pair("input")});
}
Term gather(const PairRewriting& r) {
  std::vector<Size> sizes = r.sizes(r["index"]);
  sizes.push_back(2);
  const Term index = r.call("expand", {r.beside(r["index"]), r.list(sizes)});
  return r.call("gather", {r.pair("input"), counted(r, "dim", r.rank("input")), index});
}
Term pad(const PairRewriting& r) {
  Dims sizes;
  MOKA_CHECK_KIND(NotImplemented, r.ints("pad", sizes) && r.is("value", 0),
                  "padding with other values than 0");
  Dims all{0, 0};
  for (int64_t n : sizes) all.push_back(n);
  return r.call("pad_constant", {r.pair("input"), all, 0.0});
}
Term equal(const PairRewriting& r) {
  const Term same = r.call("eq", {r.pair("input"), r.pair("other")});
  return r.call("logical_and", {r.part(same, 0), r.part(same, 1)});
}
Term different(const PairRewriting& r) { return r.call("logical_not", {equal(r)}); }
Term finite(const PairRewriting& r) {
  return r.call("logical_and", {r.call("isfinite", {r.re("input")}), r.call("isfinite", {r.im("input")})});
}
Term not_a_number(const PairRewriting& r) {
  return r.call("logical_or", {r.call("isnan", {r.re("input")}), r.call("isnan", {r.im("input")})});
}

// ---- arithmetic

Term sum(const PairRewriting& r) {
  return r.call("add", {r.pair("input"), r.pair("other"), named("alpha", r["alpha"])});
}
Term difference(const PairRewriting& r) {
  return r.call("sub", {r.pair("input"), r.pair("other"), named("alpha", r["alpha"])});
}
Term reversed_difference(const PairRewriting& r) {
  return r.call("sub", {r.pair("other"), r.pair("input"), named("alpha", r["alpha"])});
}
Term product(const PairRewriting& r, Term a, Term b) {
  const Term ar = r.part(a, 0), ai = r.part(a, 1), br = r.part(b, 0), bi = r.part(b, 1);
  return r.join(ar * br - ai * bi, ar * bi + ai * br);
}
Term quotient(const PairRewriting& r, Term a, Term b) {
  const Term square = r.call("sum", {b * b, Dims{-1}, true});
  return product(r, a, r.conjugate(b)) / square;
}
Term product(const PairRewriting& r) {
  Value *a = r["input"], *b = r["other"];
  if (!r.complex(b)) return r.call("mul", {r.pair(a), r.beside(b)});
  if (!r.complex(a)) return r.call("mul", {r.pair(b), r.beside(a)});
  return product(r, r.pair(a), r.pair(b));
}
Term quotient(const PairRewriting& r) {
  Value *a = r["input"], *b = r["other"];
  if (!r.complex(b)) return r.call("div", {r.pair(a), r.beside(b)});
  return quotient(r, r.pair(a), r.pair(b));
}
Term one_over(const PairRewriting& r) {
  const Term z = r.pair("input");
  return r.conjugate(z) / r.call("sum", {z * z, Dims{-1}, true});
}
Term square(const PairRewriting& r) { return product(r, r.pair("input"), r.pair("input")); }
Term from_polar(const PairRewriting& r, Term size, Term angle) {
  return r.join(size * r.call("cos", {angle}), size * r.call("sin", {angle}));
}
Term exponential(const PairRewriting& r) {
  return from_polar(r, r.call("exp", {r.re("input")}), r.im("input"));
}
Term logarithm(const PairRewriting& r) { return r.join(r.call("log", {magnitude(r)}), angle(r)); }
Term square_root(const PairRewriting& r) {
  return from_polar(r, r.call("sqrt", {magnitude(r)}), angle(r) * 0.5);
}
Term power(const PairRewriting& r) {
  MOKA_CHECK_KIND(NotImplemented, r.complex("input") && !r.complex("exponent"), "a complex exponent");
  const Any* c = r.constant("exponent");
  const double exponent = c && c->arg().is_number() ? c->arg().as_double() : NAN;
  if (exponent == std::floor(exponent) && exponent >= 1 && exponent <= 16) {
    const Term z = r.pair("input");
    Term out = z;
    for (int i = 1; i < static_cast<int>(exponent); i++) out = product(r, out, z);
    return out;
  }
  const Argument by(r["exponent"]);
  return from_polar(r, r.call("pow", {magnitude(r), by}), r.call("mul", {angle(r), by}));
}
Term sign(const PairRewriting& r) {
  const Term z = r.pair("input"), size = r.call("unsqueeze", {magnitude(r), int64_t(-1)});
  return r.call("where", {r.call("eq", {size, 0.0}), r.call("zeros_like", {z}), z / size});
}
// Products of matrices, by parts.
Term matrices(const PairRewriting& r) {
  const Term a = r.pair("input"), b = r.pair(r.node.op_name() == "matmul" ? "other" : "mat2");
  const Term ar = r.part(a, 0), ai = r.part(a, 1), br = r.part(b, 0), bi = r.part(b, 1);
  auto product = [&](Term x, Term y) { return r.call("matmul", {x, y}); };
  return r.join(product(ar, br) - product(ai, bi), product(ar, bi) + product(ai, br));
}

// ---- Fourier transforms

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
// All of `dims` but the last `but`.
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

struct PairRuleEntry {
  std::string_view op;
  PairRule rule;
};
constexpr PairRuleEntry rules[] = {
    {"view_as_complex", [](const PairRewriting& r) { return r.term("input"); }},
    {"view_as_real", of_parts},
    {"complex", both},
    {"polar", polar},
    {"real", real_part},
    {"imag", imaginary_part},
    {"abs", magnitude},
    {"angle", angle},
    {"conj", conj},
    {"conj_physical", conj},
    {"full", full},
    {"ones", ones},
    {"to", to},
    {"where", where},
    {"masked_fill", masked_fill},
    {"gather", gather},
    {"pad_constant", pad},
    {"eq", equal},
    {"ne", different},
    {"isfinite", finite},
    {"isnan", not_a_number},
    {"add", sum},
    {"sub", difference},
    {"rsub", reversed_difference},
    {"mul", product},
    {"div", quotient},
    {"reciprocal", one_over},
    {"square", square},
    {"exp", exponential},
    {"log", logarithm},
    {"sqrt", square_root},
    {"pow", power},
    {"sgn", sign},
    {"matmul", matrices},
    {"mm", matrices},
    {"bmm", matrices},
    {"fft_c2c", transform},
    {"fft_r2c", real_transform},
    {"fft_c2r", transform_to_real},
};

// ---- the graph

Value* Pairs::of(const Rewriting& r, Value* v, DType type) const {
  if (auto at = pairs_.find(v); at != pairs_.end()) return at->second;
  const Any* c = v->constant();
  if (c && c->is_tensor() && spelling::is_complex_value(v))
    return r.build.constant(Any(parts_of(c->tensor())));
  MOKA_CHECK_KIND(NotImplemented, !is_complex_value(v), "complex values of ",
                  v->producer() ? v->producer()->op_name() : "a block", " have no form in this format");
  if (c && c->arg().is_number()) return r.build.constant(Any(small_tensor({c->arg().as_double(), 0}, type)));
  Value* real = r.cast(v, type);
  return r.call("stack", {std::vector<Value*>{real, r.call("zeros_like", {real})}, int64_t(-1)});
}

bool Pairs::touches_complex(const Node& node) const {
  for (const Value* v : node.outputs())
    if (is_complex(v)) return true;
  for (const Value* v : node.inputs()) {
    if (is_complex(v)) return true;
    const Node* list = v->producer();
    if (list && list->kind == NodeKind::List)
      for (const Value* e : list->inputs())
        if (is_complex(e)) return true;
  }
  return false;
}
bool Pairs::has_complex(const Block& block) const {
  for (const Value* v : block.params())
    if (is_complex(v)) return true;
  for (const Node* n : block) {
    if (touches_complex(*n)) return true;
    for (const auto& inner : n->blocks())
      if (has_complex(*inner)) return true;
  }
  return false;
}

void Pairs::replace_unpack(Node& node) {
  const auto at = pairs_.find(node.input(0));
  if (at == pairs_.end()) return;
  Node* made = graph_.create(NodeKind::Unpack, {node.owner(), &node}, std::vector<Value*>{at->second},
                             static_cast<int>(node.outputs().size()));
  made->source = node.source;
  graph::infer_types(*made);
  for (int i = 0; i < static_cast<int>(node.outputs().size()); i++) pairs_[node.output(i)] = made->output(i);
}

bool Pairs::replace(Node& node) {
  Builder build(graph_, {node.owner(), &node});
  build.source = node.source;
  const PairRewriting r(build, node, *this);
  std::vector<Value*> made;
  for (const PairRuleEntry& e : rules)
    if (e.op == node.op_name()) made = {e.rule(r)};
  for (const Moves& m : moves)
    if (m.op == node.op_name()) made = moved(r, m);
  if (made.empty()) return false;
  for (size_t i = 0; i < made.size(); i++) {
    Value* old = node.output(static_cast<int>(i));
    if (made[i]->name.empty() && made[i]->producer()) made[i]->name = old->name;
    if (is_complex_value(old) || old->type.kind == graph::TypeKind::List) pairs_[old] = made[i];
    else old->replace_all_uses_with(made[i]);
  }
  return true;
}

Value* Pairs::moved_otherwise(Node& node) {
  Builder build(graph_, {node.owner(), &node});
  build.source = node.source;
  for (const RuleEntry& e : shape_rules())
    if (e.op == node.op_name() && e.rule) return e.rule(Rewriting{build, node});
  return nullptr;
}

// Inputs and states become pairs; what reads them sees the complex value that view_as_complex makes of them.
void Pairs::split_at_boundary() {
  auto split = [&](Value* v, Node* before) {
    v->type.dtype = part_of(v->type.dtype);
    if (v->type.has_dims) v->type.dims.push_back({2, {}});
    Builder build(graph_, {graph_.main(), before});
    Value* whole = build.call("view_as_complex", {v});
    v->replace_all_uses_with(whole);
    whole->producer()->set_input(0, v);
  };
  Node* first = graph_.main()->first();
  for (Value* v : graph_.inputs())
    if (is_complex_value(v)) split(v, first);
  for (Node* n : *graph_.main()) {
    if (n->kind != NodeKind::Get || !is_complex_value(n->output())) continue;
    split(n->output(), n->next());
    graph::State& state = graph_.states.at(n->name);
    if (!state.value.is_tensor() || !moka::is_complex(state.value.tensor().dtype())) continue;
    state.value = Any(parts_of(state.value.tensor()));
    state.type = graph::type_of(state.value.arg());
  }
}

void Pairs::replace_all() {
  split_at_boundary();
  for (Node* n = graph_.main()->first(); n;) {
    Node *const next = n->next(), *const before = n->previous();
    if (n->kind == NodeKind::Unpack) replace_unpack(*n);
    for (const auto& block : n->blocks())
      MOKA_CHECK_KIND(NotImplemented, !has_complex(*block),
                      "complex values in a branch or a loop have no form in this format");
    if (n->kind != NodeKind::Op || !touches_complex(*n)) {
      n = next;
      continue;
    }
    try {
      if (replace(*n)) {
        n = next;
        continue;
      }
      Value* made = moved_otherwise(*n);
      MOKA_CHECK_KIND(NotImplemented, made, "it has no form for complex values in this format");
      n->output()->replace_all_uses_with(made);
      n->destroy();
      n = before ? before->next() : graph_.main()->first();  // what was made is to be replaced in turn
    } catch (Error& e) {
      const std::string line = n->source.line ? cat(":", n->source.line) : "";
      e.add_context(
          cat("in ", n->op_name(), n->source.file.empty() ? "" : cat(" (", n->source.file, line, ")")));
      throw;
    }
  }
  for (size_t i = 0; i < graph_.outputs().size(); i++)
    if (auto at = pairs_.find(graph_.outputs()[i]); at != pairs_.end())
      graph_.main()->set_result(static_cast<int>(i), at->second);
  drop_unused(graph_);
}

bool any_complex(Graph& graph) {
  for (const Value* v : graph.inputs())
    if (is_complex_value(v)) return true;
  for (Node* n : *graph.main())
    for (const Value* v : n->outputs())
      if (is_complex_value(v)) return true;
  return false;
}

}  // namespace

void split_complex(Graph& graph, bool has_transforms) {
  if (any_complex(graph)) Pairs(graph, has_transforms).replace_all();
}

}  // namespace moka::spelling
