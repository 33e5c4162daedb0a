// LSTM, GRU and RNN: the usual forms as one operator for each direction, all others as a loop over the steps.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/formats/onnx/running_internal.h"

namespace moka::onnx {

using graph::Value;
using spelling::named;

namespace {

enum class Kind { Lstm, Gru, Rnn };

// A function of the gates with its numbers.
struct Activation {
  std::string name;
  double alpha = 0, beta = 0;
};

// Rows of ONNX's gates in our order.
Value* reordered(NodeReader& n, Value* v, std::initializer_list<int> order, int64_t hidden) {
  std::vector<Value*> parts;
  for (int gate : order) parts.push_back(n.call("narrow", {v, int64_t(0), gate * hidden, hidden}));
  return parts.size() == 1 ? parts[0] : n.call("cat", {parts, int64_t(0)});
}

class Recurrent {
 public:
  Recurrent(NodeReader& n, Kind kind) : n_(n), kind_(kind), steps_(0), batch_(0) {}

  bool run() {
    Dims r;
    if (!spelling::fixed_sizes(n_[2], r) || r.size() != 3) return n_.declines("the sizes of R are not known");
    const std::string_view direction = n_.text("direction", "forward");
    MOKA_CHECK_KIND(File, direction == "forward" || direction == "reverse" || direction == "bidirectional",
                    "direction '", direction, "' does not exist");
    hidden_ = r[2];
    directions_ = direction == "bidirectional" ? 2 : 1;
    gates_ = kind_ == Kind::Lstm ? 4 : kind_ == Kind::Gru ? 3 : 1;
    MOKA_CHECK_KIND(File, r[0] == directions_ && r[1] == gates_ * hidden_ && hidden_ > 0, "R has sizes ",
                    std::span<const int64_t>(r), " for ", directions_, " directions");
    MOKA_CHECK_KIND(File, rank_of(n_[0], "the input") == 3, "the input must have 3 dimensions");
    MOKA_CHECK_KIND(File, !n_.has(7) || kind_ == Kind::Lstm, "there is an input too many");
    dtype_ = dtype_of(n_[0], "the input");
    batch_first_ = n_.integer("layout", 0) != 0;
    x_ = batch_first_ ? n_.call("transpose", {n_[0], int64_t(0), int64_t(1)}) : n_[0];
    steps_ = size_of(n_, x_, 0);
    batch_ = size_of(n_, x_, 1);
    read_activations();
    std::vector<Value*> outs, lasts, cells;
    for (int64_t d = 0; d < directions_; d++) {
      const bool reverse = direction == "reverse" || d == 1;
      const Results result = is_usual() ? whole(d, reverse) : by_steps(d, reverse);
      outs.push_back(result.all);
      lasts.push_back(result.last);
      if (result.cell) cells.push_back(result.cell);
    }
    const int64_t side = batch_first_ ? 1 : 0;
    Value* y = n_.call("stack", {outs, int64_t(1)});  // [steps, directions, batch, hidden]
    n_.out(batch_first_ ? n_.call("permute", {y, Dims{2, 0, 1, 3}}) : y);
    n_.out(n_.call("stack", {lasts, side}), 1);
    if (kind_ == Kind::Lstm) n_.out(n_.call("stack", {cells, side}), 2);
    return true;
  }

 private:
  struct Results {
    Value *all, *last, *cell = nullptr;
  };

