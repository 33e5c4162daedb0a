// Lane programs in LLVM's text form, with explicit vectors.
// SPDX-License-Identifier: Apache-2.0
#include "moka/base/cpu.h"
#include "moka/ops/generated/llvm_text.h"

namespace moka::lanes {

namespace {
constexpr Target targets[] = {{"x86-64-v3", "x86_64-unknown-linux-gnu", 32},
                              {"x86-64-v4", "x86_64-unknown-linux-gnu", 64},
                              {"aarch64", "aarch64-unknown-linux-gnu", 16}};

class Printer : LaneText {
 public:
  using LaneText::LaneText;

  std::string function(std::string_view name) {
    cat_to("define i32 @", name,
           "(ptr noalias readonly %results, ptr noalias readonly %inputs, i64 %n) #0 {\nentry:\n");
    for (size_t i = 0; i < program_.inputs.size(); i++) pointer("inputs", "in", i, i);
    for (size_t r = 0; r < program_.results.size(); r++) pointer("results", "out", r, r);
    const bool guarded = !page_.refused().empty();
    cat_to("  %last = sub i64 %n, ", width_, "\n  br label %loop\nloop:\n",
           "  %i = phi i64 [ 0, %entry ], [ %next, %loop ]\n");
    if (guarded)
      cat_to("  %bad0 = phi ", vector(Type::Mask), " [ zeroinitializer, %entry ], [ %bad",
             page_.refused().size(), ", %loop ]\n");
    for (int i = 0; i < page_.size(); i++) node(i);
    for (size_t g = 0; g < page_.refused().size(); g++)
      cat_to("  %bad", g + 1, " = or ", vector(Type::Mask), " %bad", g, ", ", operand(page_.refused()[g]),
             "\n");
    for (size_t r = 0; r < program_.results.size(); r++) store(program_.results[r], cat("%out", r));
    cat_to("  %step = add i64 %i, ", width_, "\n  %past = icmp sgt i64 %step, %last\n",
           "  %next = select i1 %past, i64 %last, i64 %step\n  %done = icmp eq i64 %i, %last\n",
           "  br i1 %done, label %end, label %loop\nend:\n");
    finish(guarded ? cat("%bad", page_.refused().size()) : std::string());
    return std::move(out_);
  }
};
}  // namespace

const Target* find_target(std::string_view name) {
  for (const Target& t : targets)
    if (t.name == name) return &t;
  return nullptr;
}
const Target* host_target() {
#if defined(__x86_64__)
  if (isa() == Isa::Baseline) return nullptr;
  return find_target(isa() == Isa::Avx512 ? "x86-64-v4" : "x86-64-v3");
#elif defined(__aarch64__)
  return find_target("aarch64");
#else
  return nullptr;
#endif
}

std::string print_llvm(const Program& program, std::string_view name, const Target& target) {
  return program.rows ? print_llvm_rows(program, name, target) : Printer(program, target).function(name);
}

std::string print_llvm_module(std::string_view functions, const Target& target) {
  std::string text = cat("target triple = \"", target.triple, "\"\n", functions);
  for (const char* name : {"sqrt", "floor", "ceil", "trunc", "roundeven", "fma"})
    for (int bytes : {4, 8})
      for (int width = 2; width <= 16; width *= 2) {
        const std::string type = cat("<", width, " x ", bytes == 4 ? "float" : "double", ">");
        const std::string whole = cat("@llvm.", name, ".v", width, bytes == 4 ? "f32" : "f64", "(");
        if (functions.find(whole) == std::string_view::npos) continue;
        text += cat("declare ", type, " ", whole, type);
        if (name == std::string_view("fma")) text += cat(", ", type, ", ", type);
        text += ")\n";
      }
  return text + cat("attributes #0 = { nounwind \"target-cpu\"=\"",
                    target.name == "aarch64" ? "generic" : target.name, "\" \"prefer-vector-width\"=\"",
                    target.vector_bytes * 8, "\" \"frame-pointer\"=\"none\" }\n");
}

}  // namespace moka::lanes
