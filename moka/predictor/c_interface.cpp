// The C interface over Predictor: no exception, no C++ type passes.
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>

#include "moka/base/error.h"
#include "moka/base/parallel.h"
#include "moka/predictor/moka.h"
#include "moka/predictor/predictor.h"

using moka::Dims;
using moka::DType;
using moka::ErrorKind;
using moka::Tensor;

struct moka_status {
  moka_code code;
  std::string message;
};

namespace {

// Descriptions of ports with their sizes laid out for C.
struct CPort {
  std::string name;
  moka_dtype dtype{0, 0, 1};
  int32_t ndim = -1;
  std::vector<int64_t> shape;
};

}  // namespace

struct moka_predictor {
  moka::Predictor predictor;
  std::vector<CPort> inputs, outputs;
};

namespace {

// When there is no memory even for the error.
moka_status out_of_memory{MOKA_ERROR_OUT_OF_MEMORY, "out of memory"};

moka_code code_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::Runtime: return MOKA_ERROR_RUNTIME;
    case ErrorKind::Value: return MOKA_ERROR_VALUE;
    case ErrorKind::Type: return MOKA_ERROR_TYPE;
    case ErrorKind::Index: return MOKA_ERROR_INDEX;
    case ErrorKind::NotImplemented: return MOKA_ERROR_NOT_IMPLEMENTED;
    case ErrorKind::OutOfMemory: return MOKA_ERROR_OUT_OF_MEMORY;
    case ErrorKind::File:
    case ErrorKind::System: return MOKA_ERROR_FILE;
    case ErrorKind::Cancelled: return MOKA_ERROR_CANCELLED;
    case ErrorKind::Internal: break;
  }
  return MOKA_ERROR_INTERNAL;
}

moka_status* status_of(moka_code code, std::string_view message) noexcept {
  try {
    return new moka_status{code, std::string(message)};
  } catch (...) {
    return &out_of_memory;
  }
}

// Runs a body and turns whatever it raises into a status.
template <class Body>
moka_status* guarded(Body&& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const moka::Error& e) {
    return status_of(code_of(e.kind()), e.message());
  } catch (const std::bad_alloc&) {
    return &out_of_memory;
  } catch (const std::exception& e) {
    return status_of(MOKA_ERROR_INTERNAL, e.what());
  } catch (...) {
    return status_of(MOKA_ERROR_INTERNAL, "an unknown exception");
  }
}

// True when the caller's struct reaches to the end of the member.
#define MOKA_HAS(pointer, member) \
  ((pointer)->struct_size >=      \
   offsetof(std::remove_cvref_t<decltype(*(pointer))>, member) + sizeof((pointer)->member))

void need(bool condition, const char* text) {
  if (!condition) moka::fail_kind(ErrorKind::Value, "moka.h: ", text);
}

struct DTypePair {
  DType dtype;
  moka_dtype c;
};
constexpr DTypePair dtypes[] = {{DType::Bool, {MOKA_BOOL, 8, 1}},     {DType::U8, {MOKA_UINT, 8, 1}},
                                {DType::I8, {MOKA_INT, 8, 1}},        {DType::U16, {MOKA_UINT, 16, 1}},
                                {DType::I16, {MOKA_INT, 16, 1}},      {DType::U32, {MOKA_UINT, 32, 1}},
                                {DType::I32, {MOKA_INT, 32, 1}},      {DType::U64, {MOKA_UINT, 64, 1}},
                                {DType::I64, {MOKA_INT, 64, 1}},      {DType::F16, {MOKA_FLOAT, 16, 1}},
                                {DType::BF16, {MOKA_BFLOAT, 16, 1}},  {DType::F32, {MOKA_FLOAT, 32, 1}},
                                {DType::F64, {MOKA_FLOAT, 64, 1}},    {DType::C64, {MOKA_COMPLEX, 64, 1}},
                                {DType::C128, {MOKA_COMPLEX, 128, 1}}};

moka_dtype to_c(DType dtype) {
  for (const DTypePair& p : dtypes)
    if (p.dtype == dtype) return p.c;
  moka::fail_kind(ErrorKind::NotImplemented, "moka.h: tensors of type ", moka::info(dtype).name,
                  " cannot be described");
}

DType from_c(moka_dtype c) {
  for (const DTypePair& p : dtypes)
    if (p.c.kind == c.kind && p.c.bits == c.bits && p.c.lanes == c.lanes) return p.dtype;
  moka::fail_kind(ErrorKind::Type, "moka.h: no type of kind ", unsigned(c.kind), " with ", unsigned(c.bits),
                  " bits and ", unsigned(c.lanes), " lanes");
}

