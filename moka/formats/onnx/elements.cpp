// Follows the elements of small integer vectors through the nodes that models compute shapes with, one by one: numbers
// where they are known, integers of the graph otherwise. So ranks and sizes are known where the shape itself is not.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>

#include "moka/formats/onnx/running_internal.h"
#include "moka/graph/builtins.h"

namespace moka::onnx {

using graph::Value;

namespace {

constexpr size_t longest = 64;  // vectors of shapes, not data

bool whole_numbers(DType dtype) { return dtype == DType::I64 || dtype == DType::I32 || dtype == DType::Bool; }

// Made of sizes alone, so never below zero.
bool never_negative(const Whole& w, int depth = 0) {
  if (w.fixed()) return w.number >= 0;
  const graph::Node* n = w.value->producer();
  if (!n || n->kind != graph::NodeKind::Builtin || depth > 16) return false;
  if (n->name == "size" || n->name == "numel" || n->name == "len") return true;
  if (n->name != "mul" && n->name != "add" && n->name != "floordiv" && n->name != "min" && n->name != "max")
    return false;
  return never_negative(whole_of(n->input(0)), depth + 1) && never_negative(whole_of(n->input(1)), depth + 1);
}

class Follower {
 public:
  explicit Follower(NodeReader& n) : n_(n) {}

  // False where the node is none of those, or one of its elements cannot be said.
  bool follow() {
    const std::string_view op = n_.node.op;
    Value* y = n_.outputs.empty() ? nullptr : n_.outputs[0];
    DType dtype;
    if (!y || y->constant() || !spelling::has_dtype(y, &dtype) || !whole_numbers(dtype)) return false;
    if (op == "Split") return split();
    std::optional<Wholes> out;
    if (op == "Shape") out = shape();
    else if (op == "Size") out = size();
    else if (op == "Identity" || op == "Cast" || op == "Squeeze" || op == "Unsqueeze" || op == "Reshape" ||
             op == "Flatten")
      out = of(0);
    else if (op == "Gather") out = gather();
    else if (op == "Slice") out = slice();
    else if (op == "Concat") out = concat();
    else if (op == "Where") out = where();
    else if (op == "Expand") out = expand();
    else if (op == "ReduceProd" || op == "ReduceSum") out = reduced(op == "ReduceProd" ? "mul" : "add");
    else if (n_.inputs() == 2 && dtype != DType::I32) out = pointwise(op);
    return out && keep(0, *out);
  }

 private:
  NodeReader& n_;

  std::optional<Wholes> of(int input) const {
    if (!n_.has(input)) return {};
    Value* v = n_[input];
    Wholes out;
    if (const Any* known = n_.build.known(v)) {
      if (!known->is_tensor() || known->tensor().dim() > 1) return {};
      const Tensor& t = known->tensor();
      if (!whole_numbers(t.dtype()) || t.numel() > static_cast<int64_t>(longest)) return {};
      for (int64_t i = 0; i < t.numel(); i++) out.push_back(element_as_int(t, i));
      return out;
    }
    const auto* elements = n_.build.elements(v);
    if (!elements) return {};
    for (Value* e : *elements) out.push_back(whole_of(e));
    return out;
  }

  // An output whose elements are all numbers becomes a constant.
  bool keep(int output, const Wholes& elements) {
    Value*& y = n_.outputs[static_cast<size_t>(output)];
    const int rank = spelling::rank(y);
    if (elements.size() > longest || rank > 1 || (rank == 0 && elements.size() != 1)) return false;
    const DType dtype = y->type.dtype;
    const bool fixed =
        std::all_of(elements.begin(), elements.end(), [](const Whole& w) { return w.fixed(); });
    if (fixed && rank >= 0) {
      Tensor t = new_tensor(rank == 0 ? Dims{} : Dims{static_cast<int64_t>(elements.size())}, dtype);
      for (size_t i = 0; i < elements.size(); i++)
        convert_elements(&elements[i].number, DType::I64,
                         static_cast<char*>(t.raw_data()) + i * item_size(dtype), dtype, 1);
      y = n_.build.constant(Any(t));
      return true;
    }
    if (dtype == DType::Bool) return false;
    std::vector<Value*> values;
    for (const Whole& w : elements) values.push_back(int_value(n_, w));
    if (rank != 0) promise(y, dtype, Wholes{Whole(elements.size())});
    n_.build.remember_elements(y, std::move(values));
    return true;
  }

