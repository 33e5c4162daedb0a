// A step of a recurrent layer with packed weights for one instruction set; packed.cpp includes this once for each.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/kernels/target_begin.h"

template <int... I, class F>
__attribute__((always_inline)) inline void for_each_index(std::integer_sequence<int, I...>, F f) {
  (f(std::integral_constant<int, I>{}), ...);
}
template <int N, class F>
__attribute__((always_inline)) inline void for_constants(F f) {
  for_each_index(std::make_integer_sequence<int, N>{}, f);
}

// Products and cell of some units in one sweep: what the gates hold never leaves the registers.
template <CellKind Kind>
struct PackedStep {
  static constexpr int L = lanes<float>, Gates = packed_gates(Kind);
  static constexpr int registers = L == 16 ? 32 : 16;
  static constexpr int most = Gates == 1 || registers == 32 ? 6 : 3;  // rows at a time
  using V = Vec<float>;
  using N = Num<float, L>;

  static N get(const float* p, int64_t n) { return {n >= L ? load<V>(p) : load_part<V>(p, n, 0.f)}; }
  static void put(float* p, N v, int64_t n) {
    if (n >= L) store(p, v.v);
    else store_part(p, v.v, n);
  }

  // Rows [0, Rows) of the step, L units from `unit` on, whose weights begin at `panel`.
  template <int Rows>
  static void rows(const PackedStepInputs& s, int64_t unit, const float* panel) {
    // One row alone would wait for each sum: its products are summed up in several parts.
    constexpr int Parts = Rows * Gates >= 8 ? 1 : 8 / (Rows * Gates);
    V sum[Parts][Rows][Gates];
    for_constants<Parts>([&](auto p) __attribute__((always_inline)) {
      for_constants<Rows>([&](auto r) __attribute__((always_inline)) {
        for_constants<Gates>([&](auto g) __attribute__((always_inline)) { sum[p][r][g] = V{}; });
      });
    });
    const float* h = s.before;
    const auto term = [&](auto p, int64_t k) __attribute__((always_inline)) {
      for_constants<Rows>([&](auto r) __attribute__((always_inline)) {
        const V left = spread<V>(h[r * s.before_row + k]);
        for_constants<Gates>([&](auto g) __attribute__((always_inline)) {
          sum[p][r][g] += left * load<V>(panel + (k * Gates + g) * packed_units);
        });
      });
    };
    int64_t k = 0;
    for (; k + Parts <= s.hidden; k += Parts)
      for_constants<Parts>([&](auto p) __attribute__((always_inline)) { term(p, k + p); });
    if constexpr (Parts > 1)
      for (; k < s.hidden; k++) term(std::integral_constant<int, 0>{}, k);
    float totals[Rows][Gates][L];
    for_constants<Rows>([&](auto r) __attribute__((always_inline)) {
      for_constants<Gates>([&](auto g) __attribute__((always_inline)) {
        V total = sum[0][r][g];
        for_constants<Parts>([&](auto p) __attribute__((always_inline)) {
          if constexpr (p > 0) total += sum[p][r][g];
        });
        store(totals[r][g], total);
      });
    });
    for (int64_t r = 0; r < Rows; r++) cell(s, unit, r, totals[r][0]);
  }

  // One row of the step: the state's part of the gates, L units each, is in `total`.
  __attribute__((noinline)) static void cell(const PackedStepInputs& s, int64_t unit, int64_t r,
                                             const float* total) {
    const int64_t n = s.hidden - unit;
    const auto own = [&](int g) __attribute__((always_inline)) {
      const N u{load<V>(total + g * L)};
      return s.bias ? u + get(s.bias + g * s.hidden + unit, n) : u;
    };
    const float* a = s.gates + r * Gates * s.hidden + unit;
    float* to = s.after + r * s.after_row + unit;
    const auto gate = [&](int g) __attribute__((always_inline)) { return get(a + g * s.hidden, n); };
    if constexpr (Kind == CellKind::Lstm) {
      const N i = number_sigmoid(gate(0) + own(0)), f = number_sigmoid(gate(1) + own(1)),
              c = number_tanh(gate(2) + own(2)), o = number_sigmoid(gate(3) + own(3));
      const N now = f * get(s.cell + r * s.cell_row + unit, n) + i * c;
      put(to + s.hidden, now, n);
      put(to, o * number_tanh(now), n);
    } else if constexpr (Kind == CellKind::Gru) {
      const N reset = number_sigmoid(gate(0) + own(0)), z = number_sigmoid(gate(1) + own(1)),
              c = number_tanh(gate(2) + reset * own(2));
      put(to, c + z * (get(s.before + r * s.before_row + unit, n) - c), n);
    } else {
      const N v = gate(0) + own(0);
      put(to, Kind == CellKind::Relu ? number_where(v < 0.f, 0.f, v) : number_tanh(v), n);
    }
  }

  // All rows of a step, units of the blocks [first, last).
  static void run(PackedStepInputs s, const float* weight, int64_t first, int64_t last) {
    for (int64_t block = first; block < last; block++)
      for (int64_t at = 0; at < packed_units && block * packed_units + at < s.hidden; at += L) {
        const float* panel = weight + block * packed_units * Gates * s.hidden + at;
        const int64_t unit = block * packed_units + at;
        PackedStepInputs now = s;
        for (int64_t left = s.rows; left > 0;) {
          const int64_t some = left < most ? left : most;
          for_constants<most>([&](auto r) __attribute__((always_inline)) {
            if (some == r + 1) rows<r + 1>(now, unit, panel);
          });
          left -= some;
          now.before += some * now.before_row, now.cell += some * now.cell_row;
          now.after += some * now.after_row, now.gates += some * Gates * s.hidden;
        }
      }
  }
};

#include "moka/ops/kernels/target_end.h"