std::vector<CPort> to_c(const std::vector<moka::Port>& ports) {
  std::vector<CPort> out;
  for (const moka::Port& port : ports) {
    CPort c;
    c.name = port.name;
    if (port.type.kind == moka::graph::TypeKind::Tensor) {
      if (port.type.has_dtype)
        for (const DTypePair& p : dtypes)
          if (p.dtype == port.type.dtype) c.dtype = p.c;
      if (port.type.has_dims) {
        c.ndim = static_cast<int32_t>(port.type.dims.size());
        for (const moka::graph::Dim& d : port.type.dims) c.shape.push_back(d.fixed() ? d.size : -1);
      }
    }
    out.push_back(std::move(c));
  }
  return out;
}

void describe(const std::vector<CPort>& ports, size_t index, moka_port* port) {
  need(port && MOKA_HAS(port, shape), "the port's struct_size is not set");
  if (index >= ports.size()) moka::fail_kind(ErrorKind::Index, "moka.h: port ", index, " of ", ports.size());
  const CPort& c = ports[index];
  port->name = c.name.c_str();
  port->dtype = c.dtype;
  port->ndim = c.ndim;
  port->shape = c.shape.data();
}

moka::LoadOptions load_options(const moka_load_options* options) {
  moka::LoadOptions out;
  if (!options) return out;
  if (MOKA_HAS(options, optimize)) out.optimize = options->optimize != 0;
  if (MOKA_HAS(options, max_bytes) && options->max_bytes) out.limits.max_bytes = options->max_bytes;
  if (MOKA_HAS(options, code_key) && options->code_key) out.code_key = options->code_key;
  return out;
}

void finish_load(moka::Predictor predictor, moka_predictor** out) {
  std::vector<CPort> inputs = to_c(predictor.inputs()), outputs = to_c(predictor.outputs());
  *out = new moka_predictor{std::move(predictor), std::move(inputs), std::move(outputs)};
}

// The caller's memory as a read-only tensor; what could not be addressed is refused.
Tensor borrow(const moka_tensor& t, size_t index) {
  if (!MOKA_HAS(&t, owner))
    moka::fail_kind(ErrorKind::Value, "moka.h: struct_size of input ", index, " is not set");
  if (t.ndim < 0 || t.ndim > moka::max_dims || (t.ndim > 0 && !t.shape))
    moka::fail_kind(ErrorKind::Value, "moka.h: input ", index, " has ", t.ndim, " dimensions, or no shape");
  const DType dtype = from_c(t.dtype);
  const Dims sizes(std::span<const int64_t>(t.shape, static_cast<size_t>(t.ndim)));
  const int64_t numel = moka::checked_numel(sizes, "moka.h: input");
  if (numel > 0 && !t.data) moka::fail_kind(ErrorKind::Value, "moka.h: input ", index, " has no data");
  Dims strides = moka::contiguous_strides(sizes);
  if (t.strides) strides = Dims(std::span<const int64_t>(t.strides, static_cast<size_t>(t.ndim)));
  // Elements from the first to the last; negative strides would lead before `data`.
  int64_t last = 0;
  for (size_t d = 0; d < sizes.size() && numel > 0; d++) {
    if (strides[d] < 0)
      moka::fail_kind(ErrorKind::Value, "moka.h: input ", index, " has the negative stride ", strides[d]);
    last = moka::checked_add(last, moka::checked_mul(sizes[d] - 1, strides[d], "moka.h: stride"),
                             "moka.h: extent");
  }
  const auto item = static_cast<int64_t>(moka::item_size(dtype));
  const int64_t bytes = numel ? moka::checked_mul(last + 1, item, "moka.h: input") : 0;
  auto keep = [](moka::Storage*) {};  // the caller's
  static char nothing[64];
  Tensor out = moka::from_memory(numel ? t.data : nothing, static_cast<size_t>(bytes), sizes, strides, dtype,
                                 moka::Device{}, keep, nullptr, true);
  // Kernels read whole elements.
  if (reinterpret_cast<uintptr_t>(out.raw_data()) % static_cast<uintptr_t>(item) == 0) return out;
  Tensor aligned = moka::new_tensor(sizes, dtype);
  Tensor bytewise = moka::new_tensor(Dims{bytes}, DType::U8);
  std::memcpy(bytewise.raw_data(), t.data, static_cast<size_t>(bytes));
  moka::copy_elements(moka::from_memory(bytewise.raw_data(), static_cast<size_t>(bytes), sizes, strides,
                                        dtype, moka::Device{}, keep, nullptr, true),
                      aligned);
  return aligned;
}

// What an output owns: the tensor and its shape.
struct Owner {
  Tensor tensor;
  Dims shape;
};

// An output that shares memory with an input (or with weights) gets its own: the caller may free or write
// either.
Tensor own(const Tensor& t) {
  if (!t.impl()->storage->read_only && t.impl()->storage->references.load(std::memory_order_acquire) == 1)
    return moka::as_contiguous(t);
  Tensor out = moka::new_tensor(t.sizes(), t.dtype());
  moka::copy_elements(t, out);
  return out;
}

}  // namespace