  std::optional<Wholes> shape() {
    const int rank = spelling::rank(n_[0]);
    if (rank < 0) return {};
    auto clamped = [&](int64_t v) { return std::clamp<int64_t>(v < 0 ? v + rank : v, 0, rank); };
    Wholes out;
    for (int64_t i = clamped(n_.integer("start", 0)); i < clamped(n_.integer("end", INT64_MAX)); i++)
      out.push_back(size_of(n_, n_[0], i));
    return out;
  }

  std::optional<Wholes> size() {
    const int rank = spelling::rank(n_[0]);
    if (rank < 0) return {};
    Whole all = 1;
    for (int i = 0; i < rank; i++) all = arithmetic(n_, "mul", all, size_of(n_, n_[0], i));
    return Wholes{all};
  }

  std::optional<Wholes> gather() {
    const auto data = of(0);
    const auto places = n_.known_ints(1);
    if (!data || !places || spelling::rank(n_[0]) != 1) return {};
    Wholes out;
    for (int64_t at : *places) {
      const int64_t length = static_cast<int64_t>(data->size());
      if (at < -length || at >= length) return {};
      out.push_back((*data)[static_cast<size_t>(at < 0 ? at + length : at)]);
    }
    return out;
  }

  std::optional<Wholes> slice() {
    const auto data = of(0);
    const bool inputs = n_.version >= 10;
    const auto starts = inputs ? n_.known_ints(1) : n_.ints("starts");
    const auto ends = inputs ? n_.known_ints(2) : n_.ints("ends");
    const auto steps = n_.has(4) ? n_.known_ints(4) : std::optional<Dims>(Dims{1});
    if (!data || !starts || !ends || !steps || starts->size() != 1 || ends->size() != 1 || steps->size() != 1)
      return {};
    const int64_t length = static_cast<int64_t>(data->size()), step = (*steps)[0];
    auto bound = [&](int64_t v, int64_t least, int64_t most) {
      return std::clamp<int64_t>(v < 0 ? std::max<int64_t>(v, -length - 1) + length : v, least, most);
    };
    Wholes out;
    if (step > 0)
      for (int64_t i = bound((*starts)[0], 0, length); i < bound((*ends)[0], 0, length);
           i += std::min(step, length + 1))
        out.push_back((*data)[static_cast<size_t>(i)]);
    else if (step < 0)
      for (int64_t i = bound((*starts)[0], -1, length - 1); i > bound((*ends)[0], -1, length - 1);
           i += std::max(step, -length - 1))
        out.push_back((*data)[static_cast<size_t>(i)]);
    return out;
  }

  std::optional<Wholes> concat() {
    Wholes out;
    bool any = false;
    for (int i = 0; i < n_.inputs(); i++) {
      if (auto part = of(i)) {
        out.insert(out.end(), part->begin(), part->end());
        any = true;
        continue;
      }
      Dims length;
      if (!spelling::fixed_sizes(n_[i], length) || length.size() != 1 || length[0] > 8) return {};
      for (int64_t k = 0; k < length[0]; k++) out.push_back(whole_element(n_, i, k));
    }
    if (!any) return {};
    return out;
  }

  bool split() {
    const auto data = of(0);
    if (!data || spelling::rank(n_[0]) != 1) return false;
    size_t at = 0;
    for (size_t i = 0; i < n_.outputs.size(); i++) {
      Dims length;
      if (!n_.outputs[i] || !spelling::fixed_sizes(n_.outputs[i], length) || length.size() != 1) return false;
      const size_t end = at + static_cast<size_t>(length[0]);
      if (end > data->size()) return false;
      Wholes part;
      for (; at < end; at++) part.push_back((*data)[at]);
      keep(static_cast<int>(i), part);
    }
    return true;
  }

  std::optional<Wholes> expand() {
    const auto data = of(0);
    const auto target = n_.known_ints(1);
    if (!data || !target || target->size() != 1 || data->size() != 1 || (*target)[0] < 0 ||
        (*target)[0] > static_cast<int64_t>(longest))
      return {};
    Wholes out;
    for (int64_t i = 0; i < std::max<int64_t>((*target)[0], 1); i++) out.push_back((*data)[0]);
    return out;
  }

