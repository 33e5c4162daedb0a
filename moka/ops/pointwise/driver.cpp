// What every formula's call has in common: shapes, outputs, numbers beside the operands, and a short way for small tensors.
// SPDX-License-Identifier: Apache-2.0
#include "moka/ops/pointwise/driver.h"

#include <algorithm>

#include "moka/base/cpu.h"
#include "moka/ops/complex/scalar.h"
#include "moka/ops/kernels/memory_format.h"
#include "moka/ops/pointwise/tiles.h"
#include "moka/ops/pointwise/unsigned.h"
#include "moka/schema/formula_runner.h"
#include "moka/schema/given.h"
#include "moka/tensor/geometry.h"
#include "moka/tensor/meta.h"

namespace moka {

namespace {
bool is_dense(const Tensor& t) {
  int64_t reach = 1;
  for (int d = 0; d < t.dim(); d++) reach += (t.size(d) - 1) * t.stride(d);
  return reach == t.numel() && is_non_overlapping(t.sizes(), t.strides());
}
// Memory that an in-place result shares with an operand other than element for element: among operands without gaps that
// is an error, others are copied first.
bool overlaps_partly(const Tensor& in, const Tensor& out, std::string_view name) {
  if (in.impl()->storage != out.impl()->storage) return false;
  if (in.impl() == out.impl()) return false;
  bool same = in.impl()->offset == out.impl()->offset && in.dtype() == out.dtype() && in.dim() == out.dim() &&
              std::equal(in.sizes().begin(), in.sizes().end(), out.sizes().begin()) &&
              std::equal(in.strides().begin(), in.strides().end(), out.strides().begin());
  if (same || !in.numel() || !out.numel()) return false;
  if (!is_dense(in) || !is_dense(out)) return true;
  const char *first = in.data<char>(), *to = out.data<char>();
  const bool apart = first + in.bytes() <= to || to + out.bytes() <= first;
  MOKA_CHECK(
      apart, name,
      ": unsupported operation: some elements of the input tensor and the written-to tensor refer to a "
      "single memory location; clone() one of them");
  return false;
}

// Strides of a dense result: those that the operands share (a transposed result stays transposed), else their order.
Dims result_strides(std::span<const int64_t> shape, std::span<const Tensor> tensors) {
  const Tensor* model = nullptr;
  bool contiguous = true, alike = true;
  for (const Tensor& t : tensors) {
    if (!t) continue;
    contiguous &= t.is_contiguous();
    if (!model) model = &t;
    alike &=
        t.dim() == static_cast<int>(shape.size()) &&
        std::equal(shape.begin(), shape.end(), t.sizes().begin()) &&
        std::equal(t.strides().begin(), t.strides().end(), model->strides().begin(), model->strides().end());
  }
  if (contiguous || !model) return contiguous_strides(shape);
  if (alike && is_dense(*model)) return Dims(model->strides());
  return strides_like(shape, tensors);
}
Tensor allocate_like(std::span<const int64_t> shape, std::span<const Tensor> tensors, DType dtype,
                     Device device) {
  const bool contiguous =
      std::all_of(tensors.begin(), tensors.end(), [](const Tensor& t) { return !t || t.is_contiguous(); });
  if (contiguous) return new_tensor(shape, dtype, device);
  return new_strided_tensor(shape, result_strides(shape, tensors), dtype, device);
}
// An output whose shape changes takes the order of the operands' dimensions too.
void fit_output(Frame& frame, std::span<const int64_t> shape, std::span<const Tensor> tensors) {
  const Tensor& out = frame.outs[0];
  if (std::equal(shape.begin(), shape.end(), out.sizes().begin(), out.sizes().end())) return;
  fit_given(frame, 0, shape);
  take_geometry(out, strided_view(out, shape, result_strides(shape, tensors), out.impl()->offset));
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
  if (__builtin_expect(meta_bodies, 0)) return;
  const Tensor* first = nullptr;
  for (const Tensor& t : tensors) {
    if (!t || !t.has_storage() || t.dim() == 0) continue;
    if (!first) first = &t;
    else if (!(t.device() == first->device()))
      fail(name, ": operands live on different devices, ", first->device(), " and ", t.device(),
           "; move one with .to(device)");
  }
}

// A factor of integers must be one, and of numbers no bool.
void check_factor(const Arg& a, std::string_view argument, DType result, std::string_view name) {
  MOKA_CHECK(a.tag != Tag::Bool || result == DType::Bool, name, ": Boolean ", argument,
             " only supported for Boolean results.");
  MOKA_CHECK(a.tag != Tag::Float || !(is_integral(result) || result == DType::Bool), name,
             ": For integral input tensors, argument ", argument, " must not be a floating point number.");
}

// Where the result lives: a 0-d tensor of the CPU stands beside operands of other devices as a number does.
Device device_of(std::span<const Tensor> tensors) {
  Device device{};
  for (const Tensor& t : tensors)
    if (t && t.has_storage() && (device == Device{} || t.dim() != 0)) device = t.device();
  return meta_bodies ? meta_device : device;
}

// The case that small programs are made of: contiguous operands of one shape and one type on the CPU, and numbers.
class SmallOperands {
 public:
  const void* in[most_streams];
  const TensorImpl* model = nullptr;  // a tensor of the shape of all
  DType dtype = DType::F32;  // of all but a condition

