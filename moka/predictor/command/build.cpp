// `moka build`: compiles the regions of a model for given processors and puts the code into its package, with the sizes
// to plan for.
// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "moka/backends/llvm/bundle.h"
#include "moka/base/error.h"
#include "moka/formats/package/package.h"
#include "moka/passes/passes.h"
#include "moka/predictor/command/command.h"
#include "moka/predictor/plans.h"
#include "moka/runtime/executable.h"

namespace moka::command {

namespace {
std::vector<llvm::BundledRegion> seen;  // regions of the plans that are made
void note_regions(std::span<const runtime::RegionUse> regions) {
  for (const runtime::RegionUse& r : regions)
    seen.push_back({std::string(r.program), {r.inputs.begin(), r.inputs.end()}});
}

// 32 random bytes in a file for this user alone.
void make_key(const std::string& path) {
  char bytes[32];
  MOKA_CHECK_KIND(File, getrandom(bytes, sizeof bytes, 0) == sizeof bytes, path,
                  ": there are no random numbers");
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const bool written = file >= 0 && ::write(file, bytes, sizeof bytes) == sizeof bytes;
  const int error = errno;
  if (file >= 0) close(file);
  MOKA_CHECK_KIND(File, written, path, ": cannot be written: ", std::strerror(error));
  std::fprintf(stderr, "moka: made the key %s; machines that are to run the code need it\n", path.c_str());
}

std::vector<Tensor> sizes_of(const graph::Graph& graph, int64_t batch) {
  std::vector<Tensor> out;
  for (const graph::Value* v : graph.inputs()) {
    const graph::Type& t = v->type;
    if (t.kind != graph::TypeKind::Tensor || !t.has_dtype || !t.has_dims)
      fail_kind(ErrorKind::NotImplemented, "build: the model does not say the shape of input '", v->name,
                "' (", t.text(), "), so nothing can be compiled for it");
    Dims sizes;
    for (const graph::Dim& d : t.dims) sizes.push_back(d.fixed() ? d.size : batch);
    out.push_back(planned_input(sizes, t.dtype, "build"));
  }
  return out;
}

// Plans the model as predictors with and without other back ends rewrite it.
void note_all(const Model& model, const std::vector<std::vector<Tensor>>& plans) {
  runtime::set_region_compiler(note_regions);
  for (const bool blocked : {true, false}) {
    const std::unique_ptr<graph::Graph> graph = passes::inline_calls(model.program, model.main);
    for (const passes::Pass& pass : passes::optimizing_passes())
      if (blocked || std::strcmp(pass.name, "block_channels")) pass.run(*graph);
    const runtime::Executable executable(*graph);
    for (const std::vector<Tensor>& inputs : plans)
      executable.plan_summary(std::vector<Any>(inputs.begin(), inputs.end()));
  }
}
}  // namespace

int build(const BuildArgs& args) {
  const std::string output = args.output.empty() ? args.model.path : args.output;
  if (!output.ends_with(".moka"))
    throw UsageError{cat("build: code goes into .moka packages; name one with --output, not ", output)};
  for (const std::string& target : args.targets)
    if (target != "x86-64-v3" && target != "x86-64-v4" && target != "aarch64")
      throw UsageError{
          cat("build: there is no target ", target, "; there are x86-64-v3, x86-64-v4 and aarch64")};
  const char* variable = std::getenv("MOKA_CODE_KEY");
  const std::string key_file = !args.key.empty() ? args.key : variable ? variable : "";
  if (key_file.empty())
    throw UsageError{
        "build: code is run only with the mark of a key; name its file with --key, or MOKA_CODE_KEY"};
  if (args.batches.size() > most_plans_listed)
    throw UsageError{cat("build: at most ", most_plans_listed, " numbers for --batch")};

  const Model model = load(args.model);
  std::vector<std::vector<Tensor>> plans;
  for (const int64_t batch : args.batches.empty() ? std::vector<int64_t>{1} : args.batches)
    plans.push_back(sizes_of(model.graph(), batch));
  note_all(model, plans);
  if (args.batches.empty()) note_all(model, {sizes_of(model.graph(), 2)});  // rows of one element are lines
  if (access(key_file.c_str(), F_OK)) make_key(key_file);
  const std::string key = llvm::read_code_key(key_file);

  package::Extras extras;
  extras.metadata = model.metadata;
  for (const auto& [name, content] : model.files)
    if (!name.starts_with(llvm::code_folder)) extras.files.emplace(name, content.text());
  extras.files[std::string(plans_name)] = print_plans(plans);
  for (const std::string& target : args.targets) {
    llvm::Bundle bundle = llvm::make_bundle(target, seen, key);
    std::printf("%s: %d regions compiled, %zu run in tiles, %s\n", target.c_str(), bundle.regions,
                bundle.left.size(), human_bytes(bundle.content.size()).c_str());
    for (const std::string& why : bundle.left) std::fprintf(stderr, "moka: in tiles: %s\n", why.c_str());
    extras.files[cat(llvm::code_folder, target)] = std::move(bundle.content);
  }
  package::write(output, model.program, model.main, extras);
  std::printf("%s: %s\n", output.c_str(), human_bytes(Bytes::of_file(output).size()).c_str());
  return 0;
}

}  // namespace moka::command
