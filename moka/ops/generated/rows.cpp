// Work on rows as lane programs: sums, extrema, softmax and norms written with numbers that are nodes.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "moka/ops/generated/lane_number.h"

namespace moka::lanes {

namespace {
template <class T>
using Number = Num<T, 0>;

template <class T>
Number<T> reduced(Kind kind, Number<T> x) {
  return {Value<T>(page->add({kind, type_of<T>, x.v.id}))};
}
template <class T>
Number<T> count() {
  return {Value<T>(page->add({Kind::Count, type_of<T>}))};
}
template <class T>
Number<T> mean(Number<T> x) {
  return reduced(Kind::RowSum, x) / count<T>();
}

template <class T>
std::optional<Number<T>> work_of(RowWork work, Number<T> x, std::optional<Number<T>> weight,
                                 std::optional<Number<T>> bias, T epsilon) {
  switch (work) {
    case RowWork::Sum: return reduced(Kind::RowSum, x);
    case RowWork::Maximum: return reduced(Kind::RowMaximum, x);
    case RowWork::Minimum: return reduced(Kind::RowMinimum, x);
    default: break;
  }
  if constexpr (std::is_floating_point_v<T>) {
    switch (work) {
      case RowWork::Mean: return mean(x);
      case RowWork::Softmax: {
        const Number<T> e = number_exp(x - reduced(Kind::RowMaximum, x));
        return e * (T(1) / reduced(Kind::RowSum, e));
      }
      case RowWork::LogSoftmax: {
        const Number<T> below = x - reduced(Kind::RowMaximum, x);
        return below - number_log(reduced(Kind::RowSum, number_exp(below)));
      }
      case RowWork::LayerNorm:
      case RowWork::RmsNorm: {
        const Number<T> centred = work == RowWork::LayerNorm ? x - mean(x) : x;
        Number<T> y = centred * (T(1) / number_sqrt(mean(centred * centred) + epsilon));
        if (weight) y = y * *weight;
        if (bias) y = y + *bias;
        return y;
      }
      default: break;
    }
  }
  return std::nullopt;
}

template <class T>
std::optional<int> read_as(RowWork work, int input, int weight, int bias, double epsilon) {
  const auto maybe = [](int id) { return id < 0 ? std::nullopt : std::optional(Number<T>{Value<T>(id)}); };
  const std::optional<Number<T>> y =
      work_of<T>(work, Number<T>{Value<T>(input)}, maybe(weight), maybe(bias), static_cast<T>(epsilon));
  return y ? std::optional(y->v.id) : std::nullopt;
}
}  // namespace

std::optional<int> read_row_work(Page& to, RowWork work, Type compute, int input, int weight, int bias,
                                 double epsilon) {
  const OpenPage open(to);
  switch (compute) {
    case Type::F32: return read_as<float>(work, input, weight, bias, epsilon);
    case Type::F64: return read_as<double>(work, input, weight, bias, epsilon);
    case Type::I64: return read_as<int64_t>(work, input, weight, bias, epsilon);
    default: return std::nullopt;
  }
}

RowLoops plan_loops(const Program& program) {
  constexpr int cheap = 4;  // so many operations are done again rather than kept
  const Page& page = program.page;
  RowLoops out;
  const size_t size = static_cast<size_t>(page.size());
  out.line.assign(size, 1);
  out.loop.assign(size, 0);
  out.spare.assign(size, -1);
  std::vector<int> cost(size, 0);
  for (int i = 0; i < page.size(); i++) {
    const Node& n = page[i];
    const size_t at = static_cast<size_t>(i);
    if (n.kind == Kind::Input) out.line[at] = program.line_inputs[n.number];
    else cost[at] = 1;
    for (int o : {n.a, n.b, n.c}) {
      if (o < 0) continue;
      const size_t from = static_cast<size_t>(o);
      out.line[at] &= out.line[from] || is_reduction(n.kind);
      out.loop[at] = std::max(out.loop[at], out.loop[from] + is_reduction(n.kind));
      if (!out.line[from]) cost[at] = std::min(cost[at] + cost[from], cheap + 1);
    }
    if (is_reduction(n.kind)) out.loops = std::max(out.loops, out.loop[at] + 1);
  }
  // What a later loop wants of an earlier one and costs more than reading it back.
  for (int i = 0; i < page.size(); i++)
    for (int o : {page[i].a, page[i].b, page[i].c}) {
      if (o < 0 || is_reduction(page[i].kind)) continue;
      const size_t from = static_cast<size_t>(o), at = static_cast<size_t>(i);
      if (out.line[from] || out.line[at] || out.loop[at] <= out.loop[from] || page[o].type == Type::Mask)
        continue;
      if (cost[from] > cheap && out.spare[from] < 0 && out.spare_rows < most_spare_rows)
        out.spare[from] = out.spare_rows++;
    }
  return out;
}

std::vector<int> loop_body(const Program& program, const RowLoops& loops, int l) {
  const Page& page = program.page;
  std::vector<char> wanted(static_cast<size_t>(page.size()));
  const auto is_line = [&](int id) { return loops.line[static_cast<size_t>(id)] != 0; };
  const auto loop_of = [&](int id) { return loops.loop[static_cast<size_t>(id)]; };
  const auto spare_of = [&](int id) { return loops.spare[static_cast<size_t>(id)]; };
  const auto want = [&](int id) {
    if (id >= 0 && !is_line(id)) wanted[static_cast<size_t>(id)] = 1;
  };
  for (int i = 0; i < page.size(); i++) {
    if (is_reduction(page[i].kind) && loop_of(i) == l + 1) want(page[i].a);
    if (spare_of(i) >= 0 && loop_of(i) == l) want(i);
  }
  for (const int g : page.refused())
    if (loop_of(g) == l) want(g);
  for (size_t r = 0; r < program.results.size(); r++) {
    const int id = program.results[r];
    if (program.line_results[r]) continue;
    if (!is_line(id) && loop_of(id) == l) want(id);
    // A result whose value is known for the whole row is written in the last loop.
    if (is_line(id) && l + 1 == loops.loops) wanted[static_cast<size_t>(id)] = 1;
  }
  std::vector<int> body;
  for (int i = page.size(); i-- > 0;) {
    if (!wanted[static_cast<size_t>(i)]) continue;
    body.push_back(i);
    const bool kept = spare_of(i) >= 0 && loop_of(i) < l;
    if (is_line(i) || kept) continue;
    for (int o : {page[i].a, page[i].b, page[i].c}) want(o);
  }
  std::reverse(body.begin(), body.end());
  return body;
}

bool pays(const Program& program, const RowLoops& loops) {
  constexpr size_t most_times = 3;
  size_t once = 0, all = 0;
  for (int i = 0; i < program.page.size(); i++)
    once += !loops.line[static_cast<size_t>(i)] && program.page[i].kind != Kind::Constant;
  for (int l = 0; l < loops.loops; l++) all += loop_body(program, loops, l).size();
  return all <= most_times * once;
}

}  // namespace moka::lanes
