// Adapters of attention and of what stands around it in language models: rotary positions, caches, gated linear
// attention, causal convolutions.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/formats/onnx/running_internal.h"

namespace moka::onnx {

using graph::Value;
using spelling::named;

namespace {

constexpr double infinity = INFINITY;

// 0 where `allowed` holds, minus infinity elsewhere.
Value* as_bias(NodeReader& n, Value* allowed, DType dtype) {
  return n.call("where", {allowed, constant_number(n, 0, dtype), constant_number(n, -infinity, dtype)});
}

struct Attending {
  Value *q, *k, *v;
  DType dtype;
  bool flat;  // heads were joined in the inputs
};

// How far the first query lies behind the first key: a tensor that broadcasts over [batch, 1, queries, keys], or null.
Value* query_offset(NodeReader& n, Whole queries) {
  if (n.has(6)) {
    Value* lengths = n.call("to", {n[6], DType::I64});
    return spread(n, n.call("sub", {lengths, number_of(n, queries, DType::I64)}), {0}, 4);
  }
  if (n.has(4)) return number_of(n, size_of(n, n[4], 2), DType::I64);
  return nullptr;
}

// The sum of all that keeps queries from keys, or null.
Value* attention_bias(NodeReader& n, const Attending& a, bool causal) {
  const Whole queries = size_of(n, a.q, 2), keys = size_of(n, a.k, 2);
  const int64_t left = n.integer("left_window_size", -1), right = n.integer("right_window_size", -1);
  MOKA_CHECK_KIND(File, left >= -1 && right >= -1, "window sizes are -1 or not negative");
  Value* bias = nullptr;
  auto add = [&](Value* more) { bias = bias ? n.call("add", {bias, more}) : more; };
  if (n.has(3)) {
    Value* mask = n[3];
    const Whole has = size_of(n, mask, -1),
                missing = arithmetic(n, "max", arithmetic(n, "sub", keys, has), 0);
    const bool flags = dtype_of(mask, "the mask") == DType::Bool;
    if (!missing.fixed() || missing.number > 0) {
      const int rank = rank_of(mask, "the mask");
      Value* padded =
          n.call("pad_constant", {mask, list_of(n, {int64_t(0), missing}),
                                  flags ? spelling::Argument(false) : spelling::Argument(-infinity)});
      mask = promise(padded, dtype_of(mask, "the mask"), rank);
    }
    add(flags ? as_bias(n, mask, a.dtype) : cast_to(n, mask, a.dtype));
  }
  if (causal || left >= 0 || right >= 0) {
    Value* row = n.call("unsqueeze", {count_to(n, queries), int64_t(1)});
    if (Value* offset = query_offset(n, queries)) row = n.call("add", {row, offset});
    Value* ahead = n.call("sub", {count_to(n, keys), row});  // how far the key lies before the query
    Value* allowed = nullptr;
    auto both = [&](Value* more) { allowed = allowed ? n.call("logical_and", {allowed, more}) : more; };
    if (causal) both(n.call("le", {ahead, int64_t(0)}));
    if (left >= 0) both(n.call("ge", {ahead, -left}));
    if (right >= 0) both(n.call("le", {ahead, right}));
    add(as_bias(n, allowed, a.dtype));
  }
  if (n.has(6)) {
    Value* lengths = spread(n, n.call("to", {n[6], DType::I64}), {0}, 4);
    add(as_bias(n, n.call("lt", {count_to(n, keys), lengths}), a.dtype));
  }
  return bias;
}

// Rows in which no key may be seen give zeros, not 0 / 0.
Value* masked_softmax(NodeReader& n, Value* scores, Value* bias) {
  Value* p = n.call("softmax", {scores, int64_t(-1)});
  if (!bias) return p;
  Value* seen =
      n.call("gt", {n.call("amax", {bias, named("dim", Dims{-1}), named("keepdim", true)}), -infinity});
  return n.call("where", {seen, p, constant_number(n, 0, dtype_of(p, "the scores"))});
}

// The square root of the scale, by which queries and keys are multiplied.
Value* root_of_scale(NodeReader& n, Value* q, DType dtype) {
  if (n.attribute("scale")) return constant_number(n, std::sqrt(n.number("scale", 1)), dtype);
  const Whole size = size_of(n, q, -1);
  if (size.fixed()) return constant_number(n, std::sqrt(1 / std::sqrt(double(size.number))), dtype);
  return cast_to(n, n.call("pow", {number_of(n, size, DType::F64), -0.25}), dtype);
}

Whole times_heads(NodeReader& n, Value* q, Value* k) {
  const Whole queries = size_of(n, q, 1), keys = size_of(n, k, 1);
  MOKA_CHECK_KIND(File,
                  !queries.fixed() || !keys.fixed() || (keys.number > 0 && queries.number % keys.number == 0),
                  queries.number, " heads of queries are no multiple of ", keys.number, " heads of keys");
  return arithmetic(n, "floordiv", queries, keys);
}

bool attention(NodeReader& n) {
  Attending a{n[0], n[1], n[2], dtype_of(n[0], "the query"), rank_of(n[0], "the query") == 3};
  MOKA_CHECK_KIND(File, a.flat || rank_of(n[0], "the query") == 4, "the query must have 3 or 4 dimensions");
  for (int i : {1, 2})
    MOKA_CHECK_KIND(File, spelling::rank(n[i]) < 0 || spelling::rank(n[i]) == rank_of(n[0], "the query"),
                    "query, key and value must have the same number of dimensions");
  MOKA_CHECK_KIND(File, n.has(4) == n.has(5), "past_key and past_value must be given together");
  const bool causal = n.integer("is_causal", 0) != 0;
  const double cap = n.number("softcap", 0);
  DType precision = a.dtype;
  if (n.attribute("softmax_precision") &&
      !spelling::find_dtype_code(n.dialect, n.integer("softmax_precision", 1), precision))
    return n.declines("softmax_precision ", n.integer("softmax_precision", 1));
  if (a.flat) {
    const int64_t query_heads = n.integer("q_num_heads", 0), key_heads = n.integer("kv_num_heads", 0);
    MOKA_CHECK_KIND(File, query_heads > 0 && key_heads > 0 && query_heads % key_heads == 0, "q_num_heads ",
                    query_heads, " and kv_num_heads ", key_heads,
                    " must be positive and the second divide the first");
    a.q = split_heads(n, a.q, query_heads);
    a.k = split_heads(n, a.k, key_heads);
    a.v = split_heads(n, a.v, key_heads);
  }
  if (n.has(4)) {
    a.k = n.call("cat", {std::vector<Value*>{n[4], a.k}, int64_t(2)});
    a.v = n.call("cat", {std::vector<Value*>{n[5], a.v}, int64_t(2)});
  }
  n.out(a.k, 1);
  n.out(a.v, 2);
  const bool shifted = n.has(4) || n.has(6) || n.integer("left_window_size", -1) >= 0 ||
                       n.integer("right_window_size", -1) >= 0;
  const Whole times = times_heads(n, a.q, a.k);
  Value* y;
  if (!shifted && !n.has(3) && cap == 0 && !n.wants(3) && a.dtype != DType::F16 && precision == a.dtype) {
    // Nothing but what the operator does itself.
    spelling::Argument scale =
        n.attribute("scale") ? spelling::Argument(n.number("scale", 1)) : spelling::Argument(Any());
    y = n.call("attention", {a.q, a.k, a.v, Any(), causal, scale,
                             named("enable_gqa", !times.fixed() || times.number != 1)});
  } else {
    Value* bias = attention_bias(n, a, causal);
    Value *keys = repeat_heads(n, a.k, times), *values = repeat_heads(n, a.v, times);
    Value* root = root_of_scale(n, a.q, a.dtype);
    Value* scores = product(n, n.call("mul", {a.q, root}),
                            n.call("mul", {n.call("transpose", {keys, int64_t(-2), int64_t(-1)}), root}));
    const int64_t mode = n.integer("qk_matmul_output_mode", 0);
    Value* shown = scores;
    if (cap != 0) scores = n.call("mul", {n.call("tanh", {n.call("div", {scores, cap})}), cap});
    if (mode == 1) shown = scores;
    if (bias) scores = n.call("add", {scores, bias});
    if (mode == 2) shown = scores;
    Value* p = masked_softmax(n, cast_to(n, scores, precision), bias);
    if (mode == 3) shown = p;
    p = cast_to(n, p, a.dtype);
    y = product(n, p, values);
    n.out(cast_to(n, shown, a.dtype), 3);
  }
  n.out(a.flat ? join_heads(n, y) : y);
  return true;
}

// Pairs of elements turned by angles whose cosines and sines are given for positions.
bool rotary_embedding(NodeReader& n) {
  const int rank = rank_of(n[0], "the input");
  MOKA_CHECK_KIND(File, rank == 3 || rank == 4, "the input has ", rank, " dimensions, 3 or 4 were expected");
  Value* x = n[0];  // as [batch, length, heads, size]
  const Wholes sizes = sizes_of(n, x);
  if (rank == 4) {
    x = n.call("transpose", {x, int64_t(1), int64_t(2)});
  } else {
    const int64_t heads = n.integer("num_heads", 0);
    MOKA_CHECK_KIND(File, heads > 0, "num_heads must be given for an input with 3 dimensions");
    x = reshaped(n, x, {sizes[0], sizes[1], heads, arithmetic(n, "floordiv", sizes[2], heads)});
  }
  const Whole size = size_of(n, x, 3);
  Whole turned = n.integer("rotary_embedding_dim", 0);
  const bool all = turned.number == 0;
  if (all) turned = size;
  const Whole half = arithmetic(n, "floordiv", turned, 2);
  auto angles = [&](int i) {
    Value* v = n.has(3) ? n.call("embedding", {n[i], n.call("to", {n[3], DType::I64})}) : n[i];
    return n.call("unsqueeze", {v, int64_t(2)});
  };
  Value *cos = angles(1), *sin = angles(2);
  Value* head = all ? x : part_of(n, x, 3, 0, turned);
  const bool interleaved = n.integer("interleaved", 0) != 0;
  Value *first, *second;
  if (interleaved) {
    Value* pairs = reshaped(n, head, {size_of(n, x, 0), size_of(n, x, 1), size_of(n, x, 2), half, 2});
    first = n.call("select", {pairs, int64_t(4), int64_t(0)});
    second = n.call("select", {pairs, int64_t(4), int64_t(1)});
  } else {
    first = part_of(n, head, 3, 0, half);
    second = part_of(n, head, 3, half, half);
  }
  auto product = [&](Value* a, Value* b) { return n.call("mul", {a, b}); };
  Value* real = n.call("sub", {product(cos, first), product(sin, second)});
  Value* imaginary = n.call("add", {product(sin, first), product(cos, second)});
  Value* y;
  if (interleaved) {
    y = reshaped(n, n.call("stack", {std::vector<Value*>{real, imaginary}, int64_t(4)}),
                 {size_of(n, x, 0), size_of(n, x, 1), size_of(n, x, 2), turned});
  } else {
    y = n.call("cat", {std::vector<Value*>{real, imaginary}, int64_t(3)});
  }
  if (!all) {
    Value* rest = part_of(n, x, 3, turned, arithmetic(n, "sub", size, turned));
    y = n.call("cat", {std::vector<Value*>{y, rest}, int64_t(3)});
  }
  n.out(rank == 4 ? n.call("transpose", {y, int64_t(1), int64_t(2)}) : reshaped(n, y, sizes));
  return true;
}

// A state of [keys, values] for each head that every step decays, corrects and adds to, and queries read.
bool linear_attention(NodeReader& n) {
  const std::string_view rule = n.text("update_rule", "gated_delta");
  const bool gated = rule == "gated" || rule == "gated_delta",
             delta = rule == "delta" || rule == "gated_delta";
  MOKA_CHECK_KIND(File, gated || delta || rule == "linear", "update_rule '", rule, "' does not exist");
  MOKA_CHECK_KIND(File, gated == n.has(4), "update_rule '", rule, "' ", gated ? "needs" : "has no", " decay");
  MOKA_CHECK_KIND(File, delta == n.has(5), "update_rule '", rule, "' ", delta ? "needs" : "has no", " beta");
  const int64_t query_heads = n.integer("q_num_heads", 0), heads = n.integer("kv_num_heads", 0);
  MOKA_CHECK_KIND(File, query_heads > 0 && heads > 0 && query_heads % heads == 0,
                  "q_num_heads and kv_num_heads must be positive and the second divide the first");
  for (int i = 0; i < 3; i++)
    MOKA_CHECK_KIND(File, rank_of(n[i], "an input") == 3, "input ", i, " must have 3 dimensions");
  const DType dtype = dtype_of(n[0], "the query");
  auto wide = [&](Value* v) { return cast_to(n, v, DType::F32); };
  // Steps first: [length, batch, heads, size]
  auto steps = [&](Value* x, int64_t count) {
    const Whole last = arithmetic(n, "floordiv", size_of(n, x, 2), count);
    Value* v = reshaped(n, wide(x), {size_of(n, x, 0), size_of(n, x, 1), count, last});
    return n.call("transpose", {v, int64_t(0), int64_t(1)});
  };
  Value *q = steps(n[0], query_heads), *k = steps(n[1], heads), *v = steps(n[2], heads);
  const Whole length = size_of(n, q, 0), batch = size_of(n, q, 1), keys = size_of(n, k, 3),
              values = size_of(n, v, 3);
  Value *decay = gated ? steps(n[4], heads) : nullptr, *beta = nullptr;
  if (delta) {
    const Whole last = size_of(n, n[5], 2);
    if (!last.fixed()) return n.declines("the last size of beta is not known");
    beta = steps(n[5], last.number);
  }
  DType state_type = dtype;
  Value* state;
  if (n.has(3)) {
    state_type = dtype_of(n[3], "the past state");
    state = wide(n[3]);
  } else {
    state = promise(n.call("zeros", {list_of(n, {batch, heads, keys, values}), named("dtype", DType::F32)}),
                    DType::F32, {batch, heads, keys, values});
  }
  const double given = n.number("scale", 0);
  Value* scale = given != 0     ? constant_number(n, given, DType::F32)
                 : keys.fixed() ? constant_number(n, 1 / std::sqrt(double(keys.number)), DType::F32)
                                : n.call("rsqrt", {number_of(n, keys, DType::F32)});
  const std::vector<Value*> last =
      loop(n, length, {state, empty_list(n)},
           [&](Value* turn, std::span<Value* const> carried) -> std::vector<Value*> {
             auto at = [&](Value* x) {
               Value* y = n.call("select", {x, int64_t(0), turn});
               return promise(y, DType::F32, rank_of(x, "a step") - 1);
             };
             Value *s = carried[0], *key = at(k), *value = at(v);
             if (gated)
               s = n.call("mul", {s, n.call("unsqueeze", {n.call("exp", {at(decay)}), int64_t(-1)})});
             Value* column = n.call("unsqueeze", {key, int64_t(-1)});
             if (delta) {
               Value* found = n.call("sum", {n.call("mul", {s, column}), named("dim", Dims{-2})});
               value = n.call("mul", {at(beta), n.call("sub", {value, found})});
             }
             s = n.call("add", {s, n.call("mul", {column, n.call("unsqueeze", {value, int64_t(-2)})})});
             Value* read = repeat_heads(n, s, query_heads / heads);
             Value* y = product(n, n.call("unsqueeze", {at(q), int64_t(-2)}), read);
             Value* longer = n.builtin("append", {carried[1], n.call("squeeze.dim", {y, Dims{-2}})});
             longer->type = carried[1]->type;
             return {s, longer};
           });
  // [length, batch, heads, values] -> [batch, length, heads * values]
  Value* y =
      promise(n.call("stack", {last[1], int64_t(1)}), DType::F32, {batch, length, query_heads, values});
  y = n.call("mul", {reshaped(n, y, {batch, length, arithmetic(n, "mul", query_heads, values)}), scale});
  n.out(cast_to(n, y, dtype));
  n.out(cast_to(n, last[0], state_type), 1);
  return true;
}

bool causal_convolution(NodeReader& n) {
  MOKA_CHECK_KIND(File, rank_of(n[0], "the input") == 3 && rank_of(n[1], "the weight") == 3,
                  "input and weight must have 3 dimensions");
  const std::string_view activation = n.text("activation", "none");
  MOKA_CHECK_KIND(File, activation == "none" || activation == "silu" || activation == "swish", "activation '",
                  activation, "' does not exist");
  const Whole channels = size_of(n, n[1], 0), kernel = size_of(n, n[1], 2);
  if (!channels.fixed() || !kernel.fixed()) return n.declines("the weight's sizes are not known");
  const DType dtype = dtype_of(n[0], "the input");
  Value* x = n[0];
  if (n.has(3)) x = n.call("cat", {std::vector<Value*>{n[3], x}, int64_t(2)});
  else x = n.call("pad_constant", {x, Dims{kernel.number - 1, 0}, 0.0});
  Value* y = n.call("conv1d", {x, n[1], n.has(2) ? spelling::Argument(n[2]) : spelling::Argument(Any()),
                               named("groups", channels.number)});
  if (activation != "none") y = cast_to(n, n.call("silu", {cast_to(n, y, DType::F32)}), dtype);
  n.out(y);
  if (n.wants(1))
    n.out(part_of(n, x, 2, arithmetic(n, "sub", size_of(n, x, 2), kernel.number - 1), kernel.number - 1), 1);
  return true;
}

bool swiglu(NodeReader& n) {
  const double alpha = n.number("alpha", 1);
  Value* gate = n.call("sigmoid", {alpha == 1 ? n[0] : n.call("mul", {n[0], alpha})});
  n.out(n.call("mul", {n.call("mul", {n[0], gate}), n[1]}));
  return true;
}

// Writes `update` into the cache along one dimension, for each batch from a place of its own on.
bool tensor_scatter(NodeReader& n) {
  const int rank = rank_of(n[0], "the cache");
  int64_t axis = n.integer("axis", -2);
  if (axis < 0) axis += rank;
  MOKA_CHECK_KIND(File, axis > 0 && axis < rank, "axis is out of range");
  const std::string_view mode = n.text("mode", "linear");
  MOKA_CHECK_KIND(File, mode == "linear" || mode == "circular", "mode '", mode, "' does not exist");
  const Wholes sizes = sizes_of(n, n[1]);
  MOKA_CHECK_KIND(File, static_cast<int>(sizes.size()) == rank, "the update has ", sizes.size(),
                  " dimensions, the cache ", rank);
  const int a = static_cast<int>(axis);
  Value* place = spread(n, count_to(n, sizes[static_cast<size_t>(a)]), {a}, rank);
  if (n.has(2)) place = n.call("add", {place, spread(n, n.call("to", {n[2], DType::I64}), {0}, rank)});
  if (mode == "circular")
    place = n.call("remainder", {place, number_of(n, size_of(n, n[0], axis), DType::I64)});
  n.out(n.call("scatter", {n[0], axis, expanded_to(n, place, sizes), n[1]}));
  return true;
}

constexpr Adapter table[] = {
    {"Attention", 23, 0, attention},
    {"RotaryEmbedding", 23, 0, rotary_embedding},
    {"LinearAttention", 27, 0, linear_attention},
    {"CausalConvWithState", 27, 0, causal_convolution},
    {"SwiGLU", 28, 0, swiglu},
    {"TensorScatter", 24, 0, tensor_scatter},
};

}  // namespace

std::span<const Adapter> attention_adapters() { return table; }

}  // namespace moka::onnx