  // condition: the first operand is one of bool.
  bool take(std::span<const Arg> operands, bool condition = false) {
    for (size_t k = 0; k < operands.size(); k++) {
      const Arg& a = operands[k];
      if (a.tag != Tag::Tensor) {
        if (!a.is_number()) return false;
        continue;
      }
      if (!is_small(a.as_tensor()) || (model && !same_sizes(model, a.tensor))) return false;
      model = a.tensor;
      if (condition && k == 0) {
        if (a.tensor->dtype != DType::Bool) return false;
      } else if (!typed_) {
        dtype = a.tensor->dtype, typed_ = true;
      } else if (a.tensor->dtype != dtype) {
        return false;
      }
    }
    if (!typed_) return false;
    if (dtype == DType::F32) return place<float>(operands, condition);
    if (dtype == DType::F64) return place<double>(operands, condition);
    return dtype == DType::I64 && place<int64_t>(operands, condition);
  }
  // Whether results can be written into t without disturbing operands that are still to be read.
  bool may_write(const Tensor& t, size_t count) const {
    if (!is_small(t) || t.dtype() != dtype || !same_sizes(model, t.impl())) return false;
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
    return i->numel <= most_elements && i->storage && i->storage->device.type == 0 && t.is_contiguous();
  }
  static bool same_sizes(const TensorImpl* a, const TensorImpl* b) {
    if (a->ndim != b->ndim) return false;
    for (int d = 0; d < a->ndim; d++)
      if (a->sizes[d] != b->sizes[d]) return false;
    return true;
  }
  // Numbers and conditions become rows of the operands' type.
  template <class T>
  bool place(std::span<const Arg> operands, bool condition) {
    for (size_t k = 0; k < operands.size(); k++) {
      const Arg& a = operands[k];
      const bool is_condition = condition && k == 0;
      if (a.tag == Tag::Tensor && !is_condition) {
        in[k] = a.as_tensor().raw_data();
        continue;
      }
      if (used_ == most_numbers || model->numel > most_written) return false;
      T* row = reinterpret_cast<T*>(written_[used_++]);
      in[k] = row;
      if (is_condition) {
        if (a.tag != Tag::Tensor) return false;
        const bool* from = a.as_tensor().data<bool>();
        for (int64_t i = 0; i < model->numel; i++) row[i] = T(from[i]);
      } else if constexpr (std::is_floating_point_v<T>) {
        std::fill_n(row, model->numel, static_cast<T>(a.as_double()));
      } else {
        if (a.tag != Tag::Int) return false;
        std::fill_n(row, model->numel, a.i);
      }
    }
    return true;
  }
  bool typed_ = false;
  int used_ = 0;
  alignas(64) char written_[most_numbers][most_written * 8];
};

inline bool run_small(Frame& frame, const Formula& f) {
  if (frame.infer || f.streams > most_streams) return false;
  SmallOperands small;
  const std::span<const Arg> operands(frame.args, f.streams);
  if (!small.take(operands, f.rule == DTypeRule::Condition)) return false;
  FormulaKernel kernel = f.kernels[static_cast<int>(isa())][0];
  const DType result = f.mask_result ? DType::Bool : small.dtype;
  if (small.dtype != DType::F32) {
    if (small.dtype == DType::I64 && f.uniforms) return false;  // whether they are integers is to be seen
    const FormulaPlan plan = plan_types(frame.op, operands, frame.name());
    if (plan.compute != small.dtype || plan.written != small.dtype || plan.result != result) return false;
    kernel = plan.kernel;
  } else if (f.rule == DTypeRule::Integral || !kernel) {
    return false;
  } else if (f.natural_exponent && frame.args[1].is_number()) {
    if (FormulaKernel shorter = power_kernel(frame.args[1].as_double(), static_cast<int>(isa()), 0))
      kernel = shorter;
  }
  if (f.streams > 2 && frame.op.shape) frame.op.shape(frame);  // beside a formula it checks arguments
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
    frame.outs[0] = new_tensor({small.model->sizes, small.model->ndim}, result);
  }
  if (small.model->numel) kernel(frame.outs[0].raw_data(), small.in, small.model->numel, uniforms);
  return true;
}
}  // namespace

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
  if (frame.op.shape) frame.op.shape(frame);  // beside a formula it checks arguments
  std::span<const Tensor> all(tensors, static_cast<size_t>(count));
  std::span<const Arg> operands(frame.args, static_cast<size_t>(count));
  FormulaPlan plan = plan_types(frame.op, operands, name);
  union Numbers {
    Numbers() {}
    Arg of[most_streams];
  } short_numbers;
  if (rounds_numbers(frame.op, plan.common)) {
    for (int k = 0; k < count; k++)
      short_numbers.of[k] = rounded_number(operands[static_cast<size_t>(k)], plan.common);
    operands = {short_numbers.of, static_cast<size_t>(count)};
  }
  Dims shape = common_shape(all, name);
  frame.outs.resize(1);
  if (frame.infer) {
    frame.outs[0] = shape_only(shape, plan.result);
    return;
  }
  check_same_device(all, name);
  if (plan.common == DType::U64 && run_unsigned(frame)) return;
  Uniform uniforms[16];
  bool integral = plan.compute == DType::I32 || plan.compute == DType::I64;
  for (int u = 0; u < f.uniforms; u++) {
    const Arg& a = frame.args[count + u];
    if (is_complex(plan.compute)) {
      ComplexNumber c = as_complex(a);
      uniforms[2 * u] = {c.real, 0};
      uniforms[2 * u + 1] = {c.imag, 0};
      continue;
    }
    const std::string_view argument = info(frame.op).schema.args[count + u].name;
    MOKA_CHECK(a.is_none() || a.is_number(), name, ": For non-complex input tensors, argument ", argument,
               " must not be a complex number.");
    if (argument == "alpha") check_factor(a, argument, plan.result, name);
    uniforms[u] = {a.as_double(), 0};
    if (integral) {
      MOKA_CHECK(a.tag != Tag::Float || a.f == static_cast<double>(static_cast<int64_t>(a.f)), name,
                 ": argument '", argument, "' is ", a.f,
                 " but the operands are integers; convert them first");
      uniforms[u].i = a.as_int();
    }
  }
  if (frame.given & 1) {
    const Tensor& out = frame.outs[0];
    check_result_fits(name, plan.result, out.dtype());
    fit_output(frame, shape, all);
    if (!is_meta(out))
      for (const Tensor& t : all) check_has_values(t, name);
    MOKA_CHECK(is_non_overlapping(out.sizes(), out.strides()), name,
               ": unsupported operation: more than one element of the output refers to a single memory "
               "location (an expanded view); "
               "clone() it before writing in place");
    for (int k = 0; k < count; k++)
      if (tensors[k] && overlaps_partly(tensors[k], out, name)) {
        Tensor copy = new_tensor(tensors[k].sizes(), tensors[k].dtype(), tensors[k].device());
        copy_elements(tensors[k], copy);
        tensors[k] = copy;
      }
  } else {
    frame.outs[0] = allocate_like(shape, all, plan.result, device_of(all));
  }
  if (frame.given >> 4 && frame.outs[0].dtype() != plan.result) {
    // The result is rounded to its own type before it is stored in another one.
    Tensor result = allocate_like(shape, all, plan.result, frame.outs[0].device());
    run_tiles(f, plan, operands, all, result, uniforms);
    return copy_elements(result, frame.outs[0]);
  }
  run_tiles(f, plan, operands, all, frame.outs[0], uniforms);
}

Tensor apply_formula(const Formula& formula, std::span<const Arg> operands, DType dtype,
                     std::string_view name) {
  FormulaKernel kernel = formula.kernels[static_cast<int>(isa())][0];
  if (SmallOperands small;
      dtype == DType::F32 && !formula.mask_result && kernel && small.take(operands) && small.dtype == dtype) {
    Tensor out = new_tensor({small.model->sizes, small.model->ndim}, dtype);
    if (small.model->numel) kernel(out.raw_data(), small.in, small.model->numel, nullptr);
    return out;
  }
  Tensor tensors[most_streams];
  size_t count = operands.size();
  MOKA_ASSERT(count <= most_streams);
  for (size_t k = 0; k < count; k++)
    if (operands[k].tag == Tag::Tensor) tensors[k] = operands[k].as_tensor();
  std::span<const Tensor> all(tensors, count);
  Dims shape = common_shape(all, name);
  FormulaPlan plan = plan_types(formula, dtype, name);
  Tensor out = allocate_like(shape, all, dtype, device_of(all));
  run_tiles(formula, plan, operands, all, out, nullptr);
  return out;
}

}  // namespace moka