  void read_activations() {
    const size_t each = kind_ == Kind::Lstm ? 3 : kind_ == Kind::Gru ? 2 : 1;
    std::vector<std::string> names;
    if (const Any* given = n_.attribute("activations"))
      for (const Any& name : given->list()) names.emplace_back(name.string());
    if (names.empty())
      for (int64_t d = 0; d < directions_; d++)
        for (size_t i = 0; i < each; i++) names.push_back(i == 0 && kind_ != Kind::Rnn ? "Sigmoid" : "Tanh");
    MOKA_CHECK_KIND(File, names.size() == each * static_cast<size_t>(directions_), names.size(),
                    " activations, ", each, " for each direction were expected");
    auto numbers = [&](const char* name) {
      std::vector<double> out;
      if (const Any* a = n_.attribute(name))
        for (double v : a->arg().as_floats()) out.push_back(v);
      return out;
    };
    const std::vector<double> alphas = numbers("activation_alpha"), betas = numbers("activation_beta");
    size_t alpha = 0, beta = 0;
    for (const std::string& text : names) {
      std::string name;
      for (char c : text) name += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
      struct Default {
        std::string_view name;
        double alpha, beta;
        bool has_alpha, has_beta;
      };
      constexpr Default defaults[] = {
          {"relu", 0, 0, false, false},        {"tanh", 0, 0, false, false},
          {"sigmoid", 0, 0, false, false},     {"affine", 1, 0, true, true},
          {"leakyrelu", 0.01, 0, true, false}, {"thresholdedrelu", 1, 0, true, false},
          {"scaledtanh", 1, 1, true, true},    {"hardsigmoid", 0.2, 0.5, true, true},
          {"elu", 1, 0, true, false},          {"softsign", 0, 0, false, false},
          {"softplus", 0, 0, false, false},
      };
      const Default* found = nullptr;
      for (const Default& d : defaults)
        if (d.name == name) found = &d;
      MOKA_CHECK_KIND(File, found, "activation '", text, "' does not exist");
      Activation a{name, found->alpha, found->beta};
      if (found->has_alpha && alpha < alphas.size()) a.alpha = alphas[alpha++];
      if (found->has_beta && beta < betas.size()) a.beta = betas[beta++];
      activations_.push_back(a);
    }
  }

  Value* activate(const Activation& a, Value* x) {
    if (a.name == "affine") return n_.call("add", {n_.call("mul", {x, a.alpha}), a.beta});
    if (a.name == "leakyrelu") return n_.call("leaky_relu", {x, a.alpha});
    if (a.name == "thresholdedrelu")
      return n_.call("where", {n_.call("ge", {x, a.alpha}), x, constant_number(n_, 0, dtype_)});
    if (a.name == "scaledtanh")
      return n_.call("mul", {n_.call("tanh", {n_.call("mul", {x, a.beta})}), a.alpha});
    if (a.name == "hardsigmoid")
      return n_.call("clamp", {n_.call("add", {n_.call("mul", {x, a.alpha}), a.beta}), 0.0, 1.0});
    if (a.name == "elu") return n_.call("elu", {x, a.alpha});
    return n_.call(a.name, {x});
  }

  // What the operator has: its own activations, no clipping.
  bool is_usual() {
    if (n_.has(7) || n_.number("clip", 0) != 0 || n_.integer("input_forget", 0) != 0) return false;
    if (kind_ == Kind::Gru && n_.integer("linear_before_reset", 0) == 0) return false;
    if (dtype_ != DType::F32 && dtype_ != DType::F64) return false;
    if ((steps_.fixed() && steps_.number == 0) || (batch_.fixed() && batch_.number == 0)) return false;
    const std::string& first = activations_[0].name;
    mode_ = kind_ == Kind::Lstm ? "lstm" : kind_ == Kind::Gru ? "gru" : first == "relu" ? "relu" : "tanh";
    const size_t each = kind_ == Kind::Lstm ? 3 : kind_ == Kind::Gru ? 2 : 1;
    for (size_t i = 0; i < activations_.size(); i++) {
      const std::string_view wanted = kind_ == Kind::Rnn ? mode_ : i % each == 0 ? "sigmoid" : "tanh";
      if (activations_[i].name != wanted) return false;
    }
    return true;
  }

  Value* part(int input, int64_t d) { return n_.call("select", {n_[input], int64_t(0), d}); }
  Value* zeros() {
    return promise(n_.call("zeros", {list_of(n_, {batch_, hidden_}), named("dtype", dtype_)}), dtype_,
                   {batch_, hidden_});
  }
  // The state before the first step: [batch, hidden].
  Value* start(int input, int64_t d) {
    if (!n_.has(input)) return zeros();
    return batch_first_ ? n_.call("select", {n_[input], int64_t(1), d}) : part(input, d);
  }

