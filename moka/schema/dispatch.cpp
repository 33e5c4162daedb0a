// Dispatch of calls through layers to kernels, output allocation, and the registry of operators.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_map>

#include "moka/base/small_vector_of.h"
#include "moka/schema/body.h"
#include "moka/schema/formula_runner.h"
#include "moka/schema/frame.h"
#include "moka/schema/given.h"
#include "moka/schema/log.h"
#include "moka/schema/reading.h"
#include "moka/tensor/geometry.h"
#include "moka/tensor/meta.h"
#include "moka/tensor/scalar_name.h"
#include "moka/tensor/strings.h"
#include "moka/tensor/wrapper.h"

namespace moka {

thread_local ThreadLayers thread_layers{layer::autograd | layer::batch | layer::wrapper, 0};
void (*formula_runner)(Frame&) = nullptr;

namespace {
LayerHandler handlers[32] = {};  // by bit

struct Registry {
  std::shared_mutex mutex;
  std::vector<const Op*> ops;
  std::unordered_map<std::string_view, const Op*> by_name;
  std::unordered_map<std::string, std::vector<KernelRow>> waiting_rows;  // for operators not registered yet
};
Registry& registry() {
  static Registry* r = new Registry;
  return *r;
}

std::string_view schema_name(const Op& op) { return op.schema.substr(0, op.schema.find('(')); }

bool shares_storage_with_inputs(const Frame& f, const Tensor& t) {
  Storage* s = t.impl()->storage;
  auto same = [s](const Tensor& x) { return x && x.impl()->storage == s; };
  for (int i = 0; i < f.count; i++) {
    if (f.args[i].tag == Tag::Tensor && same(f.tensor(i))) return true;
    if (f.args[i].tag == Tag::Tensors)
      for (const Tensor& x : f.tensors(i))
        if (same(x)) return true;
  }
  return false;
}

bool takes_meta(const Frame& f) {
  for (int k = 0; k < f.count; k++)  // empty_like(x, device="cpu"): x says the sizes alone
    if (f.args[k].tag == Tag::Device && !(f.args[k].device == meta_device)) return false;
  for (int k = 0; k < f.count; k++) {
    if (f.args[k].tag == Tag::Tensor && is_meta(f.tensor(k))) return true;
    if (f.args[k].tag == Tag::Tensors)
      for (const Tensor& t : f.tensors(k))
        if (is_meta(t)) return true;
  }
  return false;
}
// to = from where they differ: of elements of `to` that share one place a changed one wins.
void copy_changed(const Tensor& from, const Tensor& to) {
  const size_t item = item_size(to.dtype());
  const Tensor after = as_contiguous(to_dtype(from, to.dtype())), before = as_contiguous(to);
  char* const start = static_cast<char*>(to.raw_data());
  for (int64_t i = 0; i < to.numel(); i++) {
    const char* changed = after.data<char>() + static_cast<size_t>(i) * item;
    if (std::memcmp(changed, before.data<char>() + static_cast<size_t>(i) * item, item) == 0) continue;
    int64_t rest = i, at = 0;
    for (int k = to.dim(); k-- > 0; rest /= to.size(k)) at += rest % to.size(k) * to.stride(k);
    std::memcpy(start + at * static_cast<int64_t>(item), changed, item);
  }
}
bool is_overlapping(const Tensor& t) { return !is_non_overlapping(t.sizes(), t.strides()); }

// Writes what a body made into the output that came with the call: by the operator copy_, so that tapes and traces that
// see the parts of the body see the write too.
void write_result(Frame& f, int i, const Tensor& result) {
  const Tensor& target = f.outs[static_cast<size_t>(i)];
  if (result == target) return;
  check_result_fits(f.name(), result.dtype(), target.dtype());
  fit_given(f, i, result.sizes());
  if (f.op.writes_one_value && is_overlapping(target)) {
    copy_changed(result, target);
    return target.raise_version();
  }
  static const Op* const copy = find_op("copy_");
  if (!copy) return copy_elements(result, target);  // a build for given models
  Arg args[] = {target, result};
  Frame write(*copy, args, 2);
  write.outs.resize(1);
  write.outs[0] = target;
  write.given = 1;
  call(write);
}

}  // namespace

void run_body(Frame& f) {
  if (f.op.shape &&
      has_kernels(f.op)) {  // the shape function checks arguments for kernels, so for a body beside them
    Frame check(f.op, f.args, f.count);
    check.infer = true;
    f.op.shape(check);
  }
  SmallVectorOf<Any, 8> in, out;
  in.resize(static_cast<size_t>(f.count));
  for (int i = 0; i < f.count; i++) in[static_cast<size_t>(i)] = Any::copy(f.args[i]);
  const size_t n = info(f.op).schema.outs.size();
  out.resize(n);
  MetaBody meta(__builtin_expect(meta_in_use.load(std::memory_order_relaxed), 0) && takes_meta(f));
  try {
    f.op.body.eager(in.begin(), out.begin());
  } catch (Error& e) {  // the text names the operator inside
    e.add_context(cat("in ", f.name()));
    throw;
  }
  Outputs results;
  if (n == 1 && out[0].tag() == Tag::Tensors) {
    results.resize(out[0].tensors().size());
    for (size_t i = 0; i < results.size(); i++) results[i] = out[0].tensors()[i];
  } else {
    results.resize(n);
    for (size_t i = 0; i < n; i++) results[i] = out[i].tensor();
  }
  for (int k = 0; k < f.count; k++)
    if (f.args[k].tag == Tag::Device && f.args[k].device == meta_device)
      for (size_t i = 0; i < results.size(); i++)
        if (Tensor& r = results[i]; r && !is_meta(r))
          r = new_strided_tensor(r.sizes(), r.strides(), r.dtype(), meta_device);
  for (size_t i = 0; i < std::min<size_t>(n, Outputs::inline_limit) && f.given; i++) {
    if (!(f.given >> i & 1)) continue;
    write_result(f, static_cast<int>(i), results[i]);
    results[i] = f.outs[i];
  }
  f.outs = std::move(results);
}

namespace {
// Results that show the memory of the first argument follow its gradients, except detach's.
void run_view(Frame& f) {
  f.op.view(f);
#ifndef MOKA_PREDICTOR
  if (!f.count || f.args[0].tag != Tag::Tensor || f.op.derivative.rows.count == 0) return;
  TensorImpl* from = f.args[0].tensor;
  if (!from->storage || from->inference) return;
  ViewOrigin origin = from->origin;
  if (origin == ViewOrigin::Plain) {
    if (inference_mode) origin = ViewOrigin::Inference;
    else if (!(thread_layers.enabled & layer::autograd)) origin = ViewOrigin::NoGrad;
    else if (info(f.op).schema.outs[0].type.list) origin = ViewOrigin::Several;
  }
  for (size_t i = 0; i < f.outs.size(); i++) {
    TensorImpl* view = f.outs[i].impl();
    if (view == from || view->storage != from->storage || view->base) continue;
    view->base = from->base ? from->base : from;
    add_ref(view->base);
    view->view_version = f.outs[i].version();
    view->origin = origin;
  }
#endif
}

// Kernels copy strings as they copy numbers; what the texts live in goes along.
void keep_texts_of_inputs(Frame& f) {
  for (size_t i = 0; i < f.outs.size(); i++)
    for (int k = 0; k < f.count; k++) {
      if (f.args[k].tag == Tag::Tensor) keep_texts(f.tensor(k), f.outs[i]);
      else if (f.args[k].tag == Tag::Tensors)
        for (const Tensor& t : f.tensors(k)) keep_texts(t, f.outs[i]);
    }
}

void raise_versions(Frame& f) {
  for (size_t i = 0; i < Outputs::inline_limit; i++)
    if (f.given >> i & 1) f.outs[i].raise_version();
}

// What the shape function declared is the result of a call on tensors without memory. False: it has values after all.
bool infer_meta(Frame& f) {
  const bool from_meta = takes_meta(f);
  if (!from_meta && !(f.outs.size() && is_meta(f.outs[0]))) return false;
  const Schema& schema = info(f.op).schema;
  MOKA_CHECK_KIND(NotImplemented,
                  schema.outs.empty() || schema.outs[0].type.list || f.outs.size() >= schema.outs.size(),
                  f.name(), ": the sizes of its result depend on values, which meta tensors do not have");
  for (size_t i = 0; i < f.outs.size(); i++) {
    Tensor& out = f.outs[i];
    MOKA_CHECK_KIND(NotImplemented, out.defined(), f.name(),
                    ": the sizes of its result depend on values, which meta tensors do not have");
    if (is_meta(out)) continue;
    MOKA_CHECK_KIND(NotImplemented, i >= Outputs::inline_limit || !(f.given >> i & 1), f.name(),
                    ": Cannot copy out of meta tensor; no data! The result is to be written into memory");
    out = new_strided_tensor(out.sizes(), out.strides(), out.dtype(), meta_device);
  }
  return true;
}

void run_kernel(Frame& f) {
  Tensor given[Outputs::inline_limit];
  const int mask = f.given & 15;
  for (int i = 0; mask >> i; i++)
    if (mask >> i & 1) {
      given[i] = f.outs[i];
      MOKA_CHECK(f.op.writes_one_value || !is_overlapping(given[i]), f.name(),
                 ": unsupported operation: more than one element of the output refers to a single memory "
                 "location (an expanded view); "
                 "clone() it before writing in place");
    }
  f.op.shape(f);
  if (__builtin_expect(meta_in_use.load(std::memory_order_relaxed), 0) && infer_meta(f)) {
    for (int i = 0; mask >> i; i++)
      if (mask >> i & 1) f.outs[i] = given[i];
    return;
  }
  const KernelRow* row = choose_kernel(f, nullptr);
  if (log_enabled(Log::Kernels)) log_kernel(f, row);
  if (!row) {
    std::string why;
    choose_kernel(f, &why);
    fail_kind(ErrorKind::NotImplemented, f.name(), ": no kernel serves these arguments", why);
  }
  row->run(f);
  for (int i = 0; mask >> i; i++) {
    if (!(mask >> i & 1) || f.outs[i] == given[i]) continue;
    if (f.op.writes_one_value && is_overlapping(given[i])) copy_changed(f.outs[i], given[i]);
    else copy_elements(f.outs[i], given[i]);
    f.outs[i] = given[i];
  }
}
}  // namespace

Any Outputs::list() const {
  std::vector<Tensor> all(size_);
  for (size_t i = 0; i < size_; i++) all[i] = (*this)[i];
  return Any(std::span<const Tensor>(all));
}

OpInfo& make_info(const Op& op) {
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  if (OpInfo* existing = op.info.load()) return *existing;
  static int next_id = 0;
  OpInfo* made = new OpInfo;  // lives as long as the Op: for ever
  made->op = &op;
  made->schema = parse_schema(op.schema);
  MOKA_ASSERT(made->schema.args.size() <= max_args);
  made->id = next_id++;
  {
    std::shared_lock read(registry().mutex);
    auto waiting = registry().waiting_rows.find(made->schema.name);
    if (waiting != registry().waiting_rows.end()) made->rows = waiting->second;
  }
  op.info.store(made, std::memory_order_release);
  return *made;
}

void Frame::output(int i, std::span<const int64_t> sizes, DType dtype) {
  Device device{};
  for (int k = 0; k < count; k++)
    if (args[k].tag == Tag::Tensor) {
      device = tensor(k).device();
      break;
    }
  if (__builtin_expect(meta_in_use.load(std::memory_order_relaxed), 0) && takes_meta(*this))
    device = meta_device;
  output(i, sizes, dtype, device);
}

void Frame::output(int i, std::span<const int64_t> sizes, DType dtype, Device device) {
  if (outs.size() <= static_cast<size_t>(i)) outs.resize(static_cast<size_t>(i) + 1);
  if (infer) {
    outs[i] = shape_only(sizes, dtype);
    return;
  }
  if (i < 4 && given >> i & 1) {
    const Tensor& target = outs[i];
    check_result_fits(name(), dtype, target.dtype());
    fit_given(*this, i, sizes);
    if (target.dtype() == dtype && target.is_contiguous() && !shares_storage_with_inputs(*this, target))
      return;
  }
  if (__builtin_expect(meta_bodies, 0)) device = meta_device;
  outs[i] = new_tensor(sizes, dtype, device);
}

void fit_given(Frame& f, int i, std::span<const int64_t> sizes) {
  const Tensor& target = f.outs[static_cast<size_t>(i)];
  if (std::equal(sizes.begin(), sizes.end(), target.sizes().begin(), target.sizes().end())) return;
  MOKA_CHECK(f.given >> (i + 4) & 1, f.name(), ": the output given has shape ", target.sizes(),
             " but the result has shape ", sizes);
  const int64_t n = checked_numel(sizes, "out"), offset = target.impl()->offset;
  const int64_t item = static_cast<int64_t>(item_size(target.dtype()));
  const int64_t needed = checked_mul(checked_add(offset, n, "out"), item, "out");
  if (target.has_storage() && static_cast<size_t>(needed) <= target.impl()->storage->bytes)
    take_geometry(target, strided_view(target, sizes, contiguous_strides(sizes), offset));
  else take_geometry(target, new_tensor(sizes, target.dtype(), target.device()));
}

void check_result_fits(std::string_view op, DType result, DType target) {
  auto rank = [](DType d) {
    if (d == DType::Bool) return 0;
    return is_integral(d) ? 1 : is_floating(d) ? 2 : 3;
  };
  MOKA_CHECK(rank(result) <= rank(target), op, ": result type ", scalar_name(result),
             " can't be cast to the desired output type ", scalar_name(target), ": expected an output for ",
             result, ", but got result with dtype ", scalar_name(target), "; convert one of them");
}

void set_layer_handler(uint32_t layer, LayerHandler handler) { handlers[std::countr_zero(layer)] = handler; }

void dispatch_layers(Frame& frame, uint32_t layers) {
  while (const uint32_t above = layers & ~layer::wrapper) {
    int top = 31 - std::countl_zero(above);
    layers &= ~(1u << top);
    if (handlers[top]) return handlers[top](frame, layers);
  }
  constexpr int last = std::countr_zero(layer::wrapper);
  if (layers && handlers[last]) return handlers[last](frame, 0);
  run_op(frame);
}

void run_op(Frame& f) {
  if (f.op.formula) formula_runner(f);
  else if (f.op.view) run_view(f);
  else if (f.op.body && !has_kernels(f.op)) return run_body(f);  // its parts count their writes
  else run_kernel(f);
  if (f.outs.size() && f.outs[0] && __builtin_expect(f.outs[0].dtype() == DType::String, 0))
    keep_texts_of_inputs(f);
  if (f.given) raise_versions(f);
}

const KernelRow* choose_kernel(const Frame& f, std::string* why) {
  uint8_t device = 0;
  for (int i = 0; i < f.count; i++)
    if (f.args[i].tag == Tag::Tensor && !is_meta(f.tensor(i))) {
      device = f.tensor(i).device().type;
      break;
    }
  auto serves = [&](const KernelRow& row) {
    std::string_view reason;
    if (row.device != device) reason = "is for another device";
    else if (row.declines) reason = row.declines(f);
    if (reason.empty()) return true;
    if (why) why->append("\n  ").append(row.name).append(": ").append(reason);
    return false;
  };
  for (const KernelRow& row : info(f.op).rows)
    if (serves(row)) return &row;
  for (const KernelRow& row : f.op.kernels)
    if (serves(row)) return &row;
  return nullptr;
}

void EagerReading::dispatch(const Op& op, Arg* args, int given, Outputs& outs) {
  const Schema& schema = info(op).schema;
  int count = static_cast<int>(schema.args.size());
  MOKA_CHECK_KIND(Type, given <= count, schema.name, ": takes ", count, " arguments, got ", given);
  for (int i = given; i < count; i++) {
    const ArgDef& def = schema.args[i];
    MOKA_CHECK_KIND(Type, def.has_default || def.type.optional, schema.name, ": missing argument '", def.name,
                    "'");
    args[i] = def.default_value.arg();
  }
  Frame frame(op, args, count);
  moka::call(frame);
  outs = std::move(frame.outs);
}

namespace {
// A formula of numbers: 0-d tensors through the ordinary kernel, in float64 where the result is floating.
Any compute_numbers(const Op& op, const Arg* given_args, int given, bool widen) {
  ArgRoom args;
  Tensor numbers[max_args];
  std::copy(given_args, given_args + given, &args[0]);
  for (int i = 0; i < op.formula.streams; i++) {
    const Arg& a = given_args[i];
    const bool floating = widen || a.tag == Tag::Float;
    numbers[i] = new_tensor({}, floating ? DType::F64 : a.tag == Tag::Bool ? DType::Bool : DType::I64);
    if (floating) *numbers[i].data<double>() = a.as_double();
    else if (a.tag == Tag::Bool) *numbers[i].data<bool>() = a.b;
    else *numbers[i].data<int64_t>() = a.i;
    args[i] = Arg(numbers[i]);
  }
  LayersOff off(~0u);
  Outputs outs;
  EagerReading::dispatch(op, args, given, outs);
  const Tensor& y = outs[0];
  if (is_floating(y.dtype())) {
    if (y.dtype() != DType::F64) return compute_numbers(op, given_args, given, true);
    return Any(element_as_double(y, 0));
  }
  if (y.dtype() == DType::Bool) return Any(element_as_int(y, 0) != 0);
  return Any(element_as_int(y, 0));
}
}  // namespace

Any EagerReading::compute(const Op& op, Arg* args, int given) {
  const int streams = op.formula ? op.formula.streams : 0;
  bool numbers = streams > 0 && given >= streams;
  for (int i = 0; numbers && i < streams; i++) numbers = args[i].is_number();
  if (numbers) return compute_numbers(op, args, given, false);
  Outputs outs;
  dispatch(op, args, given, outs);
  return Any(std::move(outs[0]));
}

std::vector<Tensor> call_boxed(const Op& op, std::span<const Arg> given) {
  ArgRoom args;
  MOKA_CHECK_KIND(Type, given.size() <= max_args, info(op).schema.name, ": too many arguments");
  std::copy(given.begin(), given.end(), &args[0]);
  const Schema& schema = info(op).schema;
  for (size_t i = given.size(); i < schema.args.size(); i++) args[i] = schema.args[i].default_value.arg();
  check_args(op, args, static_cast<int>(schema.args.size()));
  Frame frame(op, args, static_cast<int>(schema.args.size()));
  call(frame);
  std::vector<Tensor> out(frame.outs.size());
  for (size_t i = 0; i < out.size(); i++) out[i] = frame.outs[i];
  return out;
}

void Frame::sizes_of_values(int dim) {
  MOKA_CHECK_KIND(NotImplemented, !infer, name(), ": the shape of the result depends on values");
  of_values |= static_cast<uint16_t>(dim < 0 ? ~0u : 1u << dim);
}

std::vector<Tensor> infer_shapes(const Op& op, std::span<const Arg> given) {
  ArgRoom args;
  const Schema& schema = info(op).schema;
  MOKA_CHECK_KIND(Type, given.size() <= schema.args.size(), schema.name, ": too many arguments");
  std::copy(given.begin(), given.end(), &args[0]);
  // Shape functions see shapes only: operands keep their data out of reach.
  for (size_t i = given.size(); i < schema.args.size(); i++) args[i] = schema.args[i].default_value.arg();
  check_args(op, args, static_cast<int>(schema.args.size()));
  LayersOff off(~0u);
  Frame frame(op, args, static_cast<int>(schema.args.size()));
  frame.infer = true;
  if (op.formula) formula_runner(frame);
  else if (op.view) op.view(frame);
  else if (op.shape) op.shape(frame);
  else
    fail_kind(ErrorKind::NotImplemented, schema.name,
              ": the shape of a composite is that of its parts; inline it first");
  std::vector<Tensor> out(frame.outs.size());
  for (size_t i = 0; i < out.size(); i++) out[i] = frame.outs[i];
  return out;
}

bool writes_first(const Op& op) {
  const std::string& base = info(op).schema.base;
  return base.size() > 1 && base.back() == '_' && base[base.size() - 2] != '_';
}

bool has_in_place_form(const Op& op) {
  const Schema& s = info(op).schema;
  if (writes_first(op) || s.args.empty() || !s.args[0].type.is_tensor_like() || s.args[0].type.list)
    return false;
  return static_cast<bool>(op.formula) ||
         ((op.body || op.kernels.count) && s.outs.size() == 1 && !s.outs[0].type.list);
}

void check_args(const Op& op, Arg* args, int count) {
  const Schema& schema = info(op).schema;
  MOKA_CHECK_KIND(Type, count == static_cast<int>(schema.args.size()), schema.name, ": takes ",
                  schema.args.size(), " arguments, got ", count);
  for (int i = 0; i < count; i++) {
    const ArgDef& def = schema.args[i];
    Arg& a = args[i];
    if (a.tag == Tag::None) {
      if (def.type.optional) continue;
      if (def.has_default) {
        a = def.default_value.arg();
        continue;
      }
      fail_kind(ErrorKind::Type, schema.name, ": argument '", def.name, "' is missing (", def.type,
                " expected)");
    }
    bool good = false;
    // Two floats are a complex number, which formulas and composites take.
    bool number = a.is_number() || ((op.formula || op.body) && a.tag == Tag::Floats && a.count == 2);
    switch (def.type.kind) {
      case Kind::Tensor: good = def.type.list ? a.tag == Tag::Tensors : a.tag == Tag::Tensor; break;
      case Kind::Operand: good = a.tag == Tag::Tensor || number; break;
      case Kind::Number: good = number; break;
      case Kind::Int:
        good = def.type.list ? a.tag == Tag::Ints || (a.tag == Tag::List && a.count == 0)
                             : a.tag == Tag::Int || a.tag == Tag::Bool;
        break;
      case Kind::Float: good = def.type.list ? a.tag == Tag::Floats : number; break;
      case Kind::Bool: good = a.tag == Tag::Bool || a.tag == Tag::Int; break;
      case Kind::String: good = a.tag == Tag::String; break;
      case Kind::DType: good = a.tag == Tag::DType; break;
      case Kind::Device: good = a.tag == Tag::Device; break;
      case Kind::Generator: good = a.tag == Tag::Object; break;
      case Kind::Any: good = true; break;
    }
    if (!good)
      fail_kind(ErrorKind::Type, schema.name, ": argument '", def.name, "' must be ", def.type, ", got ",
                tag_name(a.tag), " ", a);
    if (def.type.kind == Kind::Int && def.type.list && def.type.list_size)
      MOKA_CHECK(a.count == static_cast<uint32_t>(def.type.list_size), schema.name, ": argument '", def.name,
                 "' must have ", def.type.list_size, " elements, got ", a);
  }
}

void register_ops(const Op* const* table, size_t count) {
  std::unique_lock lock(registry().mutex);
  for (size_t i = 0; i < count; i++) {
    auto [at, fresh] = registry().by_name.emplace(schema_name(*table[i]), table[i]);
    if (fresh) registry().ops.push_back(table[i]);
    else if (at->second != table[i])
      fail_kind(ErrorKind::Internal, "register_ops: two operators are called '", at->first, "'");
  }
}

const Op* find_op(std::string_view name) {
  std::shared_lock lock(registry().mutex);
  auto it = registry().by_name.find(name);
  return it == registry().by_name.end() ? nullptr : it->second;
}

std::vector<const Op*> all_ops() {
  std::shared_lock lock(registry().mutex);
  return registry().ops;
}

const Op& get_op(std::string_view name) {
  if (const Op* op = find_op(name)) return *op;
  std::string near;
  for (const Op* op : all_ops()) {
    std::string_view other = schema_name(*op);
    if (other.substr(0, 3) == name.substr(0, 3) && near.size() < 200)
      near += (near.empty() ? "" : ", ") + std::string(other);
  }
  fail_kind(ErrorKind::NotImplemented, "there is no operator '", name, "'",
            near.empty() ? "" : "; similar: ", near);
}

void add_kernel(std::string_view name, const KernelRow& row) {
  const Op* op = find_op(name);
  if (op) {
    // Rows are added while libraries load, before calls run in other threads.
    OpInfo& i = info(*op);
    i.rows.insert(i.rows.begin(), row);
    return;
  }
  std::unique_lock lock(registry().mutex);
  auto& rows = registry().waiting_rows[std::string(name)];
  rows.insert(rows.begin(), row);
}

}  // namespace moka
