// Linear operators of complex numbers: the real operator on the parts. Of a bilinear one the four products of parts.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/complex/complex.h"
#include "moka/ops/complex/kernels.h"
#include "moka/ops/define.h"
#include "moka/ops/reduction/reduction.h"
#include "moka/ops/shaping/shaping.h"

namespace moka::ops {

namespace {
std::string_view not_complex(const Frame& f) {
  return f.args[0].tag == Tag::Tensor && is_complex(f.tensor(0).dtype()) ? "" : "is for complex numbers";
}
std::string_view not_complex_sum(const Frame& f) {  // index_put that adds
  return f.flag(3) ? not_complex(f) : "is for sums";
}
Tensor part(const Tensor& z, DType dtype, int64_t which) {
  return select(view_as_real(z.dtype() == dtype ? z : to_dtype(z, dtype)), -1, which);
}

// The operator of f with parts[i] of its i-th argument where `linear` has that bit: 0 real, 1 imaginary.
Tensor run_real(const Frame& f, uint32_t linear, std::initializer_list<int64_t> parts) {
  const DType dtype = f.outs[0].dtype();
  ArgRoom args;
  Tensor held[max_args];
  std::copy(f.args, f.args + f.count, &args[0]);
  for (size_t i = 0; i < parts.size(); i++) {
    if (!(linear >> i & 1) || args[i].tag != Tag::Tensor) continue;
    const int64_t which = parts.begin()[i];
    if (which >= 0) held[i] = part(f.tensor(static_cast<int>(i)), dtype, which);
    args[i] = Arg(held[i]);  // negative: None
  }
  Frame real(f.op, args, f.count);
  run_op(real);
  return real.outs[0];
}
void write_parts(const Frame& f, const Tensor& re, const Tensor& im) {
  const Tensor& out = f.outs[0];
  copy_elements(re, part(out, out.dtype(), 0));
  copy_elements(im, part(out, out.dtype(), 1));
}

// Bit i of `linear`: the operator is linear in its i-th argument, together with the others named.
template <uint32_t linear>
void on_each_part(Frame& f) {
  LayersOff off(~0u);
  Tensor re = run_real(f, linear, {0, 0, 0, 0}), im = run_real(f, linear, {1, 1, 1, 1});
  write_parts(f, re, im);
}
// (a + bi)(c + di) = ac - bd + (ad + bc)i; a third tensor, the bias, is added once.
template <bool bias>
void on_products(Frame& f) {
  LayersOff off(~0u);
  constexpr uint32_t linear = bias ? 7 : 3;
  auto run = [&](int64_t first, int64_t second, int64_t third) {
    return run_real(f, linear, {first, second, bias ? third : -1});
  };
  write_parts(f, sub(run(0, 0, 0), run(1, 1, -1)), add(run(0, 1, 1), run(1, 0, -1)));
}

// The variance is that of the real parts and that of the imaginary parts together.
void var_mean_run(Frame& f) {
  LayersOff off(~0u);
  copy_elements(var(f.args[0].as_tensor(), f.args[1], f.args[2], f.args[3]), f.outs[0]);
  copy_elements(mean(f.args[0].as_tensor(), f.args[1], f.args[3]), f.outs[1]);
}
}  // namespace

void add_complex_linear() {
  auto add = [](std::string_view name, void (*run)(Frame&),
                std::string_view (*declines)(const Frame&) = not_complex) {
    if (find_op(name)) add_kernel(name, KernelRow{.name = "complex", .run = run, .declines = declines});
  };
  constexpr uint32_t first = 1, and_third = 1 << 2, and_fourth = 1 << 3;
  add("index_backward", on_each_part<first>);
  add("index_put", on_each_part<first | and_third>, not_complex_sum);
  add("index_add", on_each_part<first | and_fourth>);
  add("index_add_zeros", on_each_part<first>);
  add("scatter_add", on_each_part<first | and_fourth>);
  add("embedding_backward", on_each_part<first>);
  add("as_strided_backward", on_each_part<first>);
  add("unfold_backward", on_each_part<first>);
  add("repeat_backward", on_each_part<first>);
  add("im2col", on_each_part<first>);
  add("col2im", on_each_part<first>);
  add("nan_to_num", on_each_part<first>);
  add("pad_border", on_each_part<first>);
  add("pad_border_backward", on_each_part<first>);
  for (std::string_view name :
       {"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"})
    add(name, on_products<true>);
  for (std::string_view name : {"conv1d_backward_input", "conv2d_backward_input", "conv3d_backward_input",
                                "conv1d_backward_weight", "conv2d_backward_weight", "conv3d_backward_weight"})
    add(name, on_products<false>);
  add("var_mean", var_mean_run);
}

}  // namespace moka::ops