  // Sequences of different lengths, packed step by step, the longest first.
  struct Packing {
    Value *order, *back;  // of the sequences, and the way back
    Value* empty;  // [batch]: sequences without any step, which run one that nobody sees
    Value* step_sizes;
  };
  Packing pack() {
    Value* lengths = promise(n_.call("to", {n_[4], DType::I64}), DType::I64, {batch_});
    Value* sorted[2];
    const spelling::Argument arguments[] = {n_.call("clamp_min", {lengths, int64_t(1)}), int64_t(-1), true,
                                            true};
    const std::vector<Value*> both = n_.build.call_all("sort", arguments);
    for (size_t i = 0; i < 2; i++) sorted[i] = promise(both[i], DType::I64, {batch_});
    Value* back = promise(n_.call("argsort", {sorted[1]}), DType::I64, {batch_});
    return {sorted[1], back, n_.call("le", {lengths, int64_t(0)}),
            promise(n_.call("packed_step_sizes", {sorted[0]}), DType::I64, 1)};
  }
  // The states behind sequences without any step are zeros, as onnxruntime has it; the standard does not say.
  Value* without_empty(Value* empty, Value* states) {
    return n_.call("where", {empty, constant_number(n_, 0, dtype_), states});
  }
  Value* in_order(const Packing& p, Value* v) { return n_.call("index_select", {v, int64_t(0), p.order}); }

  Results unequal(const std::vector<spelling::Argument>& linear, std::vector<spelling::Argument> layer,
                  int64_t d, bool reverse, int64_t width) {
    const Packing p = pack();
    const Whole features = size_of(n_, x_, 2);
    Value* padded = reshaped(n_, n_.call("index_select", {x_, int64_t(1), p.order}),
                             {arithmetic(n_, "mul", steps_, batch_), features});
    Value* rows =
        promise(n_.call("packed_rows", {p.step_sizes, steps_.argument(), batch_.argument()}), DType::I64, 1);
    Value* packed =
        promise(n_.call("index_select", {padded, int64_t(0), rows}), dtype_, Wholes{Whole(-1), features});
    layer[0] = n_.call("linear", {packed, linear[0], linear[1]});
    layer[1] = in_order(p, start(5, d));
    if (kind_ == Kind::Lstm) layer[2] = in_order(p, start(6, d));
    layer.insert(layer.end(), {Dims{}, mode_, reverse, p.step_sizes});
    Value* states = promise(n_.build.call_all("rnn_layer", layer)[0], dtype_, Wholes{Whole(-1), width});
    // In reverse the state behind a sequence is that of its first step.
    Value* last =
        reverse ? part_of(n_, states, 0, 0, batch_)
                : n_.call("index_select", {states, int64_t(0), n_.call("packed_last_rows", {p.step_sizes})});
    last = promise(n_.call("index_select", {last, int64_t(0), p.back}), dtype_, {batch_, width});
    auto behind = [&](int64_t first) {
      return without_empty(n_.call("unsqueeze", {p.empty, int64_t(1)}), part_of(n_, last, 1, first, hidden_));
    };
    // Places behind the end of a sequence show a row of zeros.
    Value* places = n_.call("packed_places", {p.step_sizes, steps_.argument()});
    places = n_.call("index_select", {promise(places, DType::I64, {steps_, batch_}), int64_t(1), p.back});
    places = n_.call("where", {p.empty, number_of(n_, size_of(n_, states, 0), DType::I64), places});
    Value* shown = part_of(n_, states, 1, 0, hidden_);
    Value* zeros = n_.call("zeros", {Dims{1, hidden_}, named("dtype", dtype_)});
    Value* all =
        n_.call("embedding", {n_.call("cat", {std::vector<Value*>{shown, zeros}, int64_t(0)}), places});
    Results out{promise(all, dtype_, {steps_, batch_, hidden_}), behind(0)};
    if (kind_ == Kind::Lstm) out.cell = behind(hidden_);
    return out;
  }