  std::optional<Wholes> reduced(const char* by) {
    const auto data = of(0);
    if (!data || data->empty()) return {};
    Whole all = (*data)[0];
    for (size_t i = 1; i < data->size(); i++) all = arithmetic(n_, by, all, (*data)[i]);
    return Wholes{all};
  }

  static const Whole* element(const Wholes& all, size_t i, size_t length) {
    return all.size() == length ? &all[i] : all.size() == 1 ? all.data() : nullptr;
  }

  std::optional<Wholes> where() {
    const auto condition = of(0), a = of(1), b = of(2);
    if (!condition || !a || !b) return {};
    const size_t length = std::max({condition->size(), a->size(), b->size()});
    Wholes out;
    for (size_t i = 0; i < length; i++) {
      const Whole *c = element(*condition, i, length), *x = element(*a, i, length),
                  *y = element(*b, i, length);
      if (!c || !x || !y || !c->fixed()) return {};
      out.push_back(c->number ? *x : *y);
    }
    return out;
  }

  std::optional<Wholes> pointwise(std::string_view op) {
    const auto a = of(0), b = of(1);
    if (!a || !b) return {};
    const size_t length = std::max(a->size(), b->size());
    Wholes out;
    for (size_t i = 0; i < length; i++) {
      const Whole *x = element(*a, i, length), *y = element(*b, i, length);
      if (!x || !y) return {};
      auto result = one(op, *x, *y);
      if (!result) return {};
      out.push_back(*result);
    }
    return out;
  }

