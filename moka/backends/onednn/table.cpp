// The table of rows, and the engine that they run on.
// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "moka/backends/onednn/primitives.h"

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

}  // namespace moka::onednn

const moka::onednn::Table* moka_onednn_table() {
  using namespace moka::onednn;
  static const std::vector<Row>* rows = [] {
    auto* all = new std::vector<Row>;
    for (std::span<const Row> some : {convolution_rows(), blocked_rows()})
      all->insert(all->end(), some.begin(), some.end());
    return all;
  }();
  static const Table table{table_version, rows->data(), rows->size()};
  return &table;
}
