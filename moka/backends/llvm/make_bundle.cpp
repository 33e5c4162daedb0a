// Compiling regions for packages.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <set>

#include "moka/backends/llvm/bundle.h"
#include "moka/backends/llvm/bundle_layout.h"
#include "moka/backends/llvm/library.h"
#include "moka/ops/fused/region.h"
#include "moka/ops/generated/print.h"

namespace moka::llvm {

Bundle make_bundle(std::string_view name, const std::vector<BundledRegion>& regions, std::string_view key) {
  const lanes::Target* target = lanes::find_target(name);
  MOKA_CHECK_KIND(Value, target, "there is no target ", name, "; there are x86-64-v3, x86-64-v4 and aarch64");
  std::string why;
  MOKA_CHECK_KIND(NotImplemented, find_library(&why), "code for packages needs a compiler: ", why);
  Bundle out;
  std::set<std::string> done;
  std::string entries;
  for (const BundledRegion& r : regions) {
    const std::string region = key_of(r.program, r.inputs);
    if (!done.insert(region).second) continue;
    const std::optional<lanes::Program> program = lanes::read_region(*region_plan(r.program, r.inputs));
    if (!program) {
      out.left.push_back(
          cat("an operator or type has no reading as lanes, or it would compute too much of rows again: ",
              r.program));
      continue;
    }
    const std::string text =
        lanes::print_llvm_module(lanes::print_llvm(*program, "region", *target), *target);
    std::string object;
    if (!compile(text, target->triple, target->name == "aarch64" ? "generic" : target->name, object, why)) {
      out.left.push_back(why);
      continue;
    }
    BundleEntry entry{};
    entry.key_bytes = static_cast<uint32_t>(region.size());
    entry.spare_rows = program->rows ? static_cast<uint32_t>(lanes::plan_loops(*program).spare_rows) : 0;
    entry.object_bytes = object.size();
    entries.append(reinterpret_cast<const char*>(&entry), sizeof entry).append(region).append(object);
    out.regions++;
  }
  BundleHead head{};
  std::memcpy(head.magic, bundle_magic, sizeof head.magic);
  head.version = code_version;
  head.count = static_cast<uint32_t>(out.regions);
  head.mark = mark_of(key, name, entries);
  out.content.assign(reinterpret_cast<const char*>(&head), sizeof head).append(entries);
  return out;
}

}  // namespace moka::llvm