  std::optional<Whole> one(std::string_view op, const Whole& x, const Whole& y) {
    if (op == "Add") return arithmetic(n_, "add", x, y);
    if (op == "Sub") return arithmetic(n_, "sub", x, y);
    if (op == "Mul") return arithmetic(n_, "mul", x, y);
    if (op == "Min") return arithmetic(n_, "min", x, y);
    if (op == "Max") return arithmetic(n_, "max", x, y);
    // Rounding down and towards zero agree here.
    if ((op == "Div" || op == "Mod") && never_negative(x) && y.fixed() && y.number > 0)
      return arithmetic(n_, op == "Div" ? "floordiv" : "mod", x, y);
    if (op == "Equal") {
      if (x.fixed() && y.fixed()) return x.number == y.number;
      if ((x.fixed() && x.number < 0 && never_negative(y)) ||
          (y.fixed() && y.number < 0 && never_negative(x)))
        return 0;
    }
    if (x.fixed() && y.fixed()) {
      if (op == "Greater") return x.number > y.number;
      if (op == "Less") return x.number < y.number;
    }
    return {};
  }
};

}  // namespace

namespace {

enum class Rule : uint8_t { Broadcast, Same, Product, Matrix, Permuted, Joined, Equation };
struct RankRule {
  std::string_view op;
  Rule rule;
};
// What the standard says of types where inference stops at sizes that it does not know.
constexpr RankRule rank_rules[] = {
    {"Add", Rule::Broadcast},
    {"Sub", Rule::Broadcast},
    {"Mul", Rule::Broadcast},
    {"Div", Rule::Broadcast},
    {"Pow", Rule::Broadcast},
    {"Max", Rule::Broadcast},
    {"Min", Rule::Broadcast},
    {"Sum", Rule::Broadcast},
    {"MatMul", Rule::Product},
    {"Gemm", Rule::Matrix},
    {"Conv", Rule::Same},
    {"ConvTranspose", Rule::Same},
    {"MaxPool", Rule::Same},
    {"AveragePool", Rule::Same},
    {"GlobalAveragePool", Rule::Same},
    {"GlobalMaxPool", Rule::Same},
    {"BatchNormalization", Rule::Same},
    {"InstanceNormalization", Rule::Same},
    {"LayerNormalization", Rule::Same},
    {"GroupNormalization", Rule::Same},
    {"Softmax", Rule::Same},
    {"LogSoftmax", Rule::Same},
    {"Transpose", Rule::Permuted},
    {"Slice", Rule::Same},
    {"Pad", Rule::Same},
    {"Resize", Rule::Same},
    {"Upsample", Rule::Same},
    {"Tile", Rule::Same},
    {"Concat", Rule::Joined},
    {"Einsum", Rule::Equation},
    {"PRelu", Rule::Same},
    {"ReverseSequence", Rule::Same},
};

int promised_rank(NodeReader& n, Rule rule) {
  const int first = n.has(0) ? spelling::rank(n[0]) : -1;
  switch (rule) {
    case Rule::Same: return first;
    case Rule::Matrix: return 2;
    case Rule::Permuted: return n.ints("perm") ? static_cast<int>(n.ints("perm")->size()) : first;
    case Rule::Equation: {  // the letters behind the arrow
      const std::string_view equation = n.text("equation", "");
      const size_t arrow = equation.find("->");
      if (arrow == std::string_view::npos || equation.find('.') != std::string_view::npos) return -1;
      const std::string_view out = equation.substr(arrow + 2);
      return static_cast<int>(std::count_if(out.begin(), out.end(), [](char c) { return c != ' '; }));
    }
    case Rule::Product: {
      const int second = n.has(1) ? spelling::rank(n[1]) : -1;
      if (first < 1 || second < 1) return -1;
      return first == 1 || second == 1 ? std::max(first, second) - 1 - (first == second)
                                       : std::max(first, second);
    }
    case Rule::Broadcast:
    case Rule::Joined: {
      int most = 0;
      for (int i = 0; i < n.inputs(); i++) {
        const int rank = n.has(i) ? spelling::rank(n[i]) : -1;
        if (rule == Rule::Joined && rank >= 0) return rank;
        if (rank < 0) return -1;
        most = std::max(most, rank);
      }
      return rule == Rule::Joined ? -1 : most;
    }
  }
  return -1;
}

// Tensors that are joined have the same sizes in all other dimensions.
void promise_joined_sizes(NodeReader& n, Value* y) {
  const int rank = spelling::rank(y);
  int64_t axis = n.integer("axis", 1), sum = 0;
  axis = axis < 0 ? axis + rank : axis;
  if (axis < 0 || axis >= rank) return;
  for (int i = 0; i < n.inputs(); i++) {
    if (!n.has(i) || spelling::rank(n[i]) != rank) return;
    for (int d = 0; d < rank; d++) {
      const graph::Dim& part = n[i]->type.dims[static_cast<size_t>(d)];
      graph::Dim& whole = y->type.dims[static_cast<size_t>(d)];
      if (d == axis) sum = part.fixed() && sum >= 0 ? sum + part.size : -1;
      else if (part.fixed() && !whole.fixed()) whole = part;
    }
  }
  if (graph::Dim& joined = y->type.dims[static_cast<size_t>(axis)]; sum >= 0 && !joined.fixed())
    joined = graph::Dim{sum, {}};
}

}  // namespace

void promise_ranks(NodeReader& n) {
  Value* y = n.outputs.empty() ? nullptr : n.outputs[0];
  if (y && !y->constant() && spelling::has_rank(y) && n.node.domain.empty() && n.node.op == "Concat")
    return promise_joined_sizes(n, y);
  if (!y || y->constant() || (spelling::has_rank(y) && spelling::has_dtype(y)) || !n.node.domain.empty())
    return;
  const auto rule = std::find_if(std::begin(rank_rules), std::end(rank_rules),
                                 [&](const RankRule& r) { return r.op == n.node.op; });
  DType dtype;
  if (rule == std::end(rank_rules) || !n.has(0) || !spelling::has_dtype(n[0], &dtype)) return;
  const int rank = promised_rank(n, rule->rule);
  if (rank < 0) return;
  promise(y, dtype, rank);
  if (n.node.op == "Concat") return promise_joined_sizes(n, y);
  if (rule->rule != Rule::Product || spelling::rank(n[1]) < 2) return;
  const graph::Dim& columns = n[1]->type.dims.back();
  if (columns.fixed()) y->type.dims.back() = columns;
}

bool is_size(const Whole& w) { return never_negative(w); }

void follow_elements(NodeReader& n) { Follower(n).follow(); }

}  // namespace moka::onnx
