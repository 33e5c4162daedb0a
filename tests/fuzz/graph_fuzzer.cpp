// libFuzzer target: any bytes as the text form of a graph. What is read prints, reads back and prints the same, and
// survives the cleaning passes.
// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "moka/base/error.h"
#include "moka/graph/effects.h"
#include "moka/graph/graph.h"
#include "moka/ops/all.h"
#include "moka/passes/passes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moka;
  register_all_ops();
  graph::ParseLimits limits;
  limits.values = 10'000;
  try {
    graph::Program program =
        graph::parse_program({reinterpret_cast<const char*>(data), size}, nullptr, limits);
    std::string text = graph::print(program);
    if (text.find(" @\"") == text.npos && graph::print(graph::parse_program(text)) != text) std::abort();
    for (auto& [name, g] : program.graphs) {
      graph::verify(*g);
      graph::order_effects(*g);
      graph::verify(*g);
      passes::fold_constants(*g, 1 << 12);
      passes::share_common(*g);
      passes::remove_dead(*g);
      graph::verify(*g);
    }
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::Internal) std::abort();
  }
  return 0;
}
