// Powers whose exponent is one number with a short formula, as in PyTorch: squares, cubes, roots and their inverses.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/formula.h"
#include "moka/ops/pointwise/types.h"

namespace moka {

namespace {
// Kernels with the operands of pow; the second is not read.
struct Square {
  constexpr auto operator()(auto x, auto) const { return x * x; }
};
struct Cube {
  constexpr auto operator()(auto x, auto) const { return x * x * x; }
};
struct Root {
  constexpr auto operator()(auto x, auto) const { return number_sqrt(x); }
};
struct InverseRoot {
  constexpr auto operator()(auto x, auto) const { return 1 / number_sqrt(x); }
};
struct Inverse {
  constexpr auto operator()(auto x, auto) const { return 1 / x; }
};
struct InverseSquare {
  constexpr auto operator()(auto x, auto) const { return 1 / (x * x); }
};

struct Power {
  double exponent;
  Formula formula;
};
template <class F>
constexpr Formula of_floats() {
  Formula f;
  f.text = detail::formula_text<F, 2>;
  detail::add_kernels<F, float, 2, 0>(f, 0);
  detail::add_kernels<F, double, 2, 0>(f, 1);
  return f;
}
template <class F>
constexpr Formula of_all() {
  Formula f = of_floats<F>();
  detail::add_kernels<F, int32_t, 2, 0>(f, 2);
  detail::add_kernels<F, int64_t, 2, 0>(f, 3);
  return f;
}
constinit const Power powers[] = {{2, of_all<Square>()},      {3, of_all<Cube>()},
                                  {0.5, of_floats<Root>()},   {-0.5, of_floats<InverseRoot>()},
                                  {-1, of_floats<Inverse>()}, {-2, of_floats<InverseSquare>()}};
}  // namespace

FormulaKernel power_kernel(double exponent, int isa, int column) {
  for (const Power& p : powers)
    if (p.exponent == exponent) return p.formula.kernels[isa][column];
  return nullptr;
}
std::string_view power_text(double exponent, int column) {
  for (const Power& p : powers)
    if (p.exponent == exponent && p.formula.kernels[0][column]) return p.formula.text();
  return {};
}

}  // namespace moka
