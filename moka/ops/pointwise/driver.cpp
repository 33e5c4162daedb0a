// The loop over tensors that every formula shares. Operands that lie contiguous in iteration order and in the compute
// type are read in place; the others are gathered and converted into tiles that stay in the first-level cache.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/pointwise/driver.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <vector>

#include "moka/base/cpu.h"
#include "moka/base/parallel.h"
#include "moka/ops/complex/scalar.h"
#include "moka/ops/pointwise/pointwise.h"
#include "moka/schema/formula_runner.h"
#include "moka/schema/given.h"

namespace moka {

namespace {
constexpr int tile_elements = 512;
constexpr int most_streams = 12;

int category(DType d) {
  switch (family(d)) {
    case DTypeClass::Bool: return 0;
    case DTypeClass::Unsigned:
    case DTypeClass::Signed: return 1;
    case DTypeClass::Float: return 2;
    case DTypeClass::Complex: return 3;
    default:
      fail_kind(ErrorKind::NotImplemented, "arithmetic on ", d,
                " is not defined; convert with .to(dtype) first");
  }
}
DType number_dtype(const Arg& a) {
  if (a.tag == Tag::Bool) return DType::Bool;
  if (is_complex_number(a)) return default_float() == DType::F64 ? DType::C128 : DType::C64;
  return a.tag == Tag::Int ? DType::I64 : default_float();
}

struct Bucket {
  bool any = false;
  DType dtype = DType::Bool;
  void add(DType d) {
    dtype = any ? promote(dtype, d) : d;
    any = true;
  }
};

int column_of(DType compute) {
  switch (compute) {
    case DType::F32: return 0;
    case DType::F64: return 1;
    case DType::I32:
    case DType::Bool: return 2;
    case DType::I64: return 3;
    default: return -1;
  }
}

struct Plan {
  FormulaKernel kernel;
  DType compute;  // the type of tiles
  DType common;  // of the operands; compute may be wider
  bool wide_numbers = false;  // numbers outside the range of `common` stay what they are
  DType written;  // what the kernel writes, unless mask
  DType result;  // the element type of the output
  bool mask;  // the kernel writes bool bytes
};

using FormulaRows = std::unordered_map<const Op*, std::vector<FormulaRow>>;
FormulaRows& formula_rows() {
  static FormulaRows* rows = new FormulaRows;
  return *rows;
}
// Rows beside the table, which serves types of a column alone.
std::span<const FormulaRow> rows_of(const Op& op, int column) {
  if (column >= 0) return {};
  auto at = formula_rows().find(&op);
  return at == formula_rows().end() ? std::span<const FormulaRow>() : std::span<const FormulaRow>(at->second);
}

// Operators that mean nothing for truth values, as in PyTorch.
void check_bools(const Op& op, std::span<const Arg> operands, DType common, std::string_view name) {
  const auto is_bool = [](const Arg& a) {
    return a.tag == Tag::Bool || (a.tag == Tag::Tensor && a.tensor->dtype == DType::Bool);
  };
  if (&op == &ops::sub_op)
    MOKA_CHECK_KIND(
        NotImplemented, std::none_of(operands.begin(), operands.end(), is_bool), name,
        ": bool has no difference; use ~ or logical_not() to invert a mask, ^ or logical_xor() for "
        "two of them");
  if (common != DType::Bool) return;
  for (const Op* refusing : {&ops::neg_op, &ops::abs_op, &ops::floor_op, &ops::ceil_op, &ops::round_op,
                             &ops::trunc_op, &ops::relu_op})
    if (&op == refusing)
      fail_kind(ErrorKind::NotImplemented, name, ": not defined for bool; ",
                refusing == &ops::neg_op ? "use ~ or logical_not() to invert a mask"
                                         : "convert it first, for example with int()");
}

Plan plan_types(const Op& op, std::span<const Arg> operands, std::string_view name) {
  const Formula& f = op.formula;
  Plan p{};
  if (f.rule == DTypeRule::Condition && operands[0].tag == Tag::Tensor)
    MOKA_CHECK(operands[0].tensor->dtype == DType::Bool, name, ": the condition must be a bool tensor, got ",
               operands[0].as_tensor(), "; compare it with something first, such as x != 0");
  DType common = result_type(f.rule == DTypeRule::Condition ? operands.subspan(1) : operands);
  if (f.rule == DTypeRule::Floating && (is_integral(common) || common == DType::Bool))
    common = default_float();
  check_bools(op, operands, common, name);
  if (f.rule == DTypeRule::Integral)
    MOKA_CHECK_KIND(NotImplemented, category(common) < 2, name, ": defined for bool and integers, got ",
                    common);
  if (&op == &ops::square_op && common == DType::Bool) common = DType::I64;  // a power of integers
  p.common = common;
  p.compute = compute_dtype(common);
  // Bounds beyond the type's range hold for all of its numbers.
  for (const Op* bounding : {&ops::clamp_op, &ops::maximum_op, &ops::minimum_op})
    if (&op == bounding) p.wide_numbers = true;
  int column = column_of(p.compute);
  if (p.compute == DType::Bool) p.compute = DType::I32;
  p.kernel = column < 0 ? nullptr : f.kernels[static_cast<int>(isa())][column];
  p.written = p.compute;
  for (const FormulaRow& row : rows_of(op, column))
    if (row.compute == p.compute) {
      p.kernel = row.kernels[static_cast<int>(isa())];
      p.written = row.result;
      if (row.result != row.compute) common = row.result;
    }
  MOKA_CHECK_KIND(NotImplemented, p.kernel != nullptr, name, ": not defined for ", common);
  p.mask = f.mask_result;
  p.result = f.rule == DTypeRule::Comparing ? DType::Bool : common;
  return p;
}

// One operand in iteration order: sizes of the loop are shared, strides in elements.
struct Operand {
  enum Mode { Direct, Constant, Gather } mode;
  char* data;
  DType dtype;
  int64_t item;
  Dims strides;
};

struct Loop {
  Dims sizes;  // outermost first
  int64_t total = 1;
};

struct Word16 {
  uint64_t low, high;
};

void write_number(const Arg& a, DType compute, void* to) {
  if (is_complex_number(a)) return convert_elements(a.floats, DType::C128, to, compute, 1);
  if (a.tag == Tag::Float) convert_elements(&a.f, DType::F64, to, compute, 1);
  else {
    int64_t v = a.tag == Tag::Bool ? a.b : a.i;
    convert_elements(&v, DType::I64, to, compute, 1);
  }
}

template <class Word>
void splat(void* to, const void* value, int64_t n) {
  Word w;
  std::memcpy(&w, value, sizeof w);
  Word* p = static_cast<Word*>(to);
  for (int64_t i = 0; i < n; i++) p[i] = w;
}
void splat_item(void* to, const void* value, int64_t item, int64_t n) {
  if (item == 4) splat<uint32_t>(to, value, n);
  else if (item == 8) splat<uint64_t>(to, value, n);
  else if (item == 2) splat<uint16_t>(to, value, n);
  else if (item == 16) splat<Word16>(to, value, n);
  else splat<uint8_t>(to, value, n);
}

template <class Word>
void gather_run(char* to, const char* from, int64_t step, int64_t n) {
  const Word* a = reinterpret_cast<const Word*>(from);
  Word* b = reinterpret_cast<Word*>(to);
  for (int64_t i = 0; i < n; i++) b[i] = a[i * step];
}
template <class Word>
void scatter_run(char* to, const char* from, int64_t step, int64_t n) {
  const Word* a = reinterpret_cast<const Word*>(from);
  Word* b = reinterpret_cast<Word*>(to);
  for (int64_t i = 0; i < n; i++) b[i * step] = a[i];
}

// Calls f(offset in elements, run start, run length) for the runs along the innermost dimension of [first, first + n).
template <class F>
void for_runs(const Loop& loop, const Operand& o, int64_t first, int64_t n, F f) {
  int last = static_cast<int>(loop.sizes.size()) - 1;
  int64_t index[max_dims];
  int64_t rest = first, offset = 0;
  for (int d = last; d >= 0; d--) {
    index[d] = rest % loop.sizes[d];
    rest /= loop.sizes[d];
    offset += index[d] * o.strides[d];
  }
  int64_t done = 0;
  while (done < n) {
    int64_t run = std::min(n - done, loop.sizes[last] - index[last]);
    f(offset, done, run);
    done += run;
    if (done == n) break;
    offset += run * o.strides[last];
    index[last] += run;
    for (int d = last; d > 0 && index[d] == loop.sizes[d]; d--) {
      offset += o.strides[d - 1] - o.strides[d] * loop.sizes[d];
      index[d] = 0;
      index[d - 1]++;
    }
  }
}

void gather(const Loop& loop, const Operand& o, int64_t first, int64_t n, DType compute, char* tile,
            char* raw) {
  int last = static_cast<int>(loop.sizes.size()) - 1;
  char* to = o.dtype == compute ? tile : raw;
  int64_t step = o.strides[last];
  for_runs(loop, o, first, n, [&](int64_t offset, int64_t at, int64_t run) {
    const char* from = o.data + offset * o.item;
    char* target = to + at * o.item;
    if (step == 1) std::memcpy(target, from, static_cast<size_t>(run * o.item));
    else if (step == 0) splat_item(target, from, o.item, run);
    else if (o.item == 4) gather_run<uint32_t>(target, from, step, run);
    else if (o.item == 8) gather_run<uint64_t>(target, from, step, run);
    else if (o.item == 2) gather_run<uint16_t>(target, from, step, run);
    else if (o.item == 16) gather_run<Word16>(target, from, step, run);
    else gather_run<uint8_t>(target, from, step, run);
  });
  if (to == raw) convert_elements(raw, o.dtype, tile, compute, n);
}

void scatter(const Loop& loop, const Operand& o, int64_t first, int64_t n, DType from_type, const char* tile,
             char* raw) {
  const char* from = tile;
  if (o.dtype != from_type) {
    convert_elements(tile, from_type, raw, o.dtype, n);
    from = raw;
  }
  int last = static_cast<int>(loop.sizes.size()) - 1;
  int64_t step = o.strides[last];
  for_runs(loop, o, first, n, [&](int64_t offset, int64_t at, int64_t run) {
    char* target = o.data + offset * o.item;
    const char* source = from + at * o.item;
    if (step == 1) std::memcpy(target, source, static_cast<size_t>(run * o.item));
    else if (o.item == 4) scatter_run<uint32_t>(target, source, step, run);
    else if (o.item == 8) scatter_run<uint64_t>(target, source, step, run);
    else if (o.item == 2) scatter_run<uint16_t>(target, source, step, run);
    else if (o.item == 16) scatter_run<Word16>(target, source, step, run);
    else scatter_run<uint8_t>(target, source, step, run);
  });
}

// Merges and orders dimensions so that the output is walked in memory order.
Loop make_loop(const Tensor& out, std::span<const Tensor> tensors, std::span<Operand> operands,
               Operand& target) {
  Loop loop;
  int ndim = out.dim();
  size_t count = operands.size();
  SmallVector<int, 8> order;
  for (int d = 0; d < ndim; d++)
    if (out.size(d) != 1) order.push_back(d);
  for (size_t i = 1; i < order.size(); i++)
    for (size_t j = i; j > 0 && out.stride(order[j - 1]) < out.stride(order[j]); j--)
      std::swap(order[j - 1], order[j]);
  auto stride_of = [&](size_t k, int d) -> int64_t {
    if (!tensors[k]) return 0;
    int own = d - (ndim - tensors[k].dim());
    return own < 0 || tensors[k].size(own) == 1 ? 0 : tensors[k].stride(own);
  };
  for (int d : order) {
    loop.sizes.push_back(out.size(d));
    loop.total *= out.size(d);
    target.strides.push_back(out.stride(d));
    for (size_t k = 0; k < count; k++) operands[k].strides.push_back(stride_of(k, d));
  }
  if (loop.sizes.empty()) {
    loop.sizes.push_back(1);
    target.strides.push_back(1);
    for (Operand& o : operands) o.strides.push_back(o.mode == Operand::Constant ? 0 : 1);
  }
  for (size_t i = loop.sizes.size(); i-- > 1;) {
    bool merge = target.strides[i - 1] == target.strides[i] * loop.sizes[i];
    for (size_t k = 0; k < count && merge; k++)
      merge = operands[k].strides[i - 1] == operands[k].strides[i] * loop.sizes[i];
    if (!merge) continue;
    loop.sizes[i - 1] *= loop.sizes[i];
    loop.sizes.erase(i);
    auto drop = [i](Dims& s) {
      s[i - 1] = s[i];
      s.erase(i);
    };
    drop(target.strides);
    for (Operand& o : operands) drop(o.strides);
  }
  return loop;
}

bool is_linear(const Loop& loop, const Operand& o) {
  int64_t expected = 1;
  for (size_t d = loop.sizes.size(); d-- > 0;) {
    if (o.strides[d] != expected) return false;
    expected *= loop.sizes[d];
  }
  return true;
}
bool is_constant(const Operand& o) {
  for (int64_t s : o.strides)
    if (s) return false;
  return true;
}

void run_loop(const Formula& f, const Plan& plan, std::span<const Arg> args, std::span<const Tensor> tensors,
              const Tensor& out, const Uniform* uniforms) {
  int count = static_cast<int>(args.size());
  Operand operands[most_streams];
  Operand target{Operand::Direct,
                 static_cast<char*>(out.raw_data()),
                 out.dtype(),
                 static_cast<int64_t>(item_size(out.dtype())),
                 {}};
  for (int k = 0; k < count; k++) {
    const Tensor& t = tensors[k];
    if (t)
      operands[k] = {Operand::Gather,
                     static_cast<char*>(t.raw_data()),
                     t.dtype(),
                     static_cast<int64_t>(item_size(t.dtype())),
                     {}};
    else operands[k] = {Operand::Constant, nullptr, plan.compute, 0, {}};
  }
  Loop loop = make_loop(out, tensors, {operands, static_cast<size_t>(count)}, target);
  if (loop.total == 0) return;

  DType tile_type = plan.mask ? DType::Bool : plan.written;  // of what the kernel writes
  int64_t compute_item = static_cast<int64_t>(item_size(plan.compute));
  bool all_direct = true;
  for (int k = 0; k < count; k++) {
    Operand& o = operands[k];
    if (o.mode == Operand::Gather && is_constant(o)) o.mode = Operand::Constant;
    else if (o.mode == Operand::Gather && o.dtype == plan.compute && is_linear(loop, o))
      o.mode = Operand::Direct;
    if (o.mode != Operand::Direct) all_direct = false;
  }
  bool direct_target = target.dtype == tile_type && is_linear(loop, target);
  if (!direct_target) all_direct = false;

  // A tile holds fewer elements where they are wide.
  int64_t widest = std::max<int64_t>({8, compute_item, target.item});
  for (int k = 0; k < count; k++) widest = std::max(widest, operands[k].item);
  const int64_t tile_length = tile_elements * 8 / widest;

  int64_t grain = std::max<int64_t>(4096, 65536 / std::max<int>(f.cost, 1));
  parallel_for(0, loop.total, grain, [&](int64_t first, int64_t last) {
    const void* in[most_streams];
    if (all_direct) {
      for (int k = 0; k < count; k++) in[k] = operands[k].data + first * compute_item;
      plan.kernel(target.data + first * target.item, in, last - first, uniforms);
      return;
    }
    alignas(64) char tiles[most_streams + 2][tile_elements * 8];
    char* raw = tiles[most_streams];
    char* result = tiles[most_streams + 1];
    int64_t length = std::min<int64_t>(tile_length, last - first);
    for (int k = 0; k < count; k++) {
      if (operands[k].mode != Operand::Constant) continue;
      char value[16];
      // A number or 0-d tensor takes the operands' type before the wider one: -1 is 255 beside uint8.
      const DType own = tensors[k] ? operands[k].dtype : plan.common;
      const bool narrow = is_integral(plan.common) && is_integral(own) && (tensors[k] || !plan.wide_numbers);
      const DType first = narrow ? plan.common : plan.compute;
      if (tensors[k]) convert_elements(operands[k].data, operands[k].dtype, value, first, 1);
      else write_number(args[k], first, value);
      if (first != plan.compute) {
        char given[16];
        std::memcpy(given, value, sizeof given);
        convert_elements(given, first, value, plan.compute, 1);
      }
      splat_item(tiles[k], value, compute_item, length);
      in[k] = tiles[k];
    }
    for (int64_t at = first; at < last; at += tile_length) {
      int64_t n = std::min<int64_t>(tile_length, last - at);
      for (int k = 0; k < count; k++) {
        if (operands[k].mode == Operand::Direct) in[k] = operands[k].data + at * compute_item;
        else if (operands[k].mode == Operand::Gather) {
          gather(loop, operands[k], at, n, plan.compute, tiles[k], raw);
          in[k] = tiles[k];
        }
      }
      if (direct_target) {
        plan.kernel(target.data + at * target.item, in, n, uniforms);
      } else {
        plan.kernel(result, in, n, uniforms);
        scatter(loop, target, at, n, tile_type, result, raw);
      }
    }
  });
}

// Memory that an in-place result shares with an operand other than element for element must be copied first.
bool overlaps_partly(const Tensor& in, const Tensor& out) {
  if (in.impl()->storage != out.impl()->storage) return false;
  if (in.impl() == out.impl()) return false;
  bool same = in.impl()->offset == out.impl()->offset && in.dtype() == out.dtype() && in.dim() == out.dim() &&
              std::equal(in.sizes().begin(), in.sizes().end(), out.sizes().begin()) &&
              std::equal(in.strides().begin(), in.strides().end(), out.strides().begin());
  return !same;
}

// Dense strides that the operands share (a transposed result stays transposed), else contiguous ones.
Tensor allocate_like(std::span<const int64_t> shape, std::span<const Tensor> tensors, DType dtype,
                     Device device) {
  const Tensor* model = nullptr;
  for (const Tensor& t : tensors) {
    if (!t || t.dim() != static_cast<int>(shape.size()) ||
        !std::equal(shape.begin(), shape.end(), t.sizes().begin()))
      continue;
    if (!model) model = &t;
    else if (!std::equal(t.strides().begin(), t.strides().end(), model->strides().begin()))
      return new_tensor(shape, dtype, device);
  }
  if (!model || model->is_contiguous() || !is_non_overlapping(model->sizes(), model->strides()))
    return new_tensor(shape, dtype, device);
  int64_t reach = 1;
  for (int d = 0; d < model->dim(); d++) reach += (model->size(d) - 1) * model->stride(d);
  if (reach != model->numel()) return new_tensor(shape, dtype, device);
  return new_strided_tensor(shape, model->strides(), dtype, device);
}

Dims common_shape(std::span<const Tensor> tensors, std::string_view name) {
  Dims shape;
  bool first = true;
  for (const Tensor& t : tensors) {
    if (!t) continue;
    if (first) shape = Dims(t.sizes());
    else if (!(std::span<const int64_t>(shape).size() == t.sizes().size() &&
               std::equal(shape.begin(), shape.end(), t.sizes().begin())))
      shape = broadcast_shape(shape, t.sizes(), name);
    first = false;
  }
  return shape;
}

void check_same_device(std::span<const Tensor> tensors, std::string_view name) {
  const Tensor* first = nullptr;
  for (const Tensor& t : tensors) {
    if (!t || !t.has_storage()) continue;
    if (!first) first = &t;
    else if (!(t.device() == first->device()) && t.dim() != 0)
      fail(name, ": operands live on different devices, ", first->device(), " and ", t.device(),
           "; move one with .to(device)");
  }
}

// The case that small programs are made of: contiguous float32 operands of one shape on the CPU, and numbers.
class SmallOperands {
 public:
  const void* in[most_streams];
  const TensorImpl* model = nullptr;  // a tensor of the shape of all

