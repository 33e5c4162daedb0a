// The linear layer with weights packed once into panels of columns, and what follows it.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/define.h"
#include "moka/ops/fused/fused.h"
#include "moka/ops/fused/parts.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/linear/gemm.h"

namespace moka {

namespace ops {

namespace {
struct PackedLinear {
  int64_t rows = 1, inputs = 0, outputs = 0, depth = 0, block = 0;
};

// Arguments: input, weight, bias, outputs, addend, activation.
PackedLinear packed_geometry(const Frame& f) {
  const Tensor &x = tensor_argument(f, 0), &w = tensor_argument(f, 1);
  for (int i : {0, 1, 2, 4})
    if (f.has(i))
      MOKA_CHECK_KIND(NotImplemented, tensor_argument(f, i).dtype() == DType::F32, f.name(), ": ",
                      argument_name(f, i), " must be float32, got ", f.tensor(i).dtype());
  MOKA_CHECK(x.dim() >= 1, f.name(), ": input must have at least 1 dimension, got a scalar");
  PackedLinear p;
  p.outputs = f.integer(3);
  p.inputs = x.size(-1);
  for (int d = 0; d + 1 < x.dim(); d++) p.rows *= x.size(d);
  const bool panels = w.dim() == 3 && w.size(2) > 0 && w.size(2) % 32 == 0 && p.outputs > 0 &&
                      w.size(0) == (p.outputs - 1) / w.size(2) + 1;
  MOKA_CHECK(panels, f.name(), ": weight of shape ", w.sizes(), " is not what pack_linear makes of ",
             p.outputs, " outputs");
  p.depth = w.size(1), p.block = w.size(2);
  MOKA_CHECK((p.inputs + packed_depth - 1) / packed_depth * packed_depth == p.depth, f.name(),
             ": the last dimension of input (", p.inputs, ", shape ", x.sizes(),
             ") does not fit packed weights of shape ", w.sizes());
  return p;
}

void pack_shape(Frame& f) {
  const Tensor& w = tensor_argument(f, 0);
  const int64_t block = f.integer(1);
  MOKA_CHECK_KIND(NotImplemented, w.dtype() == DType::F32, f.name(), ": weight must be float32, got ",
                  w.dtype());
  MOKA_CHECK(w.dim() == 2, f.name(), ": weight must have shape [out, in], got ", w.sizes());
  MOKA_CHECK_KIND(Value, block > 0 && block <= 256 && block % 32 == 0, f.name(),
                  ": block must be a multiple of 32 up to 256, got ", block);
  f.output(0,
           Dims{(w.size(0) + block - 1) / block, (w.size(1) + packed_depth - 1) / packed_depth * packed_depth,
                block},
           w.dtype());
}
void pack_kernel(Frame& f) {
  const Tensor& w = f.tensor(0);
  const Tensor& to = f.outs[0];
  if (!to.numel()) return;
  pack_panels<float>(w.size(1), w.size(0), {w.data<float>(), w.stride(1), w.stride(0)},
                     {to.data<float>(), to.size(1), to.size(2)});
}

void linear_shape(Frame& f) {
  const PackedLinear p = packed_geometry(f);
  Dims sizes(f.tensor(0).sizes());
  sizes.back() = p.outputs;
  if (f.has(2)) check_shape(f, 2, Dims{p.outputs});
  if (f.has(4)) check_shape(f, 4, sizes);
  activation_of(f, 5);
  f.output(0, sizes, DType::F32);
}
void linear_kernel(Frame& f) {
  const PackedLinear p = packed_geometry(f);
  const Tensor x = as_contiguous(f.tensor(0)), w = as_contiguous(f.tensor(1));
  const Tensor bias = f.has(2) ? as_contiguous(f.tensor(2)) : Tensor();
  const Tensor addend = f.has(4) ? as_contiguous(f.tensor(4)) : Tensor();
  gemm_panels(p.rows, p.outputs, p.inputs, {x.data<float>(), p.inputs, 1},
              {w.data<float>(), p.depth, p.block}, f.outs[0].data<float>(), p.outputs,
              {.column = bias ? bias.data<float>() : nullptr,
               .matrix = addend ? addend.data<float>() : nullptr,
               .step = p.outputs,
               .after = activation_kernel(f, 5)});
}
}  // namespace

constinit const Op pack_linear_op{
    .schema = "pack_linear(Tensor weight, int block) -> Tensor",
    .doc =
        "Weights [out, in] as linear_packed reads them: [out / block, in, block], both made whole with "
        "zeros.",
    .method = "none",
    .shape = pack_shape,
    .kernels = {KernelRow{"panels", pack_kernel}},
    .derivative = none("made for inference, after differentiation"),
    .onnx = none("made after a graph is exported"),
    .netdef = none("made after a graph is exported"),
    .samples = {shape(40, 18).with("block", 32), shape(2, 0).with("block", 64)},
};

constinit const Op linear_packed_op{
    .schema =
        "linear_packed(Tensor input, Tensor weight, Tensor? bias, int outputs, Tensor? addend=None, str "
        "activation='none') -> Tensor",
    .doc = "activation(linear(...) + addend) with weights of pack_linear.",
    .method = "none",
    .shape = linear_shape,
    .kernels = {KernelRow{"panels", linear_kernel}},
    .derivative = none("made for inference, after differentiation"),
    .onnx = none("made after a graph is exported"),
    .netdef = none("made after a graph is exported"),
    .samples = {shapes({3, 18}, {2, 32, 32}, {40}).with("outputs", 40).with("activation", "gelu"),
                shapes({0, 4}, {1, 16, 32}).with("outputs", 5)},
};

}  // namespace ops
}  // namespace moka