extern "C" {

const char* moka_version(void) { return MOKA_VERSION; }
int32_t moka_c_major(void) { return MOKA_C_MAJOR; }
int32_t moka_c_minor(void) { return MOKA_C_MINOR; }

moka_code moka_status_code(const moka_status* status) { return status ? status->code : MOKA_OK; }
const char* moka_status_message(const moka_status* status) { return status ? status->message.c_str() : ""; }
void moka_status_free(moka_status* status) {
  if (status != &out_of_memory) delete status;
}

void moka_tensor_release(moka_tensor* tensor) {
  if (!tensor || !MOKA_HAS(tensor, owner) || !tensor->owner) return;
  delete static_cast<Owner*>(tensor->owner);
  tensor->owner = nullptr;
  tensor->data = nullptr;
  tensor->shape = tensor->strides = nullptr;
}

moka_status* moka_predictor_load(const char* path, const moka_load_options* options,
                                 moka_predictor** predictor) {
  return guarded([&] {
    need(path && predictor, "path and predictor must not be NULL");
    finish_load(moka::Predictor::load(path, load_options(options)), predictor);
  });
}

moka_status* moka_predictor_load_bytes(const void* data, size_t size, const moka_load_options* options,
                                       moka_predictor** predictor) {
  return guarded([&] {
    need(data && predictor, "data and predictor must not be NULL");
    const moka::LoadOptions chosen = load_options(options);
    if (size > chosen.limits.max_bytes)
      moka::fail_kind(ErrorKind::File, "moka.h: the model has ", size, " bytes, the limit is ",
                      chosen.limits.max_bytes);
    const moka::Bytes bytes = moka::Bytes::copy({static_cast<const char*>(data), size});
    finish_load(moka::Predictor::load(bytes, "the model in memory", chosen), predictor);
  });
}

moka_status* moka_predictor_load_netdef(const char* init_path, const char* predict_path,
                                        const moka_load_options* options, moka_predictor** predictor) {
  return guarded([&] {
    need(init_path && predict_path && predictor, "init_path, predict_path and predictor must not be NULL");
    finish_load(moka::Predictor::load_netdef(init_path, predict_path, load_options(options)), predictor);
  });
}

void moka_predictor_free(moka_predictor* predictor) { delete predictor; }

size_t moka_predictor_input_count(const moka_predictor* predictor) {
  return predictor ? predictor->inputs.size() : 0;
}
size_t moka_predictor_output_count(const moka_predictor* predictor) {
  return predictor ? predictor->outputs.size() : 0;
}

moka_status* moka_predictor_input(const moka_predictor* predictor, size_t index, moka_port* port) {
  return guarded([&] {
    need(predictor, "predictor must not be NULL");
    describe(predictor->inputs, index, port);
  });
}
moka_status* moka_predictor_output(const moka_predictor* predictor, size_t index, moka_port* port) {
  return guarded([&] {
    need(predictor, "predictor must not be NULL");
    describe(predictor->outputs, index, port);
  });
}

moka_status* moka_predictor_run(moka_predictor* predictor, const moka_tensor* inputs, size_t input_count,
                                moka_tensor* outputs, size_t output_count, const moka_run_options* options) {
  return guarded([&] {
    need(predictor, "predictor must not be NULL");
    need(inputs || input_count == 0, "inputs must not be NULL");
    need(outputs || output_count == 0, "outputs must not be NULL");
    if (output_count > predictor->outputs.size())
      moka::fail_kind(ErrorKind::Value, "moka.h: ", output_count, " outputs were asked for, the model has ",
                      predictor->outputs.size());
    for (size_t i = 0; i < output_count; i++)
      need(MOKA_HAS(&outputs[i], owner), "an output's struct_size is not set");
    std::vector<Tensor> tensors;
    for (size_t i = 0; i < input_count; i++) tensors.push_back(borrow(inputs[i], i));
    moka::RunOptions chosen;
    if (options && MOKA_HAS(options, deadline_seconds)) chosen.deadline_seconds = options->deadline_seconds;
    const std::vector<Tensor> results = predictor->predictor.run(tensors, chosen);

    std::vector<std::unique_ptr<Owner>> owners;  // all are made before the first is handed over
    std::vector<moka_dtype> types;
    for (size_t i = 0; i < output_count; i++) {
      types.push_back(to_c(results[i].dtype()));
      owners.push_back(std::make_unique<Owner>(Owner{own(results[i]), Dims(results[i].sizes())}));
    }
    for (size_t i = 0; i < output_count; i++) {
      outputs[i].data = owners[i]->tensor.raw_data();
      outputs[i].dtype = types[i];
      outputs[i].ndim = static_cast<int32_t>(owners[i]->shape.size());
      outputs[i].shape = owners[i]->shape.data();
      outputs[i].strides = nullptr;
      outputs[i].owner = owners[i].release();
    }
  });
}

moka_status* moka_set_num_threads(int32_t threads) {
  return guarded([&] {
    if (threads < 1) moka::fail_kind(ErrorKind::Value, "moka.h: ", threads, " threads; at least 1 is needed");
    moka::set_num_threads(threads);
  });
}
int32_t moka_num_threads(void) { return moka::num_threads(); }

}  // extern "C"