  Results whole(int64_t d, bool reverse) {
    auto ordered = [&](Value* v) {
      if (kind_ == Kind::Lstm) return reordered(n_, v, {0, 2, 3, 1}, hidden_);  // i, o, f, c
      if (kind_ == Kind::Gru) return reordered(n_, v, {1, 0, 2}, hidden_);  // z, r, h
      return v;
    };
    spelling::Argument input_bias{Any()}, state_bias{Any()};
    if (n_.has(3)) {
      Value *both = part(3, d), *first = n_.call("narrow", {both, int64_t(0), int64_t(0), gates_ * hidden_}),
            *second = n_.call("narrow", {both, int64_t(0), gates_ * hidden_, gates_ * hidden_});
      input_bias = spelling::Argument(ordered(first));
      state_bias = spelling::Argument(ordered(second));
    }
    const int64_t width = kind_ == Kind::Lstm ? 2 * hidden_ : hidden_;
    if (n_.has(4))
      return unequal({ordered(part(1, d)), input_bias},
                     {Any(), Any(), Any(), ordered(part(2, d)), state_bias, Any()}, d, reverse, width);
    const Whole rows = arithmetic(n_, "mul", steps_, batch_), features = size_of(n_, x_, 2);
    Value* flat = reshaped(n_, x_, {rows, features});
    spelling::Argument c0 = kind_ == Kind::Lstm ? spelling::Argument(start(6, d)) : spelling::Argument(Any());
    spelling::Argument sizes =
        steps_.fixed() && batch_.fixed()
            ? spelling::Argument(Dims(static_cast<size_t>(steps_.number), batch_.number))
            : spelling::Argument(n_.builtin(
                  "ints",
                  {n_.call("full", {list_of(n_, {steps_}), batch_.argument(), named("dtype", DType::I64)})}));
    Value* states = n_.call(
        "rnn_layer", {n_.call("linear", {flat, ordered(part(1, d)), input_bias}), start(5, d), c0,
                      ordered(part(2, d)), state_bias, Any(), sizes, mode_, named("reverse", reverse)});
    promise(states, dtype_, {rows, width});
    const Whole at = reverse ? Whole(0) : arithmetic(n_, "mul", arithmetic(n_, "sub", steps_, 1), batch_);
    Value* last = part_of(n_, states, 0, at, batch_);
    auto columns = [&](Value* v, int64_t first) { return part_of(n_, v, 1, first, hidden_); };
    Results out{reshaped(n_, columns(states, 0), {steps_, batch_, hidden_}), columns(last, 0)};
    if (kind_ == Kind::Lstm) out.cell = columns(last, hidden_);
    return out;
  }

  // Steps of each sequence backwards; what lies behind its end stays.
  Value* backwards(Value* v) {
    if (!n_.has(4)) return n_.call("flip", {v, Dims{0}});
    Value* step = spread(n_, count_to(n_, steps_), {0}, 3);
    Value* length = spread(n_, n_.call("to", {n_[4], DType::I64}), {1}, 3);
    Value* turned = n_.call("sub", {n_.call("sub", {length, int64_t(1)}), step});
    Value* from = n_.call("where", {n_.call("lt", {step, length}), turned, step});
    return n_.call("gather", {v, int64_t(0), expanded_to(n_, from, sizes_of(n_, v))});
  }

