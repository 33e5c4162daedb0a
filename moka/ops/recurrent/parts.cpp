// The gradient of a recurrent layer, step by step in differentiable operators: for second derivatives.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/recurrent/parts.h"

#include <algorithm>
#include <vector>

#include "moka/ops/activation/activation.h"
#include "moka/ops/creation/creation.h"
#include "moka/ops/linear/linear.h"
#include "moka/ops/operators.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
Tensor rows_of(const Tensor& x, int64_t first, int64_t count) { return narrow(x, 0, first, count); }
Tensor joined(const std::vector<Tensor>& parts, int64_t dim) {
  return concat(std::span<const Tensor>(parts), dim);
}

// Rows of all steps, step after step.
struct Steps {
  std::vector<int64_t> rows, start{0};
  bool reverse;
  Steps(std::span<const int64_t> sizes, int64_t all, bool reverse)
      : rows(sizes.begin(), sizes.end()), reverse(reverse) {
    if (rows.size() == 1 && rows[0] > 0)
      rows.assign(static_cast<size_t>(all / rows[0]), rows[0]);  // all alike
    for (int64_t n : rows) start.push_back(start.back() + n);
  }
  size_t count() const { return rows.size(); }
  // For every row the state before it: that of the neighbouring step, or the first one.
  Tensor before(const Tensor& states, const Tensor& first) const {
    std::vector<Tensor> parts;
    for (size_t t = 0; t < count(); t++) {
      const bool has_neighbour = reverse ? t + 1 < count() : t > 0;
      const size_t neighbour = reverse ? t + 1 : t - 1;
      const int64_t continued = has_neighbour ? std::min(rows[t], rows[neighbour]) : 0;
      if (continued) parts.push_back(rows_of(states, start[neighbour], continued));
      if (continued < rows[t]) parts.push_back(rows_of(first, continued, rows[t] - continued));
    }
    return joined(parts, 0);
  }
};
// The first rows of `whole` replaced.
Tensor with_first(const Tensor& first, const Tensor& whole) {
  const int64_t n = first.size(0), all = whole.size(0);
  return n == all ? first : joined({first, rows_of(whole, n, all - n)}, 0);
}
}  // namespace

void rnn_gradient_parts(const Any* in, Any* out) {
  const Tensor &dstates = in[0].tensor(), &states = in[1].tensor(), &gates = in[3].tensor(),
               &h0 = in[4].tensor(), &weight = in[6].tensor();
  const std::string_view mode = in[10].string();
  const bool lstm = mode == "lstm", gru = mode == "gru", project = !in[8].is_none();
  const int64_t p = h0.size(1), h = gates.size(1) / (lstm ? 4 : gru ? 3 : 1);
  const Tensor given = in[12].is_none() ? Tensor() : as_contiguous(in[12].tensor());
  const Steps steps(
      given ? std::span(given.data<int64_t>(), static_cast<size_t>(given.numel())) : in[9].ints(),
      gates.size(0), in[11].to_bool());
  const Tensor none = full(Dims{0}, 0.0, gates.dtype());
  if (steps.count() == 0) {
    for (int i = 0; i < 6; i++)
      out[i] = in[3 + i].is_none() ? Any(none) : Any(zeros_like(in[3 + i].tensor()));
    return;
  }

  // Every row's activations again, from what the layer was given and its states.
  auto gate = [h](const Tensor& a, int k) { return narrow(a, 1, k * h, h); };
  const Tensor hs = narrow(states, 1, int64_t(0), p), before = steps.before(hs, h0);
  Tensor u = matmul(before, transpose(weight, 0, 1));
  if (!in[7].is_none()) u = u + in[7].tensor();
  Tensor i, f, g, o, cells_before, tanh_c;  // LSTM
  Tensor r, z, c, un;                       // GRU
  if (lstm) {
    const Tensor a = gates + u, cs = narrow(states, 1, p, h);
    i = sigmoid(gate(a, 0)), f = sigmoid(gate(a, 1)), g = tanh(gate(a, 2)), o = sigmoid(gate(a, 3));
    cells_before = steps.before(cs, in[5].tensor());
    tanh_c = tanh(cs);
  } else if (gru) {
    r = sigmoid(gate(gates, 0) + gate(u, 0)), z = sigmoid(gate(gates, 1) + gate(u, 1)), un = gate(u, 2);
    c = tanh(gate(gates, 2) + r * un);
  }

  Tensor dh = zeros_like(h0), dc = lstm ? zeros_like(in[5].tensor()) : Tensor();
  std::vector<Tensor> da(steps.count()), du(steps.count()), dprojected(steps.count());
  for (size_t k = 0; k < steps.count(); k++) {
    const size_t t = steps.reverse ? k : steps.count() - 1 - k;
    const int64_t n = steps.rows[t], first = steps.start[t];
    auto at = [&](const Tensor& x) { return rows_of(x, first, n); };
    const Tensor come = at(dstates);
    Tensor d = rows_of(dh, 0, n) + narrow(come, 1, int64_t(0), p), direct;
    if (lstm) {
      dprojected[t] = d;
      const Tensor dm = project ? matmul(d, in[8].tensor()) : d;
      const Tensor it = at(i), ft = at(f), gt = at(g), ot = at(o), tc = at(tanh_c);
      const Tensor cell = rows_of(dc, 0, n) + narrow(come, 1, p, h) + dm * ot * (1 - tc * tc);
      da[t] = joined({cell * gt * it * (1 - it), cell * at(cells_before) * ft * (1 - ft),
                      cell * it * (1 - gt * gt), dm * tc * ot * (1 - ot)},
                     1);
      du[t] = da[t];
      dc = with_first(cell * ft, dc);
    } else if (gru) {
      const Tensor rt = at(r), zt = at(z), ct = at(c);
      const Tensor dn = d * (1 - zt) * (1 - ct * ct), dr = dn * at(un) * rt * (1 - rt),
                   dz = d * (at(before) - ct) * zt * (1 - zt);
      da[t] = joined({dr, dz, dn}, 1);
      du[t] = joined({dr, dz, dn * rt}, 1);
      direct = d * zt;
    } else {
      const Tensor y = at(hs);
      da[t] = mode == "relu" ? where(gt(y, 0), d, 0) : d * (1 - y * y);
      du[t] = da[t];
    }
    Tensor through = matmul(du[t], weight);
    dh = with_first(direct ? direct + through : through, dh);
  }
  const Tensor all_du = joined(du, 0);
  out[0] = Any(joined(da, 0));
  out[1] = Any(dh);
  out[2] = Any(lstm ? dc : none);
  out[3] = Any(matmul(transpose(all_du, 0, 1), before));
  out[4] = in[7].is_none() ? Any(none) : Any(sum(all_du, Dims{0}));
  out[5] = project ? Any(matmul(transpose(joined(dprojected, 0), 0, 1), o * tanh_c)) : Any(none);
}

}  // namespace moka::ops
