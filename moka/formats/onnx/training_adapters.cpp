// Adapters of the optimizers of ai.onnx.preview.training: each takes a rate, a count of steps, and then all parameters,
// all gradients and the states of all parameters.
// SPDX-License-Identifier: Apache-2.0
#include "moka/formats/onnx/running_internal.h"

namespace moka::onnx {

using graph::Value;

namespace {

struct Steps {
  NodeReader& n;
  int count = 0;
  bool read(int states) {
    const int kinds = 2 + states;
    MOKA_CHECK_KIND(File, n.inputs() >= 2 && (n.inputs() - 2) % kinds == 0, n.inputs(),
                    " inputs; a rate, a count and ", kinds, " tensors for every parameter were expected");
    count = (n.inputs() - 2) / kinds;
    return true;
  }
  Value* at(int kind, int i) const { return n[2 + kind * count + i]; }
  // The gradient with what pulls the parameter to zero.
  Value* gradient(int i) const {
    const double pull = n.number("norm_coefficient", 0);
    return pull == 0 ? at(1, i) : n.call("add", {at(1, i), n.call("mul", {at(0, i), pull})});
  }
};

Value* mixed(NodeReader& n, Value* a, double x, Value* b, double y) {
  return n.call("add", {n.call("mul", {a, x}), n.call("mul", {b, y})});
}

Value* as_type_of(NodeReader& n, Value* v, Value* like) {
  return cast_to(n, v, dtype_of(like, "a parameter"));
}

bool adagrad(NodeReader& n) {
  Steps s{n};
  if (!s.read(1)) return false;
  Value* done = n.call("to", {n[1], dtype_of(n[0], "the rate")});
  Value* rate =
      n.call("div", {n[0], n.call("add", {n.call("mul", {done, n.number("decay_factor", 0)}), 1.0})});
  for (int i = 0; i < s.count; i++) {
    Value *g = s.gradient(i), *sum = n.call("add", {s.at(2, i), n.call("mul", {g, g})});
    Value* size = n.call("add", {n.call("sqrt", {sum}), n.number("epsilon", 0)});
    Value* step = n.call("div", {n.call("mul", {as_type_of(n, rate, g), g}), size});
    n.out(n.call("sub", {s.at(0, i), step}), i);
    n.out(sum, s.count + i);
  }
  return true;
}

bool adam(NodeReader& n) {
  Steps s{n};
  if (!s.read(2)) return false;
  const double alpha = n.number("alpha", 0.9), beta = n.number("beta", 0.999);
  const DType dtype = dtype_of(n[0], "the rate");
  Value* done = n.call("to", {n[1], DType::F64});
  auto left = [&](double factor) {  // 1 - factor ^ steps
    return n.call("sub", {constant_number(n, 1, DType::F64),
                          n.call("pow", {constant_number(n, factor, DType::F64), done})});
  };
  Value* wide = n.call("to", {n[0], DType::F64});
  Value* corrected = n.call("div", {n.call("mul", {wide, n.call("sqrt", {left(beta)})}), left(alpha)});
  Value* rate = n.call("to", {n.call("where", {n.call("gt", {n[1], int64_t(0)}), corrected, wide}), dtype});
  for (int i = 0; i < s.count; i++) {
    Value* g = s.gradient(i);
    Value *v = mixed(n, s.at(2, i), alpha, g, 1 - alpha),
          *h = mixed(n, s.at(3, i), beta, n.call("mul", {g, g}), 1 - beta);
    Value* size = n.call("add", {n.call("sqrt", {h}), n.number("epsilon", 1e-6)});
    Value* x = n.call("sub", {s.at(0, i), n.call("div", {n.call("mul", {as_type_of(n, rate, g), v}), size})});
    const double after = n.number("norm_coefficient_post", 0);
    n.out(after == 0 ? x : n.call("mul", {x, 1 - after}), i);
    n.out(v, s.count + i);
    n.out(h, 2 * s.count + i);
  }
  return true;
}

bool momentum(NodeReader& n) {
  Steps s{n};
  if (!s.read(1)) return false;
  const double alpha = n.number("alpha", 0), beta = n.number("beta", 0);
  const std::string_view mode = n.text("mode", "standard");
  MOKA_CHECK_KIND(File, mode == "standard" || mode == "nesterov", "mode '", mode, "' does not exist");
  Value* first = n.call("eq", {n[1], int64_t(0)});
  for (int i = 0; i < s.count; i++) {
    Value* g = s.gradient(i);
    const DType dtype = dtype_of(g, "a gradient");
    Value* share = n.call("where", {first, constant_number(n, 1, dtype), constant_number(n, beta, dtype)});
    Value* v = n.call("add", {n.call("mul", {s.at(2, i), alpha}), n.call("mul", {g, share})});
    Value* step = mode == "standard" ? v : n.call("add", {g, n.call("mul", {v, alpha})});
    n.out(n.call("sub", {s.at(0, i), n.call("mul", {step, as_type_of(n, n[0], g)})}), i);
    n.out(v, s.count + i);
  }
  return true;
}

constexpr std::string_view training = "ai.onnx.preview.training";
constexpr Adapter table[] = {
    {"Adagrad", 1, 0, adagrad, training},
    {"Adam", 1, 0, adam, training},
    {"Momentum", 1, 0, momentum, training},
};

}  // namespace

std::span<const Adapter> training_adapters() { return table; }

}  // namespace moka::onnx