  bool take(std::span<const Arg> operands) {
    for (const Arg& a : operands) {
      if (a.tag != Tag::Tensor) {
        if (!a.is_number()) return false;
        continue;
      }
      if (!is_small(a.as_tensor()) || (model && !same_sizes(model, a.tensor))) return false;
      model = a.tensor;
    }
    if (!model) return false;
    for (size_t k = 0; k < operands.size(); k++) {
      if (operands[k].tag == Tag::Tensor) {
        in[k] = operands[k].as_tensor().raw_data();
        continue;
      }
      if (used_ == most_numbers || model->numel > most_written) return false;
      float* row = written_[used_++];
      std::fill_n(row, model->numel, static_cast<float>(operands[k].as_double()));
      in[k] = row;
    }
    return true;
  }
  // Whether results can be written into t without disturbing operands that are still to be read.
  bool may_write(const Tensor& t, size_t count) const {
    if (!is_small(t) || !same_sizes(model, t.impl())) return false;
    const char *to = t.data<char>(), *end = to + t.bytes();
    for (size_t k = 0; k < count; k++) {
      const char* from = static_cast<const char*>(in[k]);
      if (from != to && from < end && to < from + t.bytes()) return false;
    }
    return true;
  }

 private:
  static constexpr int64_t most_elements = 8192, most_written = 256;
  static constexpr int most_numbers = 4;
  static bool is_small(const Tensor& t) {
    const TensorImpl* i = t.impl();
    return i->dtype == DType::F32 && i->numel <= most_elements && i->storage &&
           i->storage->device.type == 0 && t.is_contiguous();
  }
  static bool same_sizes(const TensorImpl* a, const TensorImpl* b) {
    if (a->ndim != b->ndim) return false;
    for (int d = 0; d < a->ndim; d++)
      if (a->sizes[d] != b->sizes[d]) return false;
    return true;
  }
  int used_ = 0;
  float written_[most_numbers][most_written];
};

inline bool run_small(Frame& frame, const Formula& f) {
  if (f.streams > 2 || frame.infer || f.rule == DTypeRule::Integral) return false;
  FormulaKernel kernel = f.kernels[static_cast<int>(isa())][0];
  SmallOperands small;
  if (!kernel || !small.take({frame.args, f.streams})) return false;
  Uniform uniforms[8];
  for (int u = 0; u < f.uniforms; u++) {
    const Arg& n = frame.args[f.streams + u];
    if (!n.is_number()) return false;
    uniforms[u] = {n.as_double(), 0};
  }
  if (frame.given) {
    if (frame.given != 1 || f.mask_result || !small.may_write(frame.outs[0], f.streams)) return false;
  } else {
    frame.outs.resize(1);
    frame.outs[0] =
        new_tensor({small.model->sizes, small.model->ndim}, f.mask_result ? DType::Bool : DType::F32);
  }
  if (small.model->numel) kernel(frame.outs[0].raw_data(), small.in, small.model->numel, uniforms);
  return true;
}
}  // namespace

void add_formula_kernels(const Op& op, const FormulaRow& row) { formula_rows()[&op].push_back(row); }

DType result_type(std::span<const Arg> operands) {
  Bucket with_dims, zero_dims, numbers;
  for (const Arg& a : operands) {
    if (a.tag == Tag::Tensor) (a.tensor->ndim ? with_dims : zero_dims).add(a.tensor->dtype);
    else if (a.is_number() || is_complex_number(a)) numbers.add(number_dtype(a));
  }
  Bucket result;
  auto merge = [&](const Bucket& weaker) {
    if (!weaker.any) return;
    if (!result.any) result = weaker;
    else if (category(weaker.dtype) > category(result.dtype))
      result.dtype = promote(result.dtype, weaker.dtype);
  };
  merge(with_dims);
  merge(zero_dims);
  // A number never widens within its category; above it, it brings the default type of its own.
  merge(numbers);
  return result.dtype;
}

void run_formula(Frame& frame) {
  const Formula& f = frame.op.formula;
  if (run_small(frame, f)) return;
  std::string_view name = frame.name();
  int count = f.streams;
  Tensor tensors[most_streams];
  bool any = false;
  for (int k = 0; k < count; k++)
    if (frame.args[k].tag == Tag::Tensor) {
      tensors[k] = frame.tensor(k);
      any = true;
    }
  MOKA_CHECK_KIND(Type, any, name, ": at least one operand must be a Tensor");
  std::span<const Tensor> all(tensors, static_cast<size_t>(count));
  std::span<const Arg> operands(frame.args, static_cast<size_t>(count));
  Plan plan = plan_types(frame.op, operands, name);
  Dims shape = common_shape(all, name);
  frame.outs.resize(1);
  if (frame.infer) {
    frame.outs[0] = shape_only(shape, plan.result);
    return;
  }
  check_same_device(all, name);
  Uniform uniforms[16] = {};
  bool integral = plan.compute == DType::I32 || plan.compute == DType::I64;
  if (integral && &frame.op == &ops::pow_op && operands[1].is_number())
    MOKA_CHECK(operands[1].as_double() >= 0, name, ": integers to the power of ", operands[1].as_int(),
               " are no integers; convert the tensor first, for example with float()");
  for (int u = 0; u < f.uniforms; u++) {
    const Arg& a = frame.args[count + u];
    if (is_complex(plan.compute)) {
      ComplexNumber c = as_complex(a);
      uniforms[2 * u] = {c.real, 0};
      uniforms[2 * u + 1] = {c.imag, 0};
      continue;
    }
    MOKA_CHECK(a.is_none() || a.is_number(), name, ": argument '", info(frame.op).schema.args[count + u].name,
               "' is complex but the operands are real; convert them first");
    uniforms[u].f = a.as_double();
    if (integral) {
      MOKA_CHECK(a.tag != Tag::Float || a.f == static_cast<double>(static_cast<int64_t>(a.f)), name,
                 ": argument '", info(frame.op).schema.args[count + u].name, "' is ", a.f,
                 " but the operands are integers; convert them first");
      uniforms[u].i = a.as_int();
    }
  }
  if (frame.given & 1) {
    const Tensor& out = frame.outs[0];
    check_result_fits(name, plan.result, out.dtype());
    fit_given(frame, 0, shape);
    MOKA_CHECK(is_non_overlapping(out.sizes(), out.strides()), name,
               ": more than one element of the output refers to a single memory location (an expanded view); "
               "clone() it before writing in place");
    for (int k = 0; k < count; k++)
      if (tensors[k] && overlaps_partly(tensors[k], out)) {
        Tensor copy = new_tensor(tensors[k].sizes(), tensors[k].dtype(), tensors[k].device());
        copy_elements(tensors[k], copy);
        tensors[k] = copy;
      }
  } else {
    const auto given = std::find_if(all.begin(), all.end(), [](const Tensor& t) { return t.defined(); });
    frame.outs[0] = allocate_like(shape, all, plan.result, given->device());
  }
  if (frame.given >> 4 && frame.outs[0].dtype() != plan.result) {
    // The result is rounded to its own type before it is stored in another one.
    Tensor result = allocate_like(shape, all, plan.result, frame.outs[0].device());
    run_loop(f, plan, operands, all, result, uniforms);
    return copy_elements(result, frame.outs[0]);
  }
  run_loop(f, plan, operands, all, frame.outs[0], uniforms);
}

Tensor apply_formula(const Formula& formula, std::span<const Arg> operands, DType dtype,
                     std::string_view name) {
  FormulaKernel kernel = formula.kernels[static_cast<int>(isa())][0];
  if (SmallOperands small; dtype == DType::F32 && !formula.mask_result && kernel && small.take(operands)) {
    Tensor out = new_tensor({small.model->sizes, small.model->ndim}, dtype);
    if (small.model->numel) kernel(out.raw_data(), small.in, small.model->numel, nullptr);
    return out;
  }
  Tensor tensors[most_streams];
  size_t count = operands.size();
  MOKA_ASSERT(count <= most_streams);
  Device device{};
  for (size_t k = 0; k < count; k++)
    if (operands[k].tag == Tag::Tensor) {
      tensors[k] = operands[k].as_tensor();
      device = tensors[k].device();
    }
  std::span<const Tensor> all(tensors, count);
  Dims shape = common_shape(all, name);
  Plan plan{};
  plan.common = dtype;
  plan.compute = plan.written = compute_dtype(dtype);
  plan.result = dtype;
  plan.mask = formula.mask_result;
  int column = column_of(plan.compute);
  if (plan.compute == DType::Bool) plan.compute = plan.written = DType::I32;
  plan.kernel = column < 0 ? nullptr : formula.kernels[static_cast<int>(isa())][column];
  MOKA_CHECK_KIND(NotImplemented, plan.kernel != nullptr, name, ": not defined for ", dtype);
  Tensor out = allocate_like(shape, all, dtype, device);
  run_loop(formula, plan, operands, all, out, nullptr);
  return out;
}

}  // namespace moka
