// Fills the module with every part that this build has.
// SPDX-License-Identifier: Apache-2.0
#include "python/bindings/modules.h"
#include "python/bindings/wrapper.h"

namespace moka::python {

void bind_all(nanobind::module_& m) {
  bind_graph(m);
  bind_graph_tools(m);
  bind_capture(m);
  bind_formats(m);
  bind_package(m);
  bind_memory(m);
  bind_pickle(m);
  bind_registries(m);
  bind_watch(m);
  bind_wrapper(m);
}

}  // namespace moka::python
