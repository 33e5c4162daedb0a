// Row programs in LLVM's text form: a loop over the row for every reduction that needs another one's result, with
// several accumulators where little is done to an element; the last elements are masked in the reductions.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/generated/llvm_text.h"

namespace moka::lanes {

namespace {
class RowPrinter : LaneText {
 public:
  RowPrinter(const Program& program, const Target& target)
      : LaneText(program, target), loops_(plan_loops(program)) {}

  std::string function(std::string_view name) {
    cat_to("define i32 @", name,
           "(ptr noalias readonly %results, ptr noalias readonly %inputs, i64 %n) #0 {\nentry:\n");
    for (size_t i = 0; i < program_.inputs.size(); i++) pointer("inputs", "in", i, i);
    const size_t results = program_.results.size();
    for (size_t r = 0; r < results; r++) pointer("results", "out", r, r);
    for (size_t s = 0; s < static_cast<size_t>(loops_.spare_rows); s++)
      pointer("results", "spare", s, results + s);
    cat_to("  %last = sub i64 %n, ", width_, "\n");
    from_ = "entry";
    for (int l = 0; l < loops_.loops; l++) {
      lines(l);
      loop(l);
    }
    for (size_t r = 0; r < results; r++) {
      const int id = program_.results[r];
      if (!program_.line_results[r]) continue;
      const Word w = word_of(page_[id].type);
      cat_to("  %one", r, " = extractelement ", vector(page_[id].type), " ", operand(id), ", i64 0\n  store ",
             w.scalar, " %one", r, ", ptr %out", r, ", align ", w.bytes, "\n");
    }
    for (const int g : page_.refused())
      if (is_line(g)) join_bad(operand(g));
    finish(bad_);
    return std::move(out_);
  }

 private:
  bool is_line(int id) const { return loops_.line[static_cast<size_t>(id)]; }
  int loop_of(int id) const { return loops_.loop[static_cast<size_t>(id)]; }
  int spare_of(int id) const { return loops_.spare[static_cast<size_t>(id)]; }
  void label(const std::string& name) { cat_to(name, ":\n"), from_ = name; }
  void splat_scalar(int id, std::string_view type, std::string_view scalar) {
    cat_to("  %first", id, " = insertelement ", vector(page_[id].type), " poison, ", type, " ", scalar,
           ", i64 0\n");
    assign(id, cat("shufflevector ", vector(page_[id].type), " %first", id, ", ", vector(page_[id].type),
                   " poison, <", width_, " x i32> zeroinitializer"));
  }
  void join_bad(const std::string& mask) {
    if (bad_.empty()) {
      bad_ = mask;
      return;
    }
    const std::string name = cat("%bad.join", joined_++);
    cat_to("  ", name, " = or ", vector(Type::Mask), " ", bad_, ", ", mask, "\n");
    bad_ = name;
  }

  // What is known of the row before loop l.
  void lines(int l) {
    suffix_.clear();
    for (int i = 0; i < page_.size(); i++) {
      const Node& n = page_[i];
      if (!is_line(i) || loop_of(i) != l || is_reduction(n.kind)) continue;
      const Word w = word_of(n.type);
      if (n.kind == Kind::Input) {
        cat_to("  %scalar", i, " = load ", w.scalar, ", ptr %in", n.number, ", align ", w.bytes, "\n");
        splat_scalar(i, w.scalar, cat("%scalar", i));
      } else if (n.kind == Kind::Count) {
        cat_to("  %scalar", i, " = sitofp i64 %n to ", w.scalar, "\n");
        splat_scalar(i, w.scalar, cat("%scalar", i));
      } else {
        node(i);
      }
    }
  }

  struct Sum {
    int id;  // the reduction
    std::string type, neutral, merged;
  };
  std::string neutral_of(const Node& n) const {
    if (n.kind == Kind::RowSum) return splat(n.type, 0);
    const bool high = n.kind == Kind::RowMinimum;
    if (n.type == Type::F32) return splat(n.type, high ? 0x7f800000 : 0xff800000);
    if (n.type == Type::F64) return splat(n.type, high ? 0x7ff0000000000000 : 0xfff0000000000000);
    return splat(n.type, high ? 0x7fffffffffffffff : 0x8000000000000000);
  }
  // `name` becomes a and b taken together.
  void combine(const Node& n, const std::string& name, const std::string& a, const std::string& b) {
    const std::string type = vector(n.type);
    if (n.kind == Kind::RowSum)
      return cat_to("  ", name, " = ", is_float(n.type) ? "fadd " : "add ", type, " ", a, ", ", b, "\n");
    const bool high = n.kind == Kind::RowMaximum;
    if (is_float(n.type)) {
      cat_to("  ", name, ".x = fcmp ", high ? "ogt " : "olt ", type, " ", a, ", ", b, "\n");
      cat_to("  ", name, ".y = fcmp uno ", type, " ", a, ", ", a, "\n");
      cat_to("  ", name, ".z = or ", vector(Type::Mask), " ", name, ".x, ", name, ".y\n");
    } else {
      cat_to("  ", name, ".z = icmp ", high ? "sgt " : "slt ", type, " ", a, ", ", b, "\n");
    }
    cat_to("  ", name, " = select ", vector(Type::Mask), " ", name, ".z, ", type, " ", a, ", ", type, " ", b,
           "\n");
  }

