// Attention as onnxruntime's domain has it: packed projections, many kinds of masks, caches.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "moka/formats/onnx/microsoft_internal.h"

namespace moka::onnx {

using graph::Value;
using spelling::Attribute;
using spelling::named;

namespace {

Value* plus(NodeReader& n, Value* a, Value* b) { return !a ? b : !b ? a : n.call("add", {a, b}); }

// `filter` where `shown` does not hold.
Value* as_bias(NodeReader& n, Value* shown, double filter, DType dtype) {
  return n.call("where", {shown, constant_number(n, 0, dtype), constant_number(n, filter, dtype)});
}

// What a mask adds to the scores [batch, heads, queries, keys]: numbers of shown keys, their ends and beginnings, or flags
// of two, three or four dimensions.
Value* mask_bias(NodeReader& n, Value* mask, Whole batch, Whole queries, Whole keys, double filter,
                 DType dtype) {
  const int rank = rank_of(mask, "the mask");
  if (rank == 1) {
    // Ends of all rows, then perhaps their beginnings: zeros stand behind for those that are not given.
    Value* none =
        promise(n.call("zeros", {list_of(n, {batch}), named("dtype", DType::I64)}), DType::I64, {batch});
    Value* all = n.call("cat", {std::vector<Value*>{n.call("to", {mask, DType::I64}), none}, int64_t(0)});
    all = promise(all, DType::I64, 1);
    Value* places = count_to(n, keys);
    auto column = [&](Whole start) { return spread(n, part_of(n, all, 0, start, batch), {0}, 4); };
    Value* shown =
        n.call("logical_and", {n.call("lt", {places, column(0)}), n.call("ge", {places, column(batch)})});
    return as_bias(n, shown, filter, dtype);
  }
  Value* flags = mask;
  if (rank == 2) flags = spread(n, mask, {0, 3}, 4);
  else if (rank == 3) flags = spread(n, mask, {0, 2, 3}, 4);
  else {  // the largest length twice: rows up to the keys' end, columns from the first
    const Whole before = arithmetic(n, "sub", keys, queries);
    flags = part_of(n, part_of(n, mask, 2, before, queries), 3, 0, keys);
  }
  return as_bias(n, n.call("gt", {flags, int64_t(0)}), filter, dtype);
}

// Keys after a query's own place are hidden; queries are the last of the keys.
Value* causal_bias(NodeReader& n, Whole queries, Whole keys, DType dtype) {
  Value* row = n.call("unsqueeze", {count_to(n, queries), int64_t(1)});
  row = n.call("add", {row, number_of(n, arithmetic(n, "sub", keys, queries), DType::I64)});
  return as_bias(n, n.call("le", {count_to(n, keys), row}), -std::numeric_limits<float>::max() / 4, dtype);
}

struct Heads {
  Value *q, *k, *v;  // [batch, heads, length, size]
  Value* bias = nullptr;
};

spelling::Argument scale_of(NodeReader& n) {
  const double given = n.number("scale", 0);
  return given != 0 ? spelling::Argument(given) : spelling::Argument(Any());
}
Value* attended(NodeReader& n, const Heads& h) {
  spelling::Argument bias = h.bias ? spelling::Argument(h.bias) : spelling::Argument(Any());
  return n.call("attention", {h.q, h.k, h.v, bias, false, scale_of(n)});
}

bool attention(NodeReader& n) {
  if (n.integer("do_rotary", 0) != 0) return n.declines("do_rotary");
  if (n.integer("past_present_share_buffer", 0) != 0)
    return n.declines("a cache that past and present share");
  Value* y = product(n, n[0], n[1]);
  if (n.has(2)) y = n.call("add", {y, n[2]});
  return attend_packed(n, y, 3, 4, 5);
}

bool multi_head_attention(NodeReader& n) {
  const int64_t heads = n.integer("num_heads", 0);
  MOKA_CHECK_KIND(File, heads > 0, "num_heads ", heads, " must be positive");
  if (n.has(8) || n.has(9)) return n.declines("caches of beams");
  const DType dtype = dtype_of(n[0], "the query");
  Value *q = n[0], *k = n.maybe(1), *v = n.maybe(2);
  Value* bias[3] = {};
  if (n.has(3)) {
    const Whole all = size_of(n, n[3], 0);
    Whole hidden =
        rank_of(q, "the query") == 3 ? size_of(n, q, 2) : arithmetic(n, "mul", heads, size_of(n, q, 4));
    const Whole twice = arithmetic(n, "mul", hidden, 2);
    bias[0] = part_of(n, n[3], 0, 0, hidden);
    bias[1] = part_of(n, n[3], 0, hidden, hidden);
    bias[2] = part_of(n, n[3], 0, twice, arithmetic(n, "sub", all, twice));
  }
  // Heads that lie [batch, length, heads, parts, size].
  auto packed = [&](Value* x, int64_t part, Value* b) {
    Value* y = n.call("select", {x, int64_t(3), part});
    Value* flat = reshaped(
        n, y, {size_of(n, y, 0), size_of(n, y, 1), arithmetic(n, "mul", size_of(n, y, 2), size_of(n, y, 3))});
    return split_heads(n, plus(n, flat, b), heads);
  };
  Heads h{};
  if (!k) {
    MOKA_CHECK_KIND(File, rank_of(q, "the query") == 5,
                    "without a key the query must hold all three, with 5 dimensions");
    h.q = packed(q, 0, bias[0]);
    h.k = packed(q, 1, bias[1]);
    h.v = packed(q, 2, bias[2]);
  } else {
    h.q = split_heads(n, plus(n, q, bias[0]), heads);
    if (!v) {
      h.k = packed(k, 0, bias[1]);
      h.v = packed(k, 1, bias[2]);
    } else if (rank_of(k, "the key") == 4) {  // they were computed before
      h.k = k;
      h.v = v;
    } else {
      h.k = split_heads(n, plus(n, k, bias[1]), heads);
      h.v = split_heads(n, plus(n, v, bias[2]), heads);
    }
  }
  if (n.has(6)) {
    h.k = n.call("cat", {std::vector<Value*>{n[6], h.k}, int64_t(2)});
    h.v = n.call("cat", {std::vector<Value*>{n[7], h.v}, int64_t(2)});
  }
  n.out(h.k, 1);
  n.out(h.v, 2);
  const Whole queries = size_of(n, h.q, 2), keys = size_of(n, h.k, 2);
  if (n.has(4))
    h.bias =
        mask_bias(n, n[4], size_of(n, h.q, 0), queries, keys, n.number("mask_filter_value", -10000), dtype);
  if (n.has(5)) h.bias = plus(n, h.bias, n[5]);
  if (n.integer("unidirectional", 0) != 0) h.bias = plus(n, h.bias, causal_bias(n, queries, keys, dtype));
  if (n.wants(3) && n.node.outputs > 3) return n.declines("its output qk");
  n.out(join_heads(n, attended(n, h)));
  return true;
}

// The turned pairs of [batch, heads, length, size] by tables of angles, at places [batch, length].
Value* turned(NodeReader& n, Value* x, Value* cos, Value* sin, Value* places, bool interleaved) {
  const Whole half = size_of(n, cos, 1), size = size_of(n, x, 3);
  std::vector<Attribute> settings{{"interleaved", Any(int64_t(interleaved))}};
  if (const int64_t given = n.integer("rotary_embedding_dim", 0); given > 0)
    settings.push_back({"rotary_embedding_dim", Any(given)});
  else if (half.fixed() && !(size.fixed() && half.number * 2 == size.number))
    settings.push_back({"rotary_embedding_dim", Any(half.number * 2)});
  return onnx_node(n, "RotaryEmbedding", {x, cos, sin, places}, settings);
}

// One place for all rows is that of the first element.
bool rotary_embedding(NodeReader& n) {
  if (n.integer("is_packed_batching", 0) != 0) return n.declines("packed batches");
  Value* x = n[0];
  const int rank = rank_of(x, "the input");
  const Whole length = size_of(n, x, rank == 3 ? 1 : 2);
  Value* places = n.call("to", {n[1], DType::I64});
  if (rank_of(places, "the positions") == 1)
    places = expanded_to(n, n.call("unsqueeze", {n.call("add", {places, count_to(n, length)}), int64_t(0)}),
                         {size_of(n, x, 0), length});
  if (rank == 3) {
    int64_t heads = n.integer("num_heads", 0);
    Whole count = heads;
    if (heads == 0)
      count = arithmetic(n, "floordiv", size_of(n, x, 2), arithmetic(n, "mul", size_of(n, n[2], 1), 2));
    const Wholes sizes = sizes_of(n, x);
    Value* y = reshaped(n, x, {sizes[0], sizes[1], count, arithmetic(n, "floordiv", sizes[2], count)});
    y = turned(n, n.call("transpose", {y, int64_t(1), int64_t(2)}), n[2], n[3], places,
               n.integer("interleaved", 0) != 0);
    n.out(reshaped(n, n.call("transpose", {y, int64_t(1), int64_t(2)}), sizes));
    return true;
  }
  n.out(turned(n, x, n[2], n[3], places, n.integer("interleaved", 0) != 0));
  return true;
}

// Heads of queries share those of keys; a cache of a given capacity is written at each row's own end.
bool group_query_attention(NodeReader& n) {
  const int64_t heads = n.integer("num_heads", 0), groups = n.integer("kv_num_heads", 0);
  MOKA_CHECK_KIND(File, heads > 0 && groups > 0 && heads % groups == 0, "num_heads ", heads,
                  " and kv_num_heads ", groups, " must be positive and the second divide the first");
  if (n.has(12) || n.has(13) || n.has(14) || n.has(15))
    return n.declines("quantized caches or normalized heads");
  if (n.node.outputs > 3) return n.declines("its output qk");
  const DType dtype = dtype_of(n[0], "the query");
  Heads h{};
  if (n.has(1)) {
    h.q = split_heads(n, n[0], heads);
    h.k = split_heads(n, n[1], groups);
    h.v = split_heads(n, n[2], groups);
  } else {
    const Whole size = arithmetic(n, "floordiv", size_of(n, n[0], 2), heads + 2 * groups);
    const Whole first = arithmetic(n, "mul", size, heads), other = arithmetic(n, "mul", size, groups);
    h.q = split_heads(n, part_of(n, n[0], 2, 0, first), heads);
    h.k = split_heads(n, part_of(n, n[0], 2, first, other), groups);
    h.v = split_heads(n, part_of(n, n[0], 2, arithmetic(n, "add", first, other), other), groups);
  }
  const Whole batch = size_of(n, h.q, 0), length = size_of(n, h.q, 2);
  // How many keys each row has in all, and how many of them came before.
  Value* lengths = n.call("add", {n.call("to", {n[5], DType::I64}), int64_t(1)});
  lengths = reshaped(n, lengths, {batch});
  Value* before = n.call(
      "maximum", {n.call("sub", {lengths, number_of(n, length, DType::I64)}), number_of(n, 0, DType::I64)});
  before = promise(before, DType::I64, 1);
  if (n.integer("do_rotary", 0) != 0) {
    Value* places = n.has(9)
                        ? n.call("to", {n[9], DType::I64})
                        : n.call("add", {n.call("unsqueeze", {before, int64_t(1)}), count_to(n, length)});
    const bool interleaved = n.integer("rotary_interleaved", 0) != 0;
    h.q = turned(n, h.q, n[7], n[8], places, interleaved);
    h.k = turned(n, h.k, n[7], n[8], places, interleaved);
  }
  if (n.has(3)) {
    const Whole total = whole_input(n, 6), capacity = size_of(n, n[3], 2);
    const Whole more = arithmetic(n, "max", arithmetic(n, "sub", total, capacity), 0);
    auto cache = [&](Value* past, Value* present) {
      Value* room = past;
      if (!more.fixed() || more.number > 0) {
        room = n.call("pad_constant", {past, list_of(n, {int64_t(0), int64_t(0), int64_t(0), more}), 0.0});
        room = promise(room, dtype, 4);
      }
      Value* y = onnx_node(n, "TensorScatter", {room, present, before}, {{"axis", Any(int64_t(2))}});
      y = promise(y, dtype, 4);
      // What lies behind the last key of a row is zero.
      Value* used =
          n.call("lt", {spread(n, count_to(n, size_of(n, y, 2)), {2}, 4), spread(n, lengths, {0}, 4)});
      return n.call("where", {used, y, constant_number(n, 0, dtype)});
    };
    h.k = cache(n[3], h.k);
    h.v = cache(n[4], h.v);
  }
  n.out(h.k, 1);
  n.out(h.v, 2);
  const Whole keys = size_of(n, h.k, 2);
  // Places of queries among the keys: [batch, 1, queries, 1].
  Value* row = n.call("add", {n.call("unsqueeze", {before, int64_t(1)}), count_to(n, length)});
  row = spread(n, row, {0, 2}, 4);
  Value* place = count_to(n, keys);
  Value* shown = n.integer("causal", 1) != 0 ? n.call("le", {place, row})
                                             : n.call("lt", {place, spread(n, lengths, {0}, 4)});
  if (const int64_t window = n.integer("local_window_size", -1); window >= 0)
    shown = n.call("logical_and", {shown, n.call("gt", {place, n.call("sub", {row, window})})});
  h.bias =
      as_bias(n, shown, -std::numeric_limits<float>::max() / 4, dtype == DType::F16 ? DType::F32 : dtype);
  if (n.has(10)) h.bias = plus(n, h.bias, part_of(n, n[10], 3, 0, keys));
  const Whole times = heads / groups;
  h.k = repeat_heads(n, h.k, times);
  h.v = repeat_heads(n, h.v, times);
  const double cap = n.number("softcap", 0);
  const bool smooth = n.integer("smooth_softmax", -1) == 1;
  if (cap == 0 && !smooth && !n.has(11) && dtype != DType::F16) {
    n.out(join_heads(n, attended(n, h)));
    return true;
  }
  auto wide = [&](Value* v) { return dtype == DType::F16 ? n.call("to", {v, DType::F32}) : v; };
  const DType inner = dtype == DType::F16 ? DType::F32 : dtype;
  Value* scores = product(n, wide(h.q), n.call("transpose", {wide(h.k), int64_t(-2), int64_t(-1)}));
  if (const double scale = n.number("scale", 0); scale != 0) scores = n.call("mul", {scores, scale});
  else scores = n.call("mul", {scores, n.call("pow", {number_of(n, size_of(n, h.q, 3), inner), -0.5})});
  if (cap != 0) scores = n.call("mul", {n.call("tanh", {n.call("div", {scores, cap})}), cap});
  scores = n.call("add", {scores, h.bias});
  if (!smooth && !n.has(11)) {
    scores = n.call("softmax", {scores, int64_t(-1)});
  } else {  // one more place takes a share of each row and gives nothing
    Value* sink = n.has(11) ? spread(n, cast_to(n, n[11], inner), {1}, 4) : constant_number(n, 0, inner);
    sink = expanded_to(n, sink, {batch, heads, length, 1});
    scores = n.call("softmax", {n.call("cat", {std::vector<Value*>{scores, sink}, int64_t(3)}), int64_t(-1)});
    scores = part_of(n, scores, 3, 0, keys);
  }
  n.out(join_heads(n, cast_to(n, product(n, scores, wide(h.v)), dtype)));
  return true;
}

constexpr Adapter table[] = {
    {"Attention", 1, 0, attention, microsoft},
    {"MultiHeadAttention", 1, 0, multi_head_attention, microsoft},
    {"GroupQueryAttention", 1, 0, group_query_attention, microsoft},
    {"RotaryEmbedding", 1, 0, rotary_embedding, microsoft},
};

}  // namespace

bool attend_packed(NodeReader& n, Value* product, int mask, int past, int bias) {
  const int64_t heads = n.integer("num_heads", 0);
  MOKA_CHECK_KIND(File, heads > 0, "num_heads ", heads, " must be positive");
  const DType dtype = dtype_of(n[0], "the input") == DType::F16 ? DType::F16 : DType::F32;
  Wholes sizes;
  if (auto given = n.ints("qkv_hidden_sizes")) {
    MOKA_CHECK_KIND(File, given->size() == 3, "qkv_hidden_sizes must have three numbers");
    for (int64_t s : *given) sizes.push_back(s);
  } else {
    const Whole third = arithmetic(n, "floordiv", size_of(n, n[1], 1), 3);
    sizes = {third, third, third};
  }
  Heads h{};
  h.q = split_heads(n, part_of(n, product, 2, 0, sizes[0]), heads);
  h.k = split_heads(n, part_of(n, product, 2, sizes[0], sizes[1]), heads);
  h.v = split_heads(n, part_of(n, product, 2, arithmetic(n, "add", sizes[0], sizes[1]), sizes[2]), heads);
  if (n.has(past)) {
    auto before = [&](int64_t part) { return n.call("select", {n[past], int64_t(0), part}); };
    h.k = n.call("cat", {std::vector<Value*>{before(0), h.k}, int64_t(2)});
    h.v = n.call("cat", {std::vector<Value*>{before(1), h.v}, int64_t(2)});
  }
  if (n.wants(1)) n.out(n.call("stack", {std::vector<Value*>{h.k, h.v}, int64_t(0)}), 1);
  const Whole queries = size_of(n, h.q, 2), keys = size_of(n, h.k, 2);
  if (n.has(mask))
    h.bias = mask_bias(n, n[mask], size_of(n, h.q, 0), queries, keys, n.number("mask_filter_value", -10000),
                       dtype);
  if (bias >= 0 && n.has(bias)) h.bias = plus(n, h.bias, n[bias]);
  if (n.integer("unidirectional", 0) != 0) h.bias = plus(n, h.bias, causal_bias(n, queries, keys, dtype));
  n.out(join_heads(n, attended(n, h)));
  return true;
}

std::span<const Adapter> microsoft_attention_adapters() { return table; }

}  // namespace moka::onnx
