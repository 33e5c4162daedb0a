// libFuzzer target: any bytes as a pair of NetDefs (the first two bytes say where the init net ends). Accepted pairs must
// verify, and what can be written must be read again.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "moka/base/error.h"
#include "moka/formats/netdef/netdef.h"
#include "moka/ops/all.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  moka::register_all_ops();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moka;
  if (size < 2) return 0;
  const std::string_view all(reinterpret_cast<const char*>(data) + 2, size - 2);
  const size_t split = std::min<size_t>(all.size(), size_t(data[0]) | size_t(data[1]) << 8);
  netdef::LoadOptions options;
  options.limits.max_tensor_bytes = 1 << 24;
  options.limits.max_nodes = 20'000;
  try {
    const auto graph =
        netdef::load(Bytes::copy(all.substr(0, split)), Bytes::copy(all.substr(split)), options);
    graph::verify(*graph);
    netdef::Pair pair;
    try {
      pair = netdef::save(*graph);
    } catch (const Error& e) {
      if (e.kind() == ErrorKind::Internal) std::abort();
      return 0;  // not every graph can be written
    }
    netdef::load(Bytes::copy(pair.init_net), Bytes::copy(pair.predict_net));
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::Internal) std::abort();
  }
  return 0;
}