  // What loop l computes of elements, in order, with the sums that it takes and the masks that it looks at.
  std::vector<int> body_of(int l, std::vector<Sum>& sums, std::vector<int>& guards) const {
    for (int i = 0; i < page_.size(); i++) {
      const Node& n = page_[i];
      if (is_reduction(n.kind) && loop_of(i) == l + 1) sums.push_back({i, vector(n.type), neutral_of(n), {}});
    }
    for (const int g : page_.refused())
      if (!is_line(g) && loop_of(g) == l) guards.push_back(g);
    return loop_body(program_, loops_, l);
  }
  bool kept(int id, int l) const { return spare_of(id) >= 0 && loop_of(id) < l; }

  void one_copy(int l, const std::vector<int>& body) {
    for (const int i : body) {
      if (is_line(i)) continue;
      if (kept(i, l)) load(i, cat("%spare", spare_of(i)));
      else node(i);
    }
    for (const int i : body)
      if (spare_of(i) >= 0 && loop_of(i) == l) store(i, cat("%spare", spare_of(i)));
    for (size_t r = 0; r < program_.results.size(); r++) {
      const int id = program_.results[r];
      if (program_.line_results[r]) continue;
      if (is_line(id) ? l + 1 == loops_.loops : loop_of(id) == l) store(id, cat("%out", r));
    }
  }

  void loop(int l) {
    std::vector<Sum> sums;
    std::vector<int> guards;
    const std::vector<int> body = body_of(l, sums, guards);
    if (body.empty() && sums.empty()) return;
    const int copies = body.size() <= 16 ? 4 : body.size() <= 40 ? 2 : 1;
    const std::string p = cat("l", l, "."), mask = vector(Type::Mask);
    const std::string start = from_, main = cat("%", p, "main");
    cat_to("  ", main, " = and i64 %n, ", -static_cast<int64_t>(copies * width_), "\n  %", p,
           "any = icmp sgt i64 ", main, ", 0\n  br i1 %", p, "any, label %", p, "body, label %", p, "rest\n");
    // As many vectors at a time as there are copies.
    label(p + "body");
    cat_to("  %", p, "i = phi i64 [ 0, %", start, " ], [ %", p, "next, %", p, "body ]\n");
    for (const Sum& s : sums)
      for (int c = 0; c < copies; c++)
        cat_to("  %", p, "sum", s.id, ".", c, " = phi ", s.type, " [ ", s.neutral, ", %", start, " ], [ %", p,
               "sum", s.id, ".", c, ".next, %", p, "body ]\n");
    if (!guards.empty())
      cat_to("  %", p, "bad = phi ", mask, " [ zeroinitializer, %", start, " ], [ %", p, "bad.", copies - 1,
             ".", guards.size() - 1, ", %", p, "body ]\n");
    std::string bad = cat("%", p, "bad");
    for (int c = 0; c < copies; c++) {
      suffix_ = cat(".", p, c);
      index_ = cat("%", p, "i");
      if (c) {
        index_ = cat("%", p, "i.", c);
        cat_to("  ", index_, " = add i64 %", p, "i, ", c * width_, "\n");
      }
      one_copy(l, body);
      for (const Sum& s : sums)
        combine(page_[s.id], cat("%", p, "sum", s.id, ".", c, ".next"), cat("%", p, "sum", s.id, ".", c),
                operand(page_[s.id].a));
      for (size_t g = 0; g < guards.size(); g++) {
        const std::string next = cat("%", p, "bad.", c, ".", g);
        cat_to("  ", next, " = or ", mask, " ", bad, ", ", operand(guards[g]), "\n");
        bad = next;
      }
    }
    cat_to("  %", p, "next = add i64 %", p, "i, ", copies * width_, "\n  %", p, "more = icmp slt i64 %", p,
           "next, ", main, "\n  br i1 %", p, "more, label %", p, "body, label %", p, "rest\n");
    // The accumulators become one.
    label(p + "rest");
    for (Sum& s : sums)
      for (int c = 0; c < copies; c++)
        cat_to("  %", p, "all", s.id, ".", c, " = phi ", s.type, " [ ", s.neutral, ", %", start, " ], [ %", p,
               "sum", s.id, ".", c, ".next, %", p, "body ]\n");
    if (!guards.empty())
      cat_to("  %", p, "bad.rest = phi ", mask, " [ zeroinitializer, %", start, " ], [ ", bad, ", %", p,
             "body ]\n");
    for (Sum& s : sums) {
      s.merged = cat("%", p, "all", s.id, ".0");
      for (int c = 1; c < copies; c++) {
        const std::string next = cat("%", p, "both", s.id, ".", c);
        combine(page_[s.id], next, s.merged, cat("%", p, "all", s.id, ".", c));
        s.merged = next;
      }
    }
    cat_to("  %", p, "left = icmp slt i64 ", main, ", %n\n  br i1 %", p, "left, label %", p, "tail, label %",
           p, "end\n");
    // What is left, a vector at a time; the last one begins before it, with elements that are not counted again.
    label(p + "tail");
    const std::string t = cat("%", p, "t");
    cat_to("  ", t, " = phi i64 [ ", main, ", %", p, "rest ], [ ", t, ".next, %", p, "tail ]\n");
    for (const Sum& s : sums)
      cat_to("  %", p, "tail", s.id, " = phi ", s.type, " [ ", s.merged, ", %", p, "rest ], [ %", p, "tail",
             s.id, ".next, %", p, "tail ]\n");
    bad = cat("%", p, "bad.tail");
    if (!guards.empty())
      cat_to("  ", bad, " = phi ", mask, " [ %", p, "bad.rest, %", p, "rest ], [ ", bad, ".",
             guards.size() - 1, ", %", p, "tail ]\n");
    cat_to("  ", t, ".past = icmp sgt i64 ", t, ", %last\n  ", t, ".at = select i1 ", t,
           ".past, i64 %last, i64 ", t, "\n");
    suffix_ = cat(".", p, "tail");
    index_ = t + ".at";
    one_copy(l, body);
    if (!sums.empty()) write_mask(t);
    for (const Sum& s : sums) {
      const std::string name = cat("%", p, "tail", s.id);
      cat_to("  ", name, ".masked = select ", mask, " ", t, ".mask, ", s.type, " ", operand(page_[s.id].a),
             ", ", s.type, " ", s.neutral, "\n");
      combine(page_[s.id], name + ".next", name, name + ".masked");
    }
    for (size_t g = 0; g < guards.size(); g++)
      cat_to("  %", p, "bad.tail.", g, " = or ", mask, " ", g ? cat("%", p, "bad.tail.", g - 1) : bad, ", ",
             operand(guards[g]), "\n");
    cat_to("  ", t, ".next = add i64 ", t, ", ", width_, "\n  ", t, ".more = icmp slt i64 ", t,
           ".next, %n\n  br i1 ", t, ".more, label %", p, "tail, label %", p, "end\n");
    label(p + "end");
    suffix_.clear();
    for (const Sum& s : sums) {
      const std::string name = cat("%", p, "row", s.id);
      cat_to("  ", name, " = phi ", s.type, " [ ", s.merged, ", %", p, "rest ], [ %", p, "tail", s.id,
             ".next, %", p, "tail ]\n");
    }
    std::string all_bad = cat("%", p, "bad.end");
    if (!guards.empty()) {
      cat_to("  ", all_bad, " = phi ", mask, " [ %", p, "bad.rest, %", p, "rest ], [ %", p, "bad.tail.",
             guards.size() - 1, ", %", p, "tail ]\n");
      join_bad(all_bad);
    }
    for (const Sum& s : sums) all_lanes(s, cat("%", p, "row", s.id));
  }