  Results by_steps(int64_t d, bool reverse) {
    const int64_t h = hidden_;
    const size_t each = activations_.size() / static_cast<size_t>(directions_);
    const Activation* act = &activations_[each * static_cast<size_t>(d)];
    const double clip = n_.number("clip", 0);
    auto call = [&](const char* op, Value* a, spelling::Argument b) { return n_.call(op, {a, b}); };
    auto limited = [&](Value* v) { return clip > 0 ? n_.call("clamp", {v, -clip, clip}) : v; };
    auto gate = [&](Value* v, int64_t k) { return n_.call("narrow", {v, int64_t(-1), k * h, h}); };
    // The biases of input and state are one, but for the reset of a GRU that comes after the product.
    const bool late = kind_ == Kind::Gru && n_.integer("linear_before_reset", 0) != 0;
    Value* x = reverse ? backwards(x_) : x_;
    x = n_.call("matmul", {x, n_.call("transpose", {part(1, d), int64_t(0), int64_t(1)})});
    Value *weight = n_.call("transpose", {part(2, d), int64_t(0), int64_t(1)}), *late_bias = nullptr;
    if (n_.has(3)) {
      Value *both = part(3, d), *first = n_.call("narrow", {both, int64_t(0), int64_t(0), gates_ * h}),
            *second = n_.call("narrow", {both, int64_t(0), gates_ * h, gates_ * h});
      x = call("add", x, first);
      if (late) {
        late_bias = gate(second, 2);
        second =
            n_.call("cat", {std::vector<Value*>{n_.call("narrow", {second, int64_t(0), int64_t(0), 2 * h}),
                                                n_.call("zeros_like", {late_bias})},
                            int64_t(0)});
      }
      x = call("add", x, second);
    }
    Value* peep = n_.has(7) ? part(7, d) : nullptr;
    Value* lengths = n_.has(4) ? spread(n_, n_.call("to", {n_[4], DType::I64}), {0}, 2) : nullptr;
    std::vector<Value*> carried{start(5, d)};
    if (kind_ == Kind::Lstm) carried.push_back(start(6, d));
    for (Value* v : carried) promise(v, dtype_, 2);
    carried.push_back(empty_list(n_));
    const Whole width(gates_ * h);
    const std::vector<Value*> last = loop(n_, steps_, carried, [&](Value* turn, std::span<Value* const> now) {
      Value *hidden = now[0], *next = nullptr, *cell = nullptr;
      Value* in = promise(n_.call("select", {x, int64_t(0), turn}), dtype_, Wholes{batch_, width});
      if (kind_ == Kind::Gru) {
        Value* first = n_.call("narrow", {weight, int64_t(1), int64_t(0), 2 * h});
        Value* last_gate = gate(weight, 2);
        Value* zr = call("add", n_.call("narrow", {in, int64_t(1), int64_t(0), 2 * h}),
                         call("matmul", hidden, first));
        Value *z = activate(act[0], limited(gate(zr, 0))), *r = activate(act[0], limited(gate(zr, 1)));
        Value* back;
        if (late) {
          back = call("matmul", hidden, last_gate);
          if (late_bias) back = call("add", back, late_bias);
          back = call("mul", r, back);
        } else {
          back = call("matmul", call("mul", r, hidden), last_gate);
        }
        Value* fresh = activate(act[1], limited(call("add", gate(in, 2), back)));
        next = call("add", fresh, call("mul", z, call("sub", hidden, fresh)));
      } else if (kind_ == Kind::Lstm) {
        Value *all = call("add", in, call("matmul", hidden, weight)), *before = now[1];
        auto seen = [&](int64_t k, int64_t place, Value* c) {
          Value* v = gate(all, k);
          if (peep) v = call("add", v, call("mul", n_.call("narrow", {peep, int64_t(0), place * h, h}), c));
          return limited(v);
        };
        Value* i = activate(act[0], seen(0, 0, before));
        Value* f = n_.integer("input_forget", 0) != 0 ? n_.call("sub", {1.0, i})
                                                      : activate(act[0], seen(2, 2, before));
        Value* c = activate(act[1], limited(gate(all, 3)));
        cell = call("add", call("mul", f, before), call("mul", i, c));
        next = call("mul", activate(act[0], seen(1, 1, cell)), activate(act[2], cell));
      } else {
        next = activate(act[0], limited(call("add", in, call("matmul", hidden, weight))));
      }
      Value* shown = next;
      if (lengths) {
        Value* alive = call("gt", lengths, turn_tensor(turn));
        shown = n_.call("where", {alive, next, constant_number(n_, 0, dtype_)});
        next = n_.call("where", {alive, next, hidden});
        if (cell) cell = n_.call("where", {alive, cell, now[1]});
      }
      std::vector<Value*> out{next};
      if (cell) out.push_back(cell);
      Value* list = n_.builtin("append", {now.back(), shown});
      list->type = now.back()->type;
      out.push_back(list);
      return out;
    });
    Value* all = promise(n_.call("stack", {last.back(), int64_t(0)}), dtype_, {steps_, batch_, h});
    if (reverse) all = backwards(all);
    auto behind = [&](Value* v) {
      return lengths ? without_empty(n_.call("le", {lengths, int64_t(0)}), v) : v;
    };
    Results out{all, behind(last[0])};
    if (kind_ == Kind::Lstm) out.cell = behind(last[1]);
    return out;
  }

  Value* turn_tensor(Value* turn) { return n_.builtin("tensor", {turn, n_.build.constant(Any(DType::I64))}); }

  NodeReader& n_;
  Kind kind_;
  Whole steps_, batch_;
  Value* x_ = nullptr;
  int64_t hidden_ = 0, directions_ = 1, gates_ = 1;
  DType dtype_ = DType::F32;
  bool batch_first_ = false;
  const char* mode_ = "";
  std::vector<Activation> activations_;
};

template <Kind kind>
bool recurrent(NodeReader& n) {
  return Recurrent(n, kind).run();
}

constexpr Adapter table[] = {
    {"LSTM", 7, 0, recurrent<Kind::Lstm>},
    {"GRU", 7, 0, recurrent<Kind::Gru>},
    {"RNN", 7, 0, recurrent<Kind::Rnn>},
};

}  // namespace

std::span<const Adapter> recurrent_adapters() { return table; }

}  // namespace moka::onnx
