// The table of rows, the engine that they run on, and the activations of fused operators.
// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "moka/backends/onednn/primitives_internal.h"

namespace moka::onednn {

dnnl::engine& engine() {
  static dnnl::engine* e =
      new dnnl::engine(dnnl::engine::kind::cpu, 0);  // outlives every thread that may still run
  return *e;
}
dnnl::stream& stream() {
  static thread_local dnnl::stream s(engine());
  return s;
}

// The functions of C spare the map of arguments that those of C++ take.
void execute(const dnnl::primitive& primitive, std::initializer_list<Operand> operands) {
  constexpr size_t most = 8;
  dnnl::memory memories[most];
  dnnl_exec_arg_t args[most];
  int count = 0;
  for (const Operand& o : operands) {
    if (!o.data) continue;
    memories[count] = dnnl::memory(o.desc, engine(), o.data);
    args[count] = {o.which, memories[count].get()};
    count++;
  }
  dnnl::error::wrap_c_api(dnnl_primitive_execute(primitive.get(), stream().get(), count, args),
                          "could not execute a primitive");
  stream().wait();
}

namespace {
constexpr std::string_view activations[] = {"none", "relu", "relu6",     "sigmoid",
                                            "tanh", "silu", "hardswish", "gelu"};
}
std::string_view activation_name(int activation) {
  return activation < 0 ? std::string_view() : activations[activation];
}
int activation_of(std::string_view name) {
  for (size_t i = 0; i < std::size(activations); i++)
    if (activations[i] == name) return static_cast<int>(i);
  return -1;
}
void append_activation(dnnl::post_ops& ops, int activation) {
  using dnnl::algorithm;
  switch (activation) {
    case 1: return ops.append_eltwise(algorithm::eltwise_relu, 0, 0);
    case 2: return ops.append_eltwise(algorithm::eltwise_clip, 0, 6);
    case 3: return ops.append_eltwise(algorithm::eltwise_logistic, 0, 0);
    case 4: return ops.append_eltwise(algorithm::eltwise_tanh, 0, 0);
    case 5: return ops.append_eltwise(algorithm::eltwise_swish, 1, 0);
    case 6: return ops.append_eltwise(algorithm::eltwise_hardswish, 1.f / 6, 0.5f);
    case 7: return ops.append_eltwise(algorithm::eltwise_gelu_erf, 0, 0);
    default: break;
  }
}

}  // namespace moka::onednn

const moka::onednn::Table* moka_onednn_table() {
  using namespace moka::onednn;
  static const std::vector<Row>* rows = [] {
    auto* all = new std::vector<Row>;
    for (std::span<const Row> some : {convolution_rows(), blocked_rows()})
      all->insert(all->end(), some.begin(), some.end());
    return all;
  }();
  static const Table table{table_version, rows->data(), rows->size(), filter_block};
  return &table;
}