  // Lanes from t on: those before it were counted by the vector before.
  void write_mask(const std::string& t) {
    cat_to("  ", t, ".skip = sub i64 ", t, ", ", t, ".at\n  ", t, ".skip32 = trunc i64 ", t,
           ".skip to i32\n");
    const std::string words = cat("<", width_, " x i32>");
    cat_to("  ", t, ".one = insertelement ", words, " poison, i32 ", t, ".skip32, i64 0\n  ", t,
           ".many = shufflevector ", words, " ", t, ".one, ", words, " poison, ", words,
           " zeroinitializer\n  ", t, ".mask = icmp sge ", words, " <");
    for (int i = 0; i < width_; i++) cat_to(i ? ", " : "", "i32 ", i);
    cat_to(">, ", t, ".many\n");
  }
  // Halves are exchanged until every lane holds the result of all.
  void all_lanes(const Sum& s, std::string name) {
    for (int step = width_ / 2; step >= 1; step /= 2) {
      const std::string next = cat("%fold", s.id, ".", step);
      cat_to("  ", next, ".other = shufflevector ", s.type, " ", name, ", ", s.type, " poison, <", width_,
             " x i32> <");
      for (int i = 0; i < width_; i++) cat_to(i ? ", " : "", "i32 ", i ^ step);
      cat_to(">\n");
      combine(page_[s.id], next, name, next + ".other");
      name = next;
    }
    names_[static_cast<size_t>(s.id)] = name;
  }

  const RowLoops loops_;
  std::string from_, bad_;  // the block that is being written; the mask of elements out of reach
  int joined_ = 0;
};
}  // namespace

std::string print_llvm_rows(const Program& program, std::string_view name, const Target& target) {
  return RowPrinter(program, target).function(name);
}

}  // namespace moka::lanes
