// Attention over queries, keys and values.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/attention/attention.h"

#include <algorithm>
#include <cmath>

#include "moka/ops/attention/gradients.h"
#include "moka/ops/attention/kernels.h"
#include "moka/ops/define.h"
#include "moka/ops/eager_body.h"
#include "moka/ops/kernels/arguments.h"

namespace moka::ops {

namespace {
// Arguments `first`..: query, key, value, attn_mask; `settings`..: is_causal, scale, enable_gqa.
AttentionShape attention_shape(const Frame& f, int first, int settings) {
  const Tensor &q = floating_argument(f, first), &k = floating_argument(f, first + 1),
               &v = floating_argument(f, first + 2);
  std::string_view op = f.name();
  check_same_dtype(f, first + 1, first);
  check_same_dtype(f, first + 2, first);
  MOKA_CHECK(q.dim() >= 2 && k.dim() == q.dim() && v.dim() == q.dim(), op,
             ": query, key and value must have the same number of dimensions, at least 2, got shapes ",
             q.sizes(), ", ", k.sizes(), " and ", v.sizes());
  MOKA_CHECK(k.size(-1) == q.size(-1) && v.size(-2) == k.size(-2), op, ": query ", q.sizes(), ", key ",
             k.sizes(), " and value ", v.sizes(),
             " do not fit: key needs query's last size and value as many rows as key");
  AttentionShape s;
  s.queries = q.size(-2);
  s.keys = k.size(-2);
  s.width = q.size(-1);
  s.value_width = v.size(-1);
  s.causal = f.flag(settings);
  s.scale = f.has(settings + 1) ? f.number(settings + 1) : s.width ? 1 / std::sqrt(double(s.width)) : 1;
  const bool grouped = f.flag(settings + 2);
  if (q.dim() >= 3) {
    s.heads = q.size(-3);
    s.key_heads = k.size(-3);
    MOKA_CHECK(v.size(-3) == s.key_heads &&
                   (grouped ? s.key_heads > 0 && s.heads % s.key_heads == 0 : s.heads == s.key_heads),
               op, ": query ", q.sizes(), ", key ", k.sizes(), " and value ", v.sizes(),
               " do not have the same number of heads", grouped ? ", nor one that key's divides" : "");
  }
  for (int d = 0; d + 3 < q.dim(); d++) {
    MOKA_CHECK(q.size(d) == k.size(d) && q.size(d) == v.size(d), op, ": the leading dimensions of query ",
               q.sizes(), ", key ", k.sizes(), " and value ", v.sizes(), " differ");
    s.batch = checked_mul(s.batch, q.size(d), "attention");
  }
  return s;
}
// The sizes of all scores, which no kernel keeps.
Dims score_sizes(const Tensor& q, const AttentionShape& s) {
  Dims d(q.sizes());
  d.back() = s.keys;
  return d;
}
void check_mask(const Frame& f, int i, const Tensor& q, const AttentionShape& s) {
  if (!f.has(i)) return;
  const Tensor& m = tensor_argument(f, i);
  MOKA_CHECK(m.dtype() == DType::Bool || m.dtype() == q.dtype(), f.name(),
             ": attn_mask must be bool or have query's type ", q.dtype(), ", got ", m.dtype());
  Dims scores = score_sizes(q, s);
  bool fits = m.sizes().size() <= scores.size();
  for (int d = 1; fits && d <= m.dim(); d++)
    fits = m.size(-d) == 1 || m.size(-d) == scores[scores.size() - static_cast<size_t>(d)];
  MOKA_CHECK(fits, f.name(), ": attn_mask of shape ", m.sizes(), " does not broadcast to ", scores);
}
AttentionMask read_mask(const Tensor& m, const Tensor& q, const AttentionShape& s) {
  AttentionMask out;
  if (!m) return out;
  out.data = m.raw_data();
  out.boolean = m.dtype() == DType::Bool;
  Dims scores = score_sizes(q, s);
  const int rank = q.dim();
  auto stride = [&](int d) {  // of dimension d of the scores
    const int own = d - (rank - m.dim());
    return own < 0 || m.size(own) == 1 ? 0 : m.stride(own);
  };
  out.row = stride(rank - 2);
  out.column = stride(rank - 1);
  for (int64_t i = 0; i < s.batch * s.heads; i++) {
    int64_t rest = i, at = 0;
    for (int d = rank - 3; d >= 0; d--) {
      at += rest % scores[static_cast<size_t>(d)] * stride(d);
      rest /= scores[static_cast<size_t>(d)];
    }
    out.offsets.push_back(at);
  }
  return out;
}
Tensor operand(const Frame& f, int i) {
  if (!f.has(i)) return {};
  const Tensor& t = f.tensor(i);
  return as_contiguous(t.dtype() == DType::Bool ? t : in_kernel_dtype(t));
}

void forward_shape(Frame& f) {
  AttentionShape s = attention_shape(f, 0, 4);
  const Tensor& q = f.tensor(0);
  check_mask(f, 3, q, s);
  Dims sizes(q.sizes());
  sizes.back() = s.value_width;
  f.output(0, sizes, q.dtype());
  sizes.pop_back();
  f.output(1, sizes, kernel_dtype(q.dtype()));
}
// A tensor whose rows lie together is read where it is.
Tensor rows_operand(const Frame& f, int i) {
  Tensor t = in_kernel_dtype(f.tensor(i));
  return t.stride(-1) == 1 || t.size(-1) <= 1 ? t : as_contiguous(t);
}
template <class T>
AttentionRows<T> rows_of(const Tensor& t) {
  AttentionRows<T> out{t.data<T>(), t.stride(-2), {}};
  int64_t heads = 1;
  for (int d = 0; d < t.dim() - 2; d++) heads *= t.size(d);
  for (int64_t h = 0; h < heads; h++) {
    int64_t rest = h, at = 0;
    for (int d = t.dim() - 2; d-- > 0; rest /= t.size(d)) at += rest % t.size(d) * t.stride(d);
    out.offsets.push_back(at);
  }
  return out;
}
template <class T>
void forward(Frame& f, const AttentionShape& s) {
  Tensor q = rows_operand(f, 0), k = rows_operand(f, 1), v = rows_operand(f, 2), m = operand(f, 3);
  KernelOutput y(f, 0);
  attend<T>(s, read_mask(m, q, s), rows_of<T>(q), rows_of<T>(k), rows_of<T>(v), y.data<T>(),
            f.outs[1].data<T>());
  y.finish();
}
void forward_kernel(Frame& f) {
  AttentionShape s = attention_shape(f, 0, 4);
  if (f.outs[1].dtype() == DType::F64) forward<double>(f, s);
  else forward<float>(f, s);
}

// Arguments: grad, query, key, value, attn_mask, output, logsumexp, is_causal, scale, enable_gqa.
AttentionShape check_backward(const Frame& f) {
  AttentionShape s = attention_shape(f, 1, 7);
  const Tensor& q = f.tensor(1);
  floating_argument(f, 0);
  check_same_dtype(f, 0, 1);
  check_mask(f, 4, q, s);
  Dims sizes(q.sizes());
  sizes.back() = s.value_width;
  check_shape(f, 0, sizes);
  check_same_dtype(f, 5, 1);
  check_shape(f, 5, sizes);
  sizes.pop_back();
  check_shape(f, 6, sizes);
  MOKA_CHECK(f.tensor(6).dtype() == kernel_dtype(q.dtype()), f.name(), ": logsumexp must be ",
             kernel_dtype(q.dtype()), ", got ", f.tensor(6).dtype());
  return s;
}
void backward_shape(Frame& f) {
  check_backward(f);
  for (int i = 0; i < 3; i++) f.output(i, f.tensor(i + 1).sizes(), f.tensor(i + 1).dtype());
}
template <class T>
void backward(Frame& f, const AttentionShape& s, T* dq, T* dk, T* dv, T* dmask) {
  Tensor dy = operand(f, 0), q = operand(f, 1), k = operand(f, 2), v = operand(f, 3), m = operand(f, 4),
         y = operand(f, 5), sums = operand(f, 6);
  attend_backward<T>(s, read_mask(m, q, s), dy.data<T>(), q.data<T>(), k.data<T>(), v.data<T>(), y.data<T>(),
                     sums.data<T>(), dq, dk, dv, dmask);
}
void backward_kernel(Frame& f) {
  AttentionShape s = check_backward(f);
  KernelOutput dq(f, 0), dk(f, 1), dv(f, 2);
  if (kernel_dtype(f.tensor(1).dtype()) == DType::F64)
    backward<double>(f, s, dq.data<double>(), dk.data<double>(), dv.data<double>(), nullptr);
  else backward<float>(f, s, dq.data<float>(), dk.data<float>(), dv.data<float>(), nullptr);
  dq.finish();
  dk.finish();
  dv.finish();
}
void mask_backward_shape(Frame& f) {
  check_backward(f);
  floating_argument(f, 4);
  f.output(0, f.tensor(4).sizes(), f.tensor(4).dtype());
}
template <class T>
void mask_backward(Frame& f, const AttentionShape& s, T* dmask) {
  Tensor dq = new_tensor(f.tensor(1).sizes(), kernel_dtype(f.tensor(1).dtype())),
         dk = new_tensor(f.tensor(2).sizes(), dq.dtype()), dv = new_tensor(f.tensor(3).sizes(), dq.dtype());
  std::fill_n(dmask, f.tensor(4).numel(), T(0));
  backward<T>(f, s, dq.data<T>(), dk.data<T>(), dv.data<T>(), dmask);
}
void mask_backward_kernel(Frame& f) {
  AttentionShape s = check_backward(f);
  KernelOutput dmask(f, 0);
  if (kernel_dtype(f.tensor(1).dtype()) == DType::F64) mask_backward<double>(f, s, dmask.data<double>());
  else mask_backward<float>(f, s, dmask.data<float>());
  dmask.finish();
}
}  // namespace

constinit const Op attention_op{
    .schema =
        "attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, bool is_causal=False, "
        "float? "
        "scale=None, bool enable_gqa=False) -> (Tensor output, Tensor logsumexp)",
    .doc =
        "softmax(query key^T * scale + attn_mask) value for query [..., heads, queries, width], key and "
        "value [..., "
        "heads, keys, width]; a bool mask is true where a key is seen; is_causal lets query i see keys up to "
        "i; scale "
        "is 1 / sqrt(width) when None; with enable_gqa each head of key serves several of query. The matrix "
        "of scores "
        "is never kept. Also returns the logarithm of each query's sum of exponentials.",
    .method = "function",
    .shape = forward_shape,
    .kernels = {KernelRow{.name = "blocks", .run = forward_kernel}},
    .derivative = {wrt("query key value",
                       [](auto dy, auto query, auto key, auto value, auto attn_mask, auto is_causal,
                          auto scale, auto enable_gqa, auto output, auto logsumexp) {
                         auto g = op_results(attention_backward, dy, query, key, value, attn_mask, output,
                                             logsumexp, is_causal, scale, enable_gqa);
                         return results(g[0], g[1], g[2]);
                       }),
                   wrt("attn_mask",
                       [](auto dy, auto query, auto key, auto value, auto attn_mask, auto is_causal,
                          auto scale, auto enable_gqa, auto output, auto logsumexp) {
                         return attention_mask_backward(dy, query, key, value, attn_mask, output, logsumexp,
                                                        is_causal, scale, enable_gqa);
                       }),
                   constants("logsumexp", "kept for the gradient")},
    .onnx = Format{{.map = "Attention(query, key, value, attn_mask, is_causal=is_causal, scale?=scale, "
                           "=rank(query):4) -> (output)",
                    .since = 23}},
    .netdef = none("Caffe2 has no such operator"),
    .autocast = Autocast::Lower,
    .samples = {shapes({2, 3, 4}, {2, 5, 4}, {2, 5, 3}),
                shapes({1, 2, 4, 3}, {1, 2, 4, 3}, {1, 2, 4, 3}).with("is_causal", true),
                shapes({1, 4, 3, 2}, {1, 2, 3, 2}, {1, 2, 3, 2}).with("enable_gqa", true).with("scale", 0.3),
                shapes({0, 3, 4}, {0, 5, 4}, {0, 5, 3})},
};
constinit const Op attention_backward_op{
    .schema =
        "attention_backward(Tensor grad, Tensor query, Tensor key, Tensor value, Tensor? attn_mask, Tensor "
        "output, "
        "Tensor logsumexp, bool is_causal=False, float? scale=None, bool enable_gqa=False) -> (Tensor "
        "query_grad, Tensor "
        "key_grad, Tensor value_grad)",
    .doc = "Gradients of attention; the scores are computed again in blocks.",
    .method = "none",
    .shape = backward_shape,
    .kernels = {KernelRow{.name = "blocks", .run = backward_kernel}},
    .body = eager_body(attention_gradient),
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {},
};
constinit const Op attention_mask_backward_op{
    .schema =
        "attention_mask_backward(Tensor grad, Tensor query, Tensor key, Tensor value, Tensor attn_mask, "
        "Tensor output, "
        "Tensor logsumexp, bool is_causal=False, float? scale=None, bool enable_gqa=False) -> Tensor",
    .doc = "Gradient of attention with respect to a mask that is added to the scores.",
    .method = "none",
    .shape = mask_backward_shape,
    .kernels = {KernelRow{.name = "blocks", .run = mask_backward_kernel}},
    .body = eager_body(attention_mask_gradient),
    .onnx = none("a gradient: export the forward graph"),
    .netdef = none("a gradient"),
    .samples = {},
};

}  // namespace moka::ops

MOKA_OP_TABLE(attention, MOKA_ATTENTION_OPS)
