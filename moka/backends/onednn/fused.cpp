// What convolutions with a fused sum and activation share.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "moka/backends/onednn/primitives_internal.h"
#include "moka/base/cpu.h"
#include "moka/ops/fused/parts.h"
#include "moka/ops/kernels/arguments.h"
#include "moka/ops/kernels/scratch.h"

namespace moka::onednn {

namespace {
// Whether our own kernel going over a result is faster than the activation inside of oneDNN's loop, which saves and
// brings back registers around some. EfficientNet-B0 with other activations, one thread, milliseconds inside and behind,
// with AVX-512: silu 13.0 and 11.6, sigmoid 12.1 and 11.5, tanh 12.5 and 12.4, gelu 12.3 and 12.9, hardswish 10.2 and
// 11.2; with AVX2: 14.2 and 14.2, 13.5 and 14.0, 24.0 and 14.1, 14.8 and 15.1, 10.5 and 11.2.
bool is_better_behind(std::string_view activation, int64_t elements) {
  constexpr int64_t least_elements = 8192;  // below, what calls cost weighs more
  if (elements < least_elements) return false;
  return isa() == Isa::Avx512 ? activation == "silu" || activation == "sigmoid" : activation == "tanh";
}
}  // namespace

dnnl::primitive_attr fused_attributes(FusedLayer& layer, bool addend, int activation, int64_t elements) {
  layer.activation_behind = is_better_behind(activation_name(activation), elements);
  dnnl::post_ops ops;
  if (addend) ops.append_sum(1.f);
  if (!layer.activation_behind) append_activation(ops, activation);
  dnnl::primitive_attr attr;
  attr.set_post_ops(ops);
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

void run_fused(Frame& f, const FusedLayer* layer, int addend, const Tensor* other_weight) {
  try {
    if (!layer) fail_kind(ErrorKind::Internal, f.name(), ": oneDNN's primitive has disappeared");
    const Tensor x = as_contiguous(f.tensor(0)),
                 w = as_contiguous(other_weight ? *other_weight : f.tensor(1));
    const Tensor bias = f.has(2) ? as_contiguous(f.tensor(2)) : Tensor();
    const Tensor& out = f.outs[0];
    if (f.has(addend)) {
      const Tensor more = as_contiguous(f.tensor(addend));
      if (more.raw_data() != out.raw_data()) std::memcpy(out.raw_data(), more.raw_data(), out.bytes());
    }
    Scratch<char> scratchpad(static_cast<int64_t>(layer->scratchpad.get_size()));
    execute(layer->primitive, {{DNNL_ARG_SRC, layer->source, x.raw_data()},
                               {DNNL_ARG_WEIGHTS, layer->weights, w.raw_data()},
                               {DNNL_ARG_DST, layer->destination, out.raw_data()},
                               {DNNL_ARG_SCRATCHPAD, layer->scratchpad, scratchpad.data()},
                               {DNNL_ARG_BIAS, layer->bias, bias ? bias.raw_data() : nullptr}});
    if (layer->activation_behind) ops::finish_fused(f, {}, addend + 1);
  } catch (const dnnl::error& e) {
    fail(f.name(), ": oneDNN failed: ", std::string_view(e.what()));
  }
}

}  // namespace moka::onednn
